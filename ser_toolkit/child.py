"""Work in a process of its own: its crash, its hanging and its errors are one line here."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from .runtime.errors import SertkError
from .runtime.extractor import F32
from .runtime.npz import from_npz, to_npz
from .runtime.text import shorten

FAILURE = "failure.json"


class ChildFailed(Exception):  # noqa: N818
    """A child came to a bad end; the cause is in words. `todo` is what the child advised."""

    def __init__(self, cause: str, todo: str = "") -> None:
        self.cause = cause
        self.todo = todo
        super().__init__(cause)


def run_module(
    module: str, folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> None:
    """`python -m MODULE FOLDER` with this interpreter. Raises ChildFailed."""
    home = str(Path(__file__).resolve().parents[1])
    inherited = os.environ.get("PYTHONPATH")
    path = os.pathsep.join([home, *([inherited] if inherited else [])])
    command = [sys.executable, "-m", module, str(folder)]
    run(command, folder, timeout_s, {**(env or {}), "PYTHONPATH": path})


def run(
    command: Sequence[str], folder: Path, timeout_s: float, env: Mapping[str, str] | None = None
) -> None:
    """Run a command to its end, in `folder`. Raises ChildFailed."""
    try:
        result = subprocess.run(
            command,
            cwd=folder,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise ChildFailed(f"it did not end within {timeout_s:g} s") from error
    except OSError as error:
        raise ChildFailed(f"'{command[0]}' cannot be started: {error.strerror}") from error
    if result.returncode:
        raise _failed(folder, result.returncode, result.stderr.decode(errors="replace"))


def _failed(folder: Path, code: int, said: str) -> ChildFailed:
    told = folder / FAILURE
    if told.is_file():
        return ChildFailed(**json.loads(told.read_text("utf-8")))
    if code < 0:
        return ChildFailed(f"its process crashed ({_signal(-code)})")
    last = [line.strip() for line in said.splitlines() if line.strip()][-1:]
    return ChildFailed(f"its process ended with status {code}" + "".join(f": {s}" for s in last))


def _signal(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"


def tell(folder: Path, error: Exception) -> None:
    """In the child: leave the reason of a failure for the parent."""
    if isinstance(error, SertkError):
        told = {"cause": error.problem, "todo": error.todo}
    else:
        told = {"cause": shorten(f"{type(error).__name__}: {error}"), "todo": ""}
    (folder / FAILURE).write_text(json.dumps(told), "utf-8")


def serve(work: Callable[[Path], None]) -> None:
    """In the child: do the job in the folder that was named; leave the reason if it fails."""
    folder = Path(sys.argv[1])
    try:
        work(folder)
    except Exception as error:  # TensorFlow, Keras and their converters each raise their own
        tell(folder, error)
        sys.exit(1)


def write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write named arrays; the names may be any text."""
    path.write_bytes(to_npz(arrays))


def read_arrays(path: Path) -> dict[str, F32]:
    """Read what `write_arrays` wrote."""
    return from_npz(path.read_bytes())
