"""Work in a child process: get its answers, or its failure or crash as one line.

A worker answers on standard output with lines of JSON. Whatever else it prints, or a plugin or a
runtime in it, goes to standard error.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..runtime.npz import from_npz, to_npz
from ..runtime.process import ChildProcess, ProcessError
from ..runtime.text import shorten


class WorkerError(Exception):
    """A worker failed: the cause in words, and what to do about it."""

    def __init__(self, cause: str, todo: str = "") -> None:
        self.cause = cause
        self.todo = todo
        super().__init__(cause)


class WorkerCrashError(WorkerError):
    """A worker ended without an answer; `end` says how: "crashed (SIGSEGV)"."""

    def __init__(self, end: str) -> None:
        self.end = end
        super().__init__(f"its process {end}")


# In the parent process.


class Worker:
    """Run a process that answers one request after another; leaving `with` ends it."""

    def __init__(
        self,
        command: Sequence[str],
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start a command that calls `serve`. Raises WorkerError.

        Args:
            command: The program and its arguments.
            timeout_s: The longest wait for an answer.
            env: Variables beside those of this process.
            cwd: Its working folder.
        """
        try:
            self._child = ChildProcess(command, timeout_s, env, cwd)
        except ProcessError as error:
            raise WorkerCrashError(str(error)) from error

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self._child.__exit__()

    def send(self, content: bytes) -> None:
        """Send all that it reads from standard input."""
        self._child.send(content)
        self._child.end_input()

    def ask(self, request: Any) -> Any:
        """Send a line of JSON and return the one answer to it. Raises WorkerError."""
        self._child.send(json.dumps(request).encode() + b"\n")
        for answer in self.answers():
            return answer
        raise WorkerCrashError("ended without an answer")

    def answers(self) -> Iterator[Any]:
        """Yield its answers as they come, to its end. Raises WorkerError."""
        done = False
        try:
            for line in self._child.lines():
                kind, answer = _parsed(line)
                if kind == "error":
                    raise WorkerError(*answer)
                if kind == "answer":
                    yield answer
                done = kind == "done"
        except ProcessError as error:
            raise WorkerCrashError(str(error)) from error
        if not done:
            raise WorkerCrashError("ended without an answer")


def module_worker(
    module: str, folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> Worker:
    """Start `python -m MODULE FOLDER`, in that folder. Raises WorkerError.

    Args:
        module: Its main program calls `serve_folder`.
        folder: Where job and results lie.
        timeout_s: The longest wait for an answer.
        env: Variables beside those of this process.
    """
    home = str(Path(__file__).resolve().parents[2])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([home, *([inherited] if inherited else [])])
    command = [sys.executable, "-m", module, str(folder)]
    return Worker(command, timeout_s, {**(env or {}), "PYTHONPATH": path}, folder)


def run_module(
    module: str, folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> list[Any]:
    """Run a `module_worker` to its end and return its answers. Raises WorkerError.

    Args:
        module: Its main program calls `serve_folder`.
        folder: Where job and results lie.
        timeout_s: The longest wait for an answer.
        env: Variables beside those of this process.
    """
    with module_worker(module, folder, timeout_s, env) as worker:
        worker.send(b"")
        return list(worker.answers())


def ask_code(
    code: str,
    arguments: Sequence[str],
    content: bytes,
    timeout_s: float,
    env: Mapping[str, str] | None = None,
) -> Iterator[Any]:
    """Yield the answers of `python -c CODE ARGUMENTS` as they come. Raises WorkerError.

    Args:
        code: A line of Python that calls `serve`.
        arguments: The rest of its `sys.argv`.
        content: What it reads from standard input.
        timeout_s: The longest wait for an answer.
        env: Variables beside those of this process.
    """
    # Nothing is imported from the working folder.
    safe = {**(env or {}), "PYTHONSAFEPATH": "1"}
    with Worker([sys.executable, "-c", code, *arguments], timeout_s, safe) as worker:
        worker.send(content)
        yield from worker.answers()


def _parsed(line: bytes) -> tuple[str, Any]:
    """Return the kind of a line and its value; what was printed before `serve` has no kind."""
    try:
        kind, answer = json.loads(line)
    except (ValueError, TypeError):
        return "", None
    return kind, answer


# In the child process.


def serve(work: Callable[[], Iterable[Any]]) -> None:
    """Send each answer of `work` as it comes, or why it fails, to the parent process."""
    output = os.fdopen(os.dup(1), "w", encoding="utf-8")
    # Whatever runtimes and plugins print must not be taken for an answer.
    os.dup2(2, 1)
    with output:
        try:
            for answer in work():
                _send(output, "answer", answer)
        except Exception as error:  # TensorFlow, Keras and foreign runtimes each raise their own
            _send(output, "error", reason_of(error))
        else:
            _send(output, "done", None)


def serve_folder(work: Callable[[Path], Iterable[Any] | None]) -> None:
    """Do the job in the folder that `sys.argv` names, and send the answers of `work`, if any."""
    serve(lambda: work(Path(sys.argv[1])) or ())


def reason_of(error: Exception) -> tuple[str, str]:
    """Return the cause of an error in one line, and what to do about it."""
    if isinstance(error, SertkError):
        return error.problem, error.todo
    return shorten(f"{type(error).__name__}: {error}"), ""


def _send(output: IO[str], kind: str, answer: Any) -> None:
    print(json.dumps([kind, answer]), file=output, flush=True)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays; the names may be any text."""
    path.write_bytes(to_npz(arrays))


def read_arrays(path: Path) -> dict[str, F32]:
    """Read what `write_arrays` wrote."""
    return from_npz(path.read_bytes())
