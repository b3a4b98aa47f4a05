"""How long work speaks to whoever watches: silent here, live in the terminal, kept in a log."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
LOG = "log.txt"


class Listener:
    """Hears what a run says. This one keeps silent; subclasses show or store it."""

    def note(self, text: str) -> None:
        """Something worth knowing."""

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        """Something wrong that the run survives; `details` (names) belong into the log."""

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        """Pass `items` on, showing how far along they are."""
        del title, total
        yield from items

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        """One epoch is over; `row` is its line of history.csv."""


class Keeper(Listener):
    """Passes on what is said before there is a run directory, and keeps it for the log."""

    def __init__(self, onward: Listener) -> None:
        self._onward = onward
        self.said: list[str] = []

    def note(self, text: str) -> None:
        self.said.append(text)
        self._onward.note(text)

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        lines = tuple(details)
        self.said.append(_warning(text, lines))
        self._onward.warn(text, lines)

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        yield from self._onward.track(items, title, total)


class RunLog(Listener):
    """Writes all that is said into log.txt, each epoch into history.csv, and passes it on.

    `earlier` is what was said before the folder was there; it is only written.
    """

    def __init__(self, folder: Path, onward: Listener, earlier: Iterable[str] = ()) -> None:
        self._log = folder / LOG
        self._history = folder / "history.csv"
        self._onward = onward
        for text in earlier:
            self._write(text)

    def note(self, text: str) -> None:
        self._write(text)
        self._onward.note(text)

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        lines = tuple(details)
        self._write(_warning(text, lines))
        self._onward.warn(text, lines)

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
        with path.open("a", encoding="utf-8") as file:
            file.write(text)
    except OSError as error:
        error.filename = str(path)  # A full disk is met on closing, and that error names no file.
        raise


def _warning(text: str, details: Iterable[str]) -> str:
    return "\n  ".join([f"warning: {text}", *details])
