"""Events for people who look at a terminal: a line each, with a bar."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, TextIO

from ser_toolkit.runtime.events import Device, Event, Outlet, Sink

from .base import StdoutClosedError

WIDTH = 20
LEVELS = {"too_quiet": "quieter", "too_loud": "louder"}
EIGHTHS = " ▏▎▍▌▋▊▉█"


@dataclass(frozen=True)
class Console(Sink):
    """Writes readable lines to standard output; the default on a terminal."""

    name = "console"
    durable: ClassVar[bool] = False

    def open(self, device: Device) -> Outlet:
        """Begin to write lines wide enough for the longest label."""
        return _ConsoleOutlet(sys.stdout, max(map(len, (*device.labels, "uncertain"))))


class _ConsoleOutlet(Outlet):
    # The stream of the beginning: while a plugin is loaded, what is printed goes nowhere.
    def __init__(self, out: TextIO, label_width: int) -> None:
        self._out, self._label_width = out, label_width
        self._encoding = out.encoding or "utf-8"
        self._bar = bar if _can_write(EIGHTHS, self._encoding) else plain_bar

    def deliver(self, event: Event) -> None:
        line = line_of(event, self._label_width, self._bar) + "\n"
        try:
            self._out.write(line.encode(self._encoding, "replace").decode(self._encoding))
            self._out.flush()
        except BrokenPipeError as error:
            raise StdoutClosedError("nobody reads standard output any more") from error


def line_of(event: Event, label_width: int, drawn: Callable[[float], str]) -> str:
    """Time in the sound, what happened, how probable it is, how loud it was."""
    minutes, seconds = divmod(event.offset_s, 60)
    head = f"{minutes:3.0f}:{seconds:05.2f}  {event.kind:<7}  {event.label:<{label_width}}"
    if event.kind == "ended":
        return head.rstrip()
    if event.reason in LEVELS:
        how = f"{LEVELS[event.reason]} than in training"
        return f"{head}  {how}, {event.level_dbfs:.0f} dBFS"
    share = event.probabilities.get(event.label)
    if share is None:
        top = max(event.probabilities, key=lambda label: event.probabilities[label], default="")
        return f"{head}  perhaps {top}, {100 * event.probabilities.get(top, 0):.0f} %"
    return f"{head}  {100 * share:3.0f} %  {drawn(share):<{WIDTH}}  {event.level_dbfs:4.0f} dBFS"


def bar(share: float) -> str:
    """Return a bar of at most WIDTH characters, in eighths."""
    whole, rest = divmod(round(share * WIDTH * 8), 8)
    return "█" * whole + EIGHTHS[rest].strip()


def plain_bar(share: float) -> str:
    """Return a bar of whole characters, for an output without blocks."""
    return "#" * round(share * WIDTH)


def _can_write(text: str, encoding: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True
