"""How the terminal shows plugins, and the checks of one."""

from __future__ import annotations

import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib.metadata import EntryPoint
from itertools import groupby
from typing import Any, TypeVar

from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from ..plugins.entry_points import SLOW_TODO, installed, origin
from ..plugins.hookspecs import COMMAND_GROUP
from ..plugins.registry import Plugins

T = TypeVar("T")
HEADINGS = ("plugin", "distribution", "version", "kind", "components", "edge")
CHECK_HEADINGS = ("component", "kind", "check", "result", "")
UNWRAPPED_COLUMNS = 1000
PATIENCE_S = 2.0
NEEDS = {
    "reader": "a reader needs a corpus of its own, --data DIR",
    "sink": "a sink needs a test of its own, which gives somebody who takes its events: pytest",
}
NEEDED = "what each needs stands in its line"
STYLES = {"ok": "green", "FAILED": "bold red", "expected failure": "yellow", "not checked": "dim"}


def show(found: Plugins) -> None:
    """Show the table of plugins, and a line for each that is broken."""
    console, table = _console(), _table(HEADINGS, wrapped="components")
    before: tuple[str, ...] = ()
    for cells in (*_rows(found), *_commands(found)):
        same = sys.stdout.isatty() and cells[:3] == before
        table.add_row(*(("", "", "") if same else cells[:3]), *cells[3:])
        before = cells[:3]
    console.print(table)
    for offer in found.components("extractor"):
        if offer.component.licence:
            console.print(f"{offer.name}: {offer.component.licence}", soft_wrap=True)
    for broken in found.broken:
        console.print(str(broken), soft_wrap=True, style="red")
    for plugin in found.loaded:
        if slowness := found.slowness(plugin):
            line = f"{plugin.label} {slowness}. {SLOW_TODO}"
            console.print(line, soft_wrap=True, style="yellow")


def row(outcome: Any) -> dict[str, Any]:
    """Return the outcome of a check as JSON values."""
    kind, _, component = outcome.check.subject.partition(":")
    return {
        "kind": kind,
        "component": component,
        "check": outcome.check.name,
        "about": outcome.check.about,
        "result": outcome.result,
        "message": outcome.message,
        "seconds": round(outcome.seconds, 3),
    }


def show_checks(rows: Sequence[Mapping[str, Any]]) -> None:
    """Show the table of checks, and how many ended how."""
    console, table = _console(), _table(CHECK_HEADINGS, wrapped="")
    before: tuple[str, ...] = ()
    told = ""
    for one in rows:
        head, message = (one["component"], one["kind"]), one["message"]
        same = sys.stdout.isatty() and head == before
        again = sys.stdout.isatty() and message and message == told
        table.add_row(
            *(("", "") if same else head),
            one["check"],
            one["result"],
            "as above" if again else message,
            style=STYLES[one["result"]],
        )
        before, told = head, message
    console.print(table)
    counts = Counter(one["result"] for one in rows)
    console.print(", ".join(f"{counts[result]} {result}" for result in STYLES if counts[result]))
    wanting = {one["kind"] for one in rows if one["result"] == "not checked"}
    if wanting:
        needs = [NEEDS[kind] for kind in NEEDS if kind in wanting]
        console.print(f"not checked: {'; '.join(needs or [NEEDED])}", soft_wrap=True)


def show_causes(outcomes: Sequence[Any]) -> None:
    """Print on stderr what components printed, and the tracebacks of what failed."""
    for one in outcomes:
        if one.printed:
            print(f"{one.check.id} printed:\n{one.printed.rstrip()}", file=sys.stderr)
        if one.result == "FAILED" and one.error is not None:
            print(f"{one.check.id} failed:", file=sys.stderr)
            traceback.print_exception(one.error)


def followed(items: Iterable[T], total: int) -> Iterator[T]:
    """Yield the same items; a bar on stderr, where that is a terminal, once they have taken a
    while.
    """
    # Its own stream: what is followed may be kept from writing to ours.
    bar = Progress(
        console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()
    )
    task, begun = bar.add_task("checking", total=total), time.monotonic()
    try:
        for item in items:
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - begun > PATIENCE_S:
                bar.start()
            yield item
    finally:
        if bar.live.is_started:
            bar.stop()


def _rows(found: Plugins) -> Iterator[tuple[str, ...]]:
    """Yield one row per plugin, kind and answer to "does it run on the edge?"."""
    for plugin in found.loaded:
        head = (plugin.plugin, plugin.distribution, plugin.version)
        offers = found.components_of(plugin)
        if not offers:
            yield (*head, "none", "", "")
        order = sorted(offers, key=lambda offer: (offer.kind, not offer.edge_ready))
        for (kind, edge), group in groupby(order, key=lambda o: (o.kind, o.edge_ready)):
            names = ", ".join(offer.name for offer in group)
            yield (*head, kind, names, "" if kind == "recipe" else "yes" if edge else "no")


def _commands(found: Plugins) -> Iterator[tuple[str, ...]]:
    """Yield one row per distribution with commands, which may be all that it has."""
    points = installed(COMMAND_GROUP)
    for (distribution, version), group in groupby(points, key=_home):
        names = [point.name for point in group]
        plugins = [one.plugin for one in found.loaded if one.distribution == distribution]
        yield (*(plugins or names)[:1], distribution, version, "command", ", ".join(names), "")


def _home(point: EntryPoint) -> tuple[str, str]:
    source = origin(point)
    return source.distribution, source.version


def _console() -> Console:
    # A pipe gets whole lines, for grep; a terminal gets cells wrapped to its width.
    width = None if sys.stdout.isatty() else UNWRAPPED_COLUMNS
    return Console(width=width, highlight=False, markup=False)


def _table(headings: Sequence[str], wrapped: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != wrapped, overflow="fold")
    return table
