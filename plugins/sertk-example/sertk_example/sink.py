"""Deliver the events of `sertk serve-edge`."""

from __future__ import annotations

import csv
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ser_toolkit import Device, Event, Outlet, SertkError, Sink, hookimpl

COLUMNS = ("id", "time_s", "kind", "label", "probability", "level_dbfs")


@dataclass(frozen=True)
class ExampleSink(Sink):
    """Append a row to a CSV file for each event.

    A delivery that failed half-way comes again with the same id: count each id once.
    """

    name: ClassVar[str] = "example"
    version: ClassVar[int] = 1

    path: str = "example.csv"

    def check(self) -> None:
        if not Path(self.path).absolute().parent.is_dir():
            raise SertkError(f"the folder of '{self.path}' is not there", "Make it, or set path")

    def open(self, device: Device) -> Outlet:
        return ExampleOutlet(Path(self.path))


class ExampleOutlet(Outlet):
    """Open the file for each event, so that it may be moved away at any time."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, event: Event) -> None:
        # What is raised here is tried again later; what returns must be in the file.
        with self._path.open("a", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            if file.tell() == 0:
                table.writerow(COLUMNS)
            probability = event.probabilities.get(event.label, "")
            prediction = (event.kind, event.label, probability, event.level_dbfs)
            table.writerow((event.id, event.time_s, *prediction))


@hookimpl
def sertk_sinks() -> list[Sink]:
    """Return the sinks of this package."""
    return [ExampleSink()]
