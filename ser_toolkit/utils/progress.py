"""Report progress and messages of long work: to nobody, to the terminal, or to a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

T = TypeVar("T")
LOG = "log.txt"


class Callback:
    """Receive messages and progress of a run: ignored here, shown or stored by subclasses."""

    def note(self, text: str) -> None:
        """Receive a message."""

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        """Receive a warning; `details` (names) are for the log only."""

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Yield `items`, and show the progress.

        Args:
            items: What is worked on.
            title: What the bar is called.
            total: How many items there are.
        """
        del title, total
        yield from items

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """Receive the end of an epoch; `row` is its line of history.csv."""


CallbackInput = Callback | Literal["auto"] | None
"""A receiver; `"auto"`, the terminal where there is one; or None, nobody."""


def receiver(callback: CallbackInput) -> Callback:
    """Return the receiver: with `"auto"`, one that prints in a terminal and in a notebook."""
    if callback is None:
        return Callback()
    if callback != "auto":
        return callback
    if not (sys.stdout.isatty() or _in_notebook()):
        return Callback()
    from .console import Terminal

    return Terminal()


def _in_notebook() -> bool:
    python = sys.modules.get("IPython")
    return hasattr(python and python.get_ipython(), "kernel")


class BufferedCallback(Callback):
    """Pass on messages, and keep them for the log until there is a run directory."""

    def __init__(self, onward: Callback) -> None:
        self._onward = onward
        self.messages: list[str] = []

    def note(self, text: str) -> None:
        self.messages.append(text)
        self._onward.note(text)

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        lines = tuple(details)
        self.messages.append(_warning(text, lines))
        self._onward.warn(text, lines)

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        yield from self._onward.track(items, title, total)


class FileLogger(Callback):
    """Write messages into log.txt and epochs into history.csv, and pass them on.

    `earlier` are the messages from before the folder was there; they are only written. What cannot
    be written has been shown.
    """

    def __init__(self, folder: Path, onward: Callback, earlier: Iterable[str] = ()) -> None:
        self._log = folder / LOG
        self._history = folder / "history.csv"
        self._onward = onward
        for text in earlier:
            self._write(text)

    def note(self, text: str) -> None:
        self._onward.note(text)
        self._write(text)

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        lines = tuple(details)
        self._onward.warn(text, lines)
        self._write(_warning(text, lines))

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        yield from self._onward.track(items, title, total)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        new = not self._history.exists() or not self._history.stat().st_size
        lines = [row, row.values()] if new else [row.values()]
        _append(self._history, "".join(",".join(map(str, line)) + "\n" for line in lines))
        self._write(" ".join(f"{key}={value}" for key, value in row.items()))
        self._onward.epoch(row, epochs)

    def _write(self, text: str) -> None:
        stamp = time.strftime("%Y-%m-%d %H:%M:%S")
        _append(self._log, f"{stamp} {text}\n")


def _append(path: Path, text: str) -> None:
    try:
        with path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError as error:
        error.filename = str(path)  # A full disk is met on closing, and that error names no file.
        raise


def _warning(text: str, details: Iterable[str]) -> str:
    return "\n  ".join([f"warning: {text}", *details])
