"""Run `sertk plugins`: list what is installed and broken; `check` one, write a `new` one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..contracts.components import describe
from ..plugins.entry_points import Loaded, Origin, installed, origin
from ..plugins.hookspecs import COMMAND_GROUP, HOOK_API
from ..plugins.loader import PluginComponent
from ..plugins.registry import Plugins, load_plugins
from . import wants_traceback
from .new import new


@click.group(invoke_without_command=True)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def plugins(ctx: click.Context, as_json: bool) -> None:
    """List plugins, their components, and what is broken."""
    if ctx.invoked_subcommand is not None:
        if as_json:
            ctx.fail(f"--json stands after the command: sertk plugins {ctx.invoked_subcommand} …")
        return
    loaded = load_plugins(warn=lambda line: None)
    loaded.call_all()
    if as_json:
        click.echo(json.dumps(to_dict(loaded), indent=2))
    else:
        from .plugins_views import show

        show(loaded)


@plugins.command()
@click.argument("name")
@click.option(
    "--data",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="A corpus for its readers, which read a copy.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="COMPONENT.FIELD=VALUE",
    help="Check a component with this instead of its default; @FILE is the content of a file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def check(
    ctx: click.Context, name: str, data: Path | None, settings: tuple[str, ...], as_json: bool
) -> None:
    """Check everything that the plugin NAME offers; exit with 1 if a check fails.

    NAME is a plugin, a distribution, or distribution:plugin.

    \b
    sertk plugins check loud
    sertk plugins check corpora --data EMODB
    sertk plugins check embedding --set embedding.file=@model.tflite
    """
    from ..testing.installed import checks_of
    from ..testing.outcome import outcomes
    from . import plugins_views as views

    checks = checks_of(name, data, settings)
    results = list(views.with_progress(outcomes(checks), len(checks)))
    rows = [views.row(outcome) for outcome in results]
    if as_json:
        click.echo(json.dumps({"plugin": name, "checks": rows}, indent=2))
    else:
        views.show_checks(rows)
    if ctx.find_root().params["debug"] or wants_traceback():
        views.show_causes(results)
    ctx.exit(1 if any(outcome.result == "FAILED" for outcome in results) else 0)


plugins.add_command(new)


def to_dict(loaded: Plugins) -> dict[str, Any]:
    """Return plugins and broken plugins as JSON values."""
    return {
        "hook_api": HOOK_API,
        "plugins": [_plugin(plugin, loaded.components_of(plugin)) for plugin in loaded.loaded],
        "commands": [_command(origin(point)) for point in installed(COMMAND_GROUP)],
        "broken": [
            {
                "plugin": broken.plugin,
                "distribution": broken.distribution,
                "version": broken.version,
                "error": broken.error,
            }
            for broken in loaded.broken
        ],
    }


def _plugin(plugin: Loaded, components: tuple[PluginComponent, ...]) -> dict[str, Any]:
    return {
        "plugin": plugin.plugin,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "import_s": round(plugin.import_s, 4),
        "components": [_component(item) for item in components],
    }


def _command(source: Origin) -> dict[str, Any]:
    return {
        "command": source.plugin,
        "distribution": source.distribution,
        "version": source.version,
    }


def _component(item: PluginComponent) -> dict[str, Any]:
    recipe = item.kind == "recipe"
    return {
        "kind": item.kind,
        "name": item.name,
        "version": None if recipe else item.component.version,
        "edge": None if recipe else item.edge_ready,
        "licence": getattr(item.component, "licence", "") or None,
        "about": item.component.description if recipe else describe(item.component),
    }
