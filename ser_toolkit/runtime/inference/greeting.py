"""Hold back what TFLite runtimes write to file descriptor 2 as a greeting."""

from __future__ import annotations

import contextlib
import os
import sys
import threading
from collections.abc import Iterator
from typing import IO

from ..process import scratch_file

GREETING = (b"INFO: ", b"TensorFlow Lite")
# There is one file descriptor 2 in a process: two threads that exchange it would lose it.
_STDERR = threading.Lock()


@contextlib.contextmanager
def without_greeting() -> Iterator[None]:
    """Hold back what goes to file descriptor 2, then pass it on without the runtime's greeting.

    The C++ side greets there and heeds no log level. Other threads may write there meanwhile, so
    nothing else is dropped; where something fails, nothing at all.
    """
    with _STDERR:
        held = _hold_stderr()
        failed = True
        try:
            yield
            failed = False
        finally:
            if held:
                _release_stderr(*held, failed)


def _hold_stderr() -> tuple[int, IO[bytes]] | None:
    """Send file descriptor 2 to a file: what it was, and the file; None where that cannot be."""
    try:
        before = os.dup(2)
    except OSError:
        # It is closed. A file opened now would become the new file descriptor 2.
        return None
    try:
        file = scratch_file()
    except OSError:
        os.close(before)
        return None
    _flush_stderr()
    os.dup2(file.fileno(), 2)
    return before, file


def _release_stderr(before: int, file: IO[bytes], failed: bool) -> None:
    _flush_stderr()
    os.dup2(before, 2)
    with file, contextlib.suppress(OSError):
        file.seek(0)
        os.write(before, b"".join(line for line in file if failed or not _greets(line)))
    os.close(before)


def _flush_stderr() -> None:
    # It is None where there is no terminal at all, and may be closed.
    with contextlib.suppress(AttributeError, OSError, ValueError):
        sys.stderr.flush()


def _greets(line: bytes) -> bool:
    return line.startswith(GREETING[0]) and GREETING[1] in line
