"""libsndfile's file, read without a seek after each block. Imported late: soundfile costs 0.2 s."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import soundfile

from .links import Link

# libsndfile reads as far as it takes the length to be: of an MP3 without a header it multiplies
# that of the first frame, which may have 40 times the bits of others.
STRETCH = 64
# A tag of the old kind is looked for in as many bytes at the end.
TAG_BYTES = 128


class SequentialFile(soundfile.SoundFile):  # type: ignore[misc]
    """A file that is read in order.

    soundfile seeks to where it is after each block, and a decoder of MP3 or Vorbis then lacks what
    came before: its next samples are wrong.

    Attributes:
        says_length: Whether `frames` is their number, and no estimate of it.
    """

    says_length: bool = True

    def seekable(self) -> bool:
        """Return False, so that no block is followed by a seek."""
        return False

    def can_seek(self) -> bool:
        """Say whether `seek` works."""
        return bool(super().seekable())


class LinkFile:
    """A stream in a file, as a file of its own, which may look longer than it is."""

    def __init__(self, file: BinaryIO, link: Link) -> None:
        self._file, self._link, self._at = file, link, 0
        self._length = link.length if link.says_length else STRETCH * link.length

    def tell(self) -> int:
        """Return the position."""
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to a position."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._length}[whence]
        self._at = base + offset
        return self._at

    def read(self, count: int) -> bytes:
        """Return bytes; where there are none, zeros at the end that the file seems to have."""
        self._file.seek(self._link.start + self._at)
        content = self._file.read(max(0, min(count, self._link.length - self._at)))
        if self._at >= self._length - TAG_BYTES > self._link.length:
            content = bytes(min(count, self._length - self._at))
        self._at += len(content)
        return content


@contextmanager
def open_link(path: Path, link: Link) -> Iterator[SequentialFile]:
    """Open a stream in a file."""
    with path.open("rb") as file, SequentialFile(LinkFile(file, link)) as stream:
        stream.says_length = link.says_length
        yield stream
