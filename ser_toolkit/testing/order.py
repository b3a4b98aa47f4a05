"""Read a corpus in other orders of folders and sets, which differ between machines and runs."""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ..contracts.components import Clip, Reader
from ..utils.worker import WorkerError, run_module
from .check import CheckFailed
from .device import TIMEOUT_S, encoded

HASH_SEEDS = ("1", "2", "3", "4")
LEAST = 2
PATIENCE_S = 0.7


def key(clip: Clip) -> str:
    """Return what identifies a clip, without the folder of its corpus."""
    return repr((clip.relative, clip.start_s, clip.end_s, clip.emotion, clip.speaker, clip.text))


def elsewhere(component: Reader, root: Path) -> Iterator[list[str]]:
    """Yield the clips that other processes read, each with sets in another order.

    At least two, and more while the reader is quick, since two words in a set keep their order
    every other time; none where no other process finds the reader, as in a notebook.
    """
    try:
        path = [str(Path.cwd() / entry) for entry in sys.path]
        job = {"task": "read", "component": encoded(component), "root": str(root), "path": path}
        text = json.dumps(job)
    except (CheckFailed, KeyError, TypeError):
        return
    began = time.monotonic()
    for number, seed in enumerate(HASH_SEEDS):
        if number >= LEAST and time.monotonic() - began > PATIENCE_S:
            return
        clips = _read(text, seed)
        if clips is None:
            return
        yield clips


def _read(job: str, seed: str) -> list[str] | None:
    with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(job, "utf-8")
        try:
            env = {"PYTHONHASHSEED": seed}
            run_module("ser_toolkit.testing.device_worker", folder, TIMEOUT_S, env)
        except WorkerError as failed:
            raise CheckFailed(
                "another process to read the same clips",
                failed.cause,
                "Let the fields of the reader be all that it needs: what a process sets up for "
                "itself is not there in the next run",
            ) from failed
        clips: list[str] | None = json.loads((folder / "found.json").read_text("utf-8"))
    return clips


@contextlib.contextmanager
def listing(order: Callable[[Any], list[Any]]) -> Iterator[None]:
    """List folders in the given order; file systems differ in theirs."""
    listdir, scandir = os.listdir, os.scandir

    class Scan:
        def __init__(self, place: Any = ".") -> None:
            with scandir(place) as entries:
                by_name = {entry.name: entry for entry in entries}
            self.entries = iter([by_name[name] for name in order(by_name)])

        def __iter__(self) -> Any:
            return self.entries

        def __next__(self) -> Any:
            return next(self.entries)

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            self.close()

        def close(self) -> None:
            self.entries = iter(())

    def listed(place: Any = ".") -> Any:
        return order(listdir(place))

    ours = {"listdir": (listdir, listed), "scandir": (scandir, Scan)}
    replaced = [
        (home, name, vars(home)[name], new)
        for home in _homes()
        for name, (old, new) in ours.items()
        if getattr(home, name, None) is old
    ]
    for home, name, _, new in replaced:
        setattr(home, name, new if home is os else staticmethod(new))
    try:
        yield
    finally:
        for home, name, old, _ in replaced:
            setattr(home, name, old)


def _homes() -> list[Any]:
    """Return where Python's own modules keep these functions: some under their own names."""
    private = (("pathlib", "_NormalAccessor"), ("glob", "_StringGlobber"))
    found = [getattr(importlib.import_module(module), name, None) for module, name in private]
    return [os, *filter(None, found)]
