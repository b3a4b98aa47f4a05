"""Show the progress of long work in the terminal: messages, a table of epochs, bars."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from .progress import Callback

T = TypeVar("T")

EPOCH_COLUMNS = (
    ("loss", "loss", "{:.3f}"),
    ("accuracy", "accuracy", "{:.3f}"),
    ("val_loss", "val loss", "{:.3f}"),
    ("val_accuracy", "val acc", "{:.3f}"),
    ("val_uar", "val UAR", "{:.3f}"),
    ("learning_rate", "rate", "{:.1e}"),
    ("seconds", "seconds", "{:.1f}"),
)
DETAILS_SHOWN = 3


def console(stderr: bool = False) -> Console:
    """Return a console that is plain when piped and never cuts lines there."""
    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() else 100
    # In a notebook as text as well: bars that move would need ipywidgets.
    return Console(
        stderr=stderr,
        width=width,
        highlight=False,
        markup=False,
        soft_wrap=False,
        force_jupyter=False,
    )


class Terminal(Callback):
    """Print notes and epochs as lines, passes as progress bars; warnings go to standard error.

    Of many names in a warning, all are shown unless a `log` has them as well.
    """

    def __init__(self, log: str = "") -> None:
        self._out = console()
        self._err = console(stderr=True)
        self._headed = False
        self._log = log

    def note(self, text: str) -> None:
        self._out.print(text, soft_wrap=True)

    def warn(self, text: str, details: Iterable[str] = ()) -> None:
        lines = list(details)
        shown = lines[:DETAILS_SHOWN] if self._log else lines
        more = [f"… {len(lines) - len(shown)} more, all in {self._log}"] if lines != shown else []
        for line in (f"Warning: {text}", *(f"  {line}" for line in (*shown, *more))):
            self._err.print(line, style="yellow", soft_wrap=True)

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self._err) as progress:
            yield from progress.track(items, total=total, description=title)

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        if not self._headed:
            heads = ["epoch", *(head for _, head, _ in EPOCH_COLUMNS)]
            self._out.print("* the best epoch so far: its averaged weights are kept")
            self._out.print(" ".join(f"{head:>9}" for head in heads), style="bold")
        self._headed = True
        cells = [f"{row['epoch']}/{epochs}", *(f.format(row[k]) for k, _, f in EPOCH_COLUMNS)]
        mark = " *" if row["best"] else ""
        self._out.print(" ".join(f"{cell:>9}" for cell in cells) + mark)


class Warnings(Terminal):
    """Print only warnings, for commands whose output programs read."""

    def note(self, text: str) -> None:
        del text

    def track(self, items: Iterable[T], title: str, total: int) -> Iterator[T]:
        del title, total
        yield from items
