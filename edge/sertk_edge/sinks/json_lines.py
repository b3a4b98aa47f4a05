"""One line of JSON for each event: on standard output, or appended to a file."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event, Outlet

from ..events import text_of
from ..service.error_text import error_text
from .base import InspectableSink, StdoutClosedError

STDOUT = 1


@dataclass(frozen=True)
class JsonLines(InspectableSink):
    """Writes to `path`; `-` is standard output. Events are lost while it cannot."""

    name = "json_lines"
    durable: ClassVar[bool] = False

    path: str = "-"

    def check(self) -> None:
        """Raise SertkError where the folder of the file is not there, or the file is a folder."""
        if self.path == "-":
            return
        path = Path(self.path).absolute()
        if not path.parent.is_dir():
            raise SertkError(
                f"the folder of '{self.path}' is not there", "Make it, or choose another"
            )
        if path.is_dir():
            raise SertkError(f"'{self.path}' is a folder", "Name a file in it")

    def inspect(self) -> None:
        """Raise SertkError where the file cannot be written; leave none behind."""
        if self.path == "-":
            return
        try:
            _try_to_write(Path(self.path))
        except OSError as error:
            problem = f"'{self.path}' cannot be written: {error_text(error)}"
            raise SertkError(problem, "Choose another path") from error

    def open(self, device: Device) -> Outlet:
        """Start writing; the file must be one that can be written."""
        if self.path == "-":
            return _Stdout()
        os.close(_opened(self.path))
        return _File(self.path)


class _Stdout(Outlet):
    # Straight to the descriptor: nothing stays in a buffer that fails again when Python ends.
    def deliver(self, event: Event) -> None:
        try:
            _write_all(STDOUT, _line(event))
        except BrokenPipeError as error:
            raise StdoutClosedError("nobody reads standard output any more") from error


class _File(Outlet):
    """Opened for each event, so that the file may be rotated or removed at any time."""

    def __init__(self, path: str) -> None:
        self._path = path

    def deliver(self, event: Event) -> None:
        file = _opened(self._path)
        try:
            size = os.lseek(file, 0, os.SEEK_END)
            try:
                _write_all(file, _line(event))
            except OSError:
                # Half a line would spoil the next one.
                os.ftruncate(file, size)
                raise
        finally:
            os.close(file)


def _try_to_write(path: Path) -> None:
    if path.exists():
        # Not opened: it may be a pipe, which waits for who reads.
        if not os.access(path, os.W_OK):
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return
    # Only making one shows whether a file can be made: in /proc, root may all and can nothing.
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o640))
    path.unlink()


def _opened(path: str) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)


def _line(event: Event) -> bytes:
    return text_of(event).encode("ascii") + b"\n"


def _write_all(file: int, data: bytes) -> None:
    while data:
        data = data[os.write(file, data) :]
