"""Run a child process: read its output line by line, and its failure as one line of text."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from .text import shorten

# What runtimes log on standard error when they start; it is not the cause of a failure.
LOG_PREFIX = "INFO: "


class ProcessError(Exception):
    """Say how a child process failed: "crashed (SIGSEGV)", "ended with status 1"."""


class ChildProcess:
    """Run a command: `send` it bytes, read its `lines`; leaving `with` ends it.

    What it writes to standard error is kept from the terminal.
    """

    def __init__(
        self,
        command: Sequence[str],
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the command. Raises ProcessError.

        Args:
            command: The program and its arguments.
            timeout_s: The longest wait for the next line, or for the end.
            env: Variables beside those of this process.
            cwd: Its working folder.
        """
        self._timeout_s = timeout_s
        self._expired = False
        self._errors = scratch_file()
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                env={**os.environ, **(env or {})},
                cwd=cwd,
            )
        except OSError as error:
            self._errors.close()
            raise ProcessError(f"cannot be started: '{command[0]}': {error.strerror}") from error

    def __enter__(self) -> ChildProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self.end_input()
        with self._process, self._errors:
            pass

    def send(self, content: bytes) -> None:
        """Write to its standard input; where it does not read, its end says why."""
        assert self._process.stdin is not None
        with self._timed(), contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(content)
            self._process.stdin.flush()

    def end_input(self) -> None:
        """Close its standard input."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()

    def lines(self) -> Iterator[bytes]:
        """Yield what it prints, line by line. Raises ProcessError where it fails."""
        while line := self._next_line():
            yield line
        with self._timed():
            status = self._process.wait()
        if self._expired:
            raise ProcessError(f"gave no answer within {self._timeout_s:g} s")
        if status:
            raise ProcessError(describe_end(status, self._errors))

    def _next_line(self) -> bytes:
        assert self._process.stdout is not None
        with self._timed():
            return self._process.stdout.readline()

    @contextlib.contextmanager
    def _timed(self) -> Iterator[None]:
        timer = threading.Timer(self._timeout_s, self._expire)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def _expire(self) -> None:
        self._expired = True
        self._process.kill()


def output_lines(
    command: Sequence[str],
    timeout_s: float,
    content: bytes = b"",
    env: Mapping[str, str] | None = None,
) -> Iterator[bytes]:
    """Run a command and yield what it prints, line by line. Raises ProcessError.

    Args:
        command: The program and its arguments.
        timeout_s: The longest wait for the next line, or for the end.
        content: What it reads from standard input.
        env: Variables beside those of this process.
    """
    with ChildProcess(command, timeout_s, env) as child:
        child.send(content)
        child.end_input()
        yield from child.lines()


def output_text(command: Sequence[str], timeout_s: float) -> str:
    """Run a command and return all that it prints. Raises ProcessError.

    `timeout_s` is the longest wait for the next line, or for the end.
    """
    return b"".join(output_lines(command, timeout_s)).decode("utf-8", "replace")


def describe_end(status: int, errors: IO[bytes] | None = None) -> str:
    """Say how a process ended: by which signal, or with which status and last line of `errors`."""
    if status < 0:
        return f"crashed ({_signal_name(-status)})"
    last = "".join(f": {line}" for line in _last_line(errors)) if errors else ""
    return f"ended with status {status}{last}"


def scratch_file() -> IO[bytes]:
    """Open a file without a name, in memory where the system has such files."""
    if hasattr(os, "memfd_create"):
        return os.fdopen(os.memfd_create("scratch"), "w+b")
    return tempfile.TemporaryFile()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def _last_line(errors: IO[bytes]) -> list[str]:
    errors.seek(0)
    lines = [line.strip() for line in errors.read().decode("utf-8", "replace").splitlines()]
    return [shorten(line) for line in lines if line and not line.startswith(LOG_PREFIX)][-1:]
