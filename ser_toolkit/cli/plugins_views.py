"""Show plugins in the terminal, and the checks of one."""

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
    "sink": "a sink needs a test of its own, which gives a receiver of its events: pytest",
}
NEEDED = "each line says what its check needs"
STYLES = {"ok": "green", "FAILED": "bold red", "expected failure": "yellow", "not checked": "dim"}


def show(found: Plugins) -> None:
    """Show the table of plugins, and a line for each that is broken."""
    console, table = _console(), _table(HEADINGS, wrapped="components")
    before: tuple[str, ...] = ()
    for cells in (*_rows(found), *_commands(found)):
        same = sys.stdout.isatty() and cells[:3] == before
        table.add_row(*(("", "", "") if same else cells[:3]), *cells[3:])
        before = cells[:3]
    _print_table(console, table)
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
    """Show the table of checks, and how many had which result."""
    console, table = _console(), _table(CHECK_HEADINGS, wrapped="")
    before: tuple[str, ...] = ()
    last_message = ""
    for item in rows:
        head, message = (item["component"], item["kind"]), item["message"]
        same = sys.stdout.isatty() and head == before
        again = sys.stdout.isatty() and message and message == last_message
        table.add_row(
            *(("", "") if same else head),
            item["check"],
            item["result"],
            "as above" if again else message,
            style=STYLES[item["result"]],
        )
        before, last_message = head, message
    _print_table(console, table)
    counts = Counter(item["result"] for item in rows)
    console.print(", ".join(f"{counts[result]} {result}" for result in STYLES if counts[result]))
    wanting = {item["kind"] for item in rows if item["result"] == "not checked"}
    if wanting:
        needs = [NEEDS[kind] for kind in NEEDS if kind in wanting]
        console.print(f"not checked: {'; '.join(needs or [NEEDED])}", soft_wrap=True)


def show_causes(outcomes: Sequence[Any]) -> None:
    """Print on stderr what components printed, and the tracebacks of what failed."""
    for outcome in outcomes:
        if outcome.printed:
            print(f"{outcome.check.id} printed:\n{outcome.printed.rstrip()}", file=sys.stderr)
        if outcome.result == "FAILED" and outcome.error is not None:
            print(f"{outcome.check.id} failed:", file=sys.stderr)
            traceback.print_exception(outcome.error)


def with_progress(items: Iterable[T], total: int) -> Iterator[T]:
    """Yield the items, with a progress bar on stderr where that is a terminal, after a while."""
    # Its own stream: the output of the items may be captured.
    bar = Progress(
        console=Console(file=sys.stderr), transient=True, disable=not sys.stderr.isatty()
    )
    task, start_s = bar.add_task("checking", total=total), time.monotonic()
    try:
        for item in items:
            bar.advance(task)
            if not bar.live.is_started and time.monotonic() - start_s > PATIENCE_S:
                bar.start()
            yield item
    finally:
        if bar.live.is_started:
            bar.stop()


def _rows(found: Plugins) -> Iterator[tuple[str, ...]]:
    """Yield one row per plugin, kind, and whether its components run on a device."""
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
        plugins = [item.plugin for item in found.loaded if item.distribution == distribution]
        yield (*(plugins or names)[:1], distribution, version, "command", ", ".join(names), "")


def _home(point: EntryPoint) -> tuple[str, str]:
    source = origin(point)
    return source.distribution, source.version


def _console() -> Console:
    # A pipe gets whole lines, for grep; a terminal gets cells wrapped to its width.
    width = None if sys.stdout.isatty() else UNWRAPPED_COLUMNS
    return Console(width=width, highlight=False, markup=False)


def _print_table(console: Console, table: Table) -> None:
    """Print a table; to a pipe, without the spaces that fill its last column."""
    if sys.stdout.isatty():
        console.print(table)
        return
    with console.capture() as capture:
        console.print(table)
    for line in capture.get().splitlines():
        print(line.rstrip())


def _table(headings: Sequence[str], wrapped: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, no_wrap=heading != wrapped, overflow="fold")
    return table
