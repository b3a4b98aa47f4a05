"""The last bundle that was taken: served where the file in its place is refused at a start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ser_toolkit import SertkError, write_bytes
from ser_toolkit.runtime.bundle.file import parse_bundle

from ..service.logs import log

PATTERN = "last-good-*.sertk"


@dataclass(frozen=True)
class LastGood:
    """A copy in the state folder, of what was taken from one path; of another it says nothing."""

    folder: Path | None
    origin: Path

    def content(self) -> bytes | None:
        """Return its bytes; None where there are none."""
        try:
            return None if self.folder is None else self._file(self.folder).read_bytes()
        except OSError:
            return None

    def labels(self) -> Sequence[str] | None:
        """Return its emotions; None where there is none, or it is damaged."""
        content = self.content()
        try:
            return None if content is None else parse_bundle(content).manifest.labels
        except SertkError:
            return None

    def keep(self, content: bytes) -> None:
        """Copy what was taken; a folder that does not take it is no reason not to serve."""
        if self.folder is None or content == self.content():
            return
        file = self._file(self.folder)
        try:
            write_bytes(file, content)
            for other in set(self.folder.glob(PATTERN)) - {file}:
                other.unlink()
        except OSError as error:
            log("bundle").warning("no copy is kept of the bundle in use", error=str(error))

    def _file(self, folder: Path) -> Path:
        origin = hashlib.sha256(str(self.origin.absolute()).encode()).hexdigest()
        return folder / PATTERN.replace("*", origin[:12])
