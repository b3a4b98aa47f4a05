"""`sertk plugins`: what is installed, what it offers, what is broken and why."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from itertools import groupby
from typing import Any

import click

from ..contracts import describe
from ..hookspecs import HOOK_API
from ..loading import Loaded
from ..offers import Offer
from ..plugins import Plugins, load_plugins

HEADINGS = ("plugin", "distribution", "version", "kind", "components", "edge")
UNWRAPPED_COLUMNS = 1000


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def plugins(as_json: bool) -> None:
    """List plugins and their components; say what is broken."""
    found = load_plugins(warn=lambda line: None)
    found.call_all()
    if as_json:
        click.echo(json.dumps(to_dict(found), indent=2))
    else:
        _show(found)


def to_dict(found: Plugins) -> dict[str, Any]:
    """Plugins and broken plugins as JSON values."""
    return {
        "hook_api": HOOK_API,
        "plugins": [_plugin(plugin, found.offers_of(plugin)) for plugin in found.loaded],
        "broken": [
            {
                "plugin": broken.plugin,
                "distribution": broken.distribution,
                "version": broken.version,
                "error": broken.error,
            }
            for broken in found.broken
        ],
    }


def _plugin(plugin: Loaded, offers: tuple[Offer, ...]) -> dict[str, Any]:
    return {
        "plugin": plugin.plugin,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "import_s": round(plugin.import_s, 4),
        "components": [_component(offer) for offer in offers],
    }


def _component(offer: Offer) -> dict[str, Any]:
    recipe = offer.kind == "recipe"
    return {
        "kind": offer.kind,
        "name": offer.name,
        "version": None if recipe else offer.component.version,
        "edge": None if recipe else offer.edge_ready,
        "about": offer.component.description if recipe else describe(offer.component),
    }


def _rows(found: Plugins) -> Iterator[tuple[str, ...]]:
    """One row per plugin, kind and answer to "does it run on the edge?"."""
    for plugin in found.loaded:
        head = (plugin.plugin, plugin.distribution, plugin.version)
        offers = found.offers_of(plugin)
        if not offers:
            yield (*head, "none", "", "")
        order = sorted(offers, key=lambda offer: (offer.kind, not offer.edge_ready))
        for (kind, edge), group in groupby(order, key=lambda o: (o.kind, o.edge_ready)):
            names = ", ".join(offer.name for offer in group)
            yield (*head, kind, names, "" if kind == "recipe" else "yes" if edge else "no")


def _show(found: Plugins) -> None:
    from rich.console import Console
    from rich.table import Table

    # A pipe gets whole lines, for grep; a terminal gets cells wrapped to its width.
    console = Console(
        width=None if sys.stdout.isatty() else UNWRAPPED_COLUMNS, highlight=False, markup=False
    )
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=heading != "components", overflow="fold")
    before: tuple[str, ...] = ()
    for row in _rows(found):
        same = sys.stdout.isatty() and row[:3] == before
        table.add_row(*(("", "", "") if same else row[:3]), *row[3:])
        before = row[:3]
    console.print(table)
    for broken in found.broken:
        console.print(str(broken), soft_wrap=True, style="red")
