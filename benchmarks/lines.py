"""Print measurements with their budgets, one below another."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from math import inf, isinf


@dataclass(frozen=True)
class Line:
    """Hold a measurement, and the budget where it has one; `most` and `least` bound it."""

    what: str
    value: float
    unit: str = ""
    most: float = inf
    least: float = -inf
    note: str = ""

    def cells(self) -> tuple[str, ...]:
        """Return what, value, budget, met or not."""
        number = f"{self.value:.3g}{self.unit}" if self.value < 1000 else f"{self.value:.0f}"
        if isinf(self.most) and isinf(self.least):
            return self.what, number, "", self.note
        bound = f"<= {self.most:g}" if isinf(self.least) else f">= {self.least:g}"
        met = "met" if self.least <= self.value <= self.most else "NOT MET"
        return self.what, number, f"{bound}{self.unit}", f"{met}  {self.note}".rstrip()


def show(title: str, lines: Iterator[Line]) -> None:
    """Print lines as they are measured, and how busy the machine was."""
    print(f"\n{title}", flush=True)
    for line in lines:
        what, number, bound, word = line.cells()
        print(f"  {what:<58}  {number:>9}  {bound:>9}  {word}", flush=True)
    print(f"  load of the last minute: {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
