"""Open an audio file and read it in order, whatever decodes it."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import AudioError, MissingExtra
from ..features.base import F32
from . import ffmpeg
from .formats import HEAD_BYTES, LFS_MAGIC, container, foreign_format, is_mp3, tag_bytes
from .links import Link, mp3_links, ogg_links

if TYPE_CHECKING:
    from .sequential import SequentialFile

RATES_HZ = range(1_000, 1_000_001)
BLOCK_FRAMES = 1 << 16
# libsndfile gives more where a file does not say how long it is.
MOST_FRAMES = 1 << 40
CUT_OFF_S = 0.1
UNSUPPORTED_ENCODING = 4
# A decoder that begins in the middle lacks what came before: other codecs are read from the start.
EXACT_AFTER_SEEK = ("PCM_", "FLOAT", "DOUBLE", "ULAW", "ALAW")
# How libsndfile's log has the bytes of sound that a header claims, and those that are there.
CLAIMED = re.compile(r"^ *(?:data|riff|SSND|Data Size) *: (\d+) \(should be (\d+)\)$", re.MULTILINE)
# A header that was written before the length was known claims this much or more.
NEVER_FINISHED = 0x7FFF_0000
EMPTY_WAV = re.compile(rb"data\0\0\0\0")


@contextmanager
def open_audio(path: str | os.PathLike[str], shown: str | None = None) -> Iterator[Recording]:
    """Open a file to read it in blocks; errors name it as in `read_audio`.

    What goes wrong while it is read is an AudioError too.
    """
    path = Path(path)
    shown = shown or path.name or "."
    head = _first_bytes(path, shown)
    with decoder_errors(shown), ExitStack() as stack:
        yield _opened(path, shown, head, stack)


@contextmanager
def decoder_errors(shown: str) -> Iterator[None]:
    """Raise what a decoder raises as an AudioError that names the file."""
    sf = soundfile_module()
    try:
        yield
    except (sf.SoundFileError, TypeError, MemoryError) as error:
        raise AudioError(f"'{shown}' cannot be decoded: {_reason(error)}") from error


def soundfile_module() -> Any:
    """Import soundfile. Raises MissingExtra where that fails."""
    # Imported here because it costs 0.2 s, which `sertk --help` should not pay.
    try:
        import soundfile
    except (ImportError, OSError) as error:
        todo = "Run `pip install soundfile`; where no wheel fits, install libsndfile"
        raise MissingExtra(f"soundfile cannot be loaded ({error})", todo) from error
    return soundfile


class Recording:
    """An open file, read in order.

    Attributes:
        rate_hz: Samples per second.
        n_frames: As many as the header claims; None where it does not say.
    """

    def __init__(
        self,
        shown: str,
        file: SequentialFile,
        further: Iterable[SequentialFile] = (),
        error: Callable[[], str] = lambda: "",
    ) -> None:
        """Read `file`, then the `further` ones; `error` says what went wrong in another decoder."""
        check_rate(file.samplerate, shown)
        self._shown, self._file, self._error = shown, file, error
        self._further, self._n_read = iter(further), 0
        self.rate_hz = int(file.samplerate)
        self.n_frames = _n_frames(file)

    def read(self, n_frames: int) -> F32:
        """Return the next frames (N, channels) float32, none at the end."""
        block = self._block(n_frames)
        while not len(block) and (file := next(self._further, None)):
            self._check_same(file)
            self._file, self._n_read = file, 0
            block = self._block(n_frames)
        return block

    def part(self, first: int, last: float) -> Iterator[F32]:
        """Yield the frames from `first` up to `last`, in blocks; of a damaged file those there are.

        Raises AudioError where the file ends before.
        """
        at = self._jump(first)
        while at < last:
            wanted = (last if at >= first else first) - at
            block = self.read(int(min(BLOCK_FRAMES, wanted)))
            if not len(block):
                break
            at += len(block)
            if at > first:
                yield block
        if first and at <= first:
            raise AudioError(
                f"'{self._shown}' ends at {at / self.rate_hz:.3f} s, before the start at "
                f"{first / self.rate_hz} s"
            )

    def warning(self) -> str:
        """Return what a file that was read to its end lacks, '' for nothing."""
        if error := self._error():
            return f"'{self._shown}' is damaged: {error}"
        claimed = self._claimed_frames()
        if (claimed - self._n_read) < CUT_OFF_S * self.rate_hz:
            return ""
        there_s, claimed_s = self._n_read / self.rate_hz, claimed / self.rate_hz
        return f"'{self._shown}' is cut off: {there_s:.2f} of {claimed_s:.2f} s are there"

    def _block(self, n_frames: int) -> F32:
        block: F32 = self._file.read(n_frames, dtype="float32", always_2d=True)
        self._n_read += len(block)
        return block

    def _jump(self, first: int) -> int:
        """Seek to a frame, where that is exact; return the frame where reading begins."""
        exact = self._file.can_seek() and self._file.subtype.startswith(EXACT_AFTER_SEEK)
        if not exact or self.n_frames is None:
            return 0
        first = min(first, self.n_frames)
        if first:
            self._file.seek(first)
        self._n_read = first
        return first

    def _claimed_frames(self) -> int:
        """Return the number of frames that the header claims, 0 where that is unknown."""
        frames = _n_frames(self._file) or 0
        claims = CLAIMED.search(self._file.extra_info)
        if not claims:
            return frames
        claimed, there = map(int, claims.groups())
        return round(frames * claimed / there) if there and claimed < NEVER_FINISHED else 0

    def _check_same(self, file: SequentialFile) -> None:
        if (file.samplerate, file.channels) != (self.rate_hz, self._file.channels):
            raise AudioError(
                f"'{self._shown}' joins recordings of {self.rate_hz} and {file.samplerate} Hz, "
                f"with {self._file.channels} and {file.channels} channels",
                "Split it",
            )


def _n_frames(file: SequentialFile) -> int | None:
    known = file.says_length and file.frames < MOST_FRAMES
    return int(file.frames) if known else None


def _opened(path: Path, shown: str, head: bytes, stack: ExitStack) -> Recording:
    """Open a file with the decoder that its first bytes ask for."""
    from .sequential import SequentialFile

    if kind := foreign_format(head):
        return _by_ffmpeg(path, shown, kind, stack)
    if is_mp3(head):
        return _joined(path, shown, mp3_links(path), stack)
    if head.startswith(b"OggS") and len(links := ogg_links(path)) > 1:
        return _joined(path, shown, links, stack)
    try:
        # As bytes: soundfile encodes text itself, and fails where a name is no UTF-8.
        name = os.fspath(path) if os.name == "nt" else os.fsencode(path)
        file = stack.enter_context(SequentialFile(name))
    except soundfile_module().LibsndfileError as error:
        if error.code != UNSUPPORTED_ENCODING:
            raise
        return _by_ffmpeg(path, shown, f"{container(head)} with another codec", stack)
    if not file.frames:
        _check_finished(path, shown)
    return Recording(shown, file)


def _joined(path: Path, shown: str, links: list[Link], stack: ExitStack) -> Recording:
    """Open recordings that follow one another in a file, each when the one before has ended."""
    from .sequential import open_link

    files = (stack.enter_context(open_link(path, link)) for link in links)
    return Recording(shown, next(files), files)


def _by_ffmpeg(path: Path, shown: str, kind: str, stack: ExitStack) -> Recording:
    from .sequential import SequentialFile

    decoder = stack.enter_context(ffmpeg.started(path, shown, kind))
    try:
        file = stack.enter_context(SequentialFile(decoder.output, closefd=False))
    except soundfile_module().LibsndfileError as error:
        reason = decoder.error() or "ffmpeg gives nothing"
        raise AudioError(f"'{shown}' ({kind}) cannot be decoded: {reason}") from error
    return Recording(shown, file, error=decoder.error)


def _first_bytes(path: Path, shown: str) -> bytes:
    """Return the first bytes of a file, after a tag. Raises AudioError where there are none."""
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise AudioError(f"'{shown}' is {kind}; an audio file expected")
        with path.open("rb") as file:
            head = file.read(HEAD_BYTES)
            if tag := tag_bytes(head):
                file.seek(tag)
                head = file.read(HEAD_BYTES) or head
    except FileNotFoundError as error:
        if path.is_symlink():
            raise AudioError(f"'{shown}' is a link to a missing file") from error
        raise AudioError(f"'{shown}' is not there", "Check the path") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"'{shown}' cannot be opened: {why}") from error
    if not head:
        raise AudioError(f"'{shown}' is empty (0 bytes)")
    if head.startswith(LFS_MAGIC):
        todo = "Run `git lfs pull` in the corpus"
        raise AudioError(f"'{shown}' is a Git LFS pointer, not audio", todo)
    return head


def check_rate(rate_hz: int, shown: str) -> None:
    """Raise AudioError for a rate that no recording has: resampling it might need gigabytes."""
    if rate_hz not in RATES_HZ:
        raise AudioError(f"'{shown}' has a sample rate of {rate_hz} Hz: the file is damaged")


def _check_finished(path: Path, shown: str) -> None:
    """Raise AudioError for a WAV file whose recorder never wrote the length into the header."""
    with path.open("rb") as file:
        empty = EMPTY_WAV.search(file.read(BLOCK_FRAMES))
    n_bytes = path.stat().st_size - empty.end() if empty else 0
    if n_bytes:
        raise AudioError(
            f"'{shown}' was never finished: its header says 0 bytes of sound, {n_bytes:,} follow",
            f"Repair it: `{ffmpeg.conversion(path)}`",
        )


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    # libsndfile's own text for a beheaded file says that there is no file; there is one.
    reason = str(getattr(error, "error_string", "")).strip()
    return "Format not recognised." if not reason or "not exist" in reason else reason
