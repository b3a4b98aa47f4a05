"""`sertk serve-edge`: listen, and tell which emotion is heard."""

from __future__ import annotations

import dataclasses
import os
import typing
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .service.standard_streams import hold_standard
from .settings import SECTIONS, Settings, WrongUsageError
from .settings_loader import flag_of, plain


def setting_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """An option for every setting: its name, its type and its help come from the setting."""
    for option in reversed(list(_options())):
        command = option(command)
    return command


def _options() -> Iterator[Callable[..., Any]]:
    for section, kind in SECTIONS.items():
        hints = typing.get_type_hints(kind)
        for field in dataclasses.fields(kind):
            if field.metadata["flag"] != "-":
                yield _option(section, field, hints[field.name])


def _option(section: str, field: dataclasses.Field[Any], hint: Any) -> Callable[..., Any]:
    flag, name = flag_of(section, field), f"{section}_{field.name}"
    about = field.metadata["about"] + _default(field.default)
    if plain(hint) is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=about)
    if typing.get_origin(hint) is tuple:
        return click.option(flag, name, multiple=True, metavar="NAME", help=about)
    return click.option(flag, name, type=_type(hint), default=None, help=about)


def _default(value: Any) -> str:
    return "" if value in (None, "", (), False, -1) else f" [default: {value}]"


def _type(hint: Any) -> Any:
    if typing.get_origin(hint) is typing.Literal:
        return click.Choice(typing.get_args(hint))
    kind = plain(hint)
    return click.Path(path_type=Path) if kind is Path else kind


@click.command("serve-edge")
@click.argument("bundle", type=click.Path(path_type=Path), required=False)
@click.option("--config", type=click.Path(path_type=Path), metavar="FILE", help="Settings as TOML.")
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    metavar="NAME[,KEY=VALUE…]",
    help="Where events go: console, json_lines, mqtt, webhook, or a plugin's; repeat for several.",
)
@click.option("--list-devices", is_flag=True, help="List the microphones and exit.")
@click.option("--check", is_flag=True, help="Check settings, bundle, sinks and files; then exit.")
@setting_options
def serve_edge(
    bundle: Path | None,
    config: Path | None,
    sinks: tuple[str, ...],
    list_devices: bool,
    check: bool,
    **flags: Any,
) -> None:
    """Listen with BUNDLE and tell which emotion is heard, until it is stopped.

    Events go to standard output, as lines for people on a terminal and as JSON in a pipe, or to the
    sinks that are named. A live source has a page on http://127.0.0.1:8642. Every option is also a
    key of the file given by --config and a variable SERTK_EDGE_SECTION_KEY; options go before
    variables, variables before the file.
    """
    hold_standard()
    if list_devices:
        click.echo(_devices())
        return
    from .settings_loader import settings_of
    from .sinks.sink_factory import sinks_or_default

    settings = settings_of(config, os.environ, _given(bundle, flags), sinks)
    settings = dataclasses.replace(settings, sinks=sinks_or_default(settings.sinks))
    if check:
        from .check import run_checks

        raise click.exceptions.Exit(run_checks(settings, click.echo))
    from .main import run

    raise click.exceptions.Exit(run(settings))


def check_for_service(bundle: Path, words: Sequence[str]) -> None:
    """Refuse options that `serve-edge` or a service cannot take. Raises WrongUsageError."""
    from .settings_loader import settings_of
    from .sinks.sink_factory import configured

    try:
        flags = serve_edge.make_context("serve-edge", [str(bundle), *words]).params
    except click.UsageError as error:
        todo = "`sertk serve-edge --help` lists what may follow --"
        raise WrongUsageError(error.format_message(), todo) from error
    for name in ("check", "list_devices"):
        if flags[name]:
            raise WrongUsageError(f"--{name.replace('_', '-')} ends at once, and a service goes on")
    settings = settings_of(None, {}, _given(bundle, flags), flags["sinks"])
    configured(settings.sinks)
    for where, path in _paths(flags, settings):
        if not path.is_absolute():
            problem = f"{where} expects a path from / on, received '{path}'"
            raise WrongUsageError(problem, "A service does not start in this folder")


def _given(bundle: Path | None, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Settings of the command line, by `section_field`."""
    given = {key: value for key, value in flags.items() if value not in (None, ())}
    return given if bundle is None else {**given, "bundle_file": bundle}


def _paths(flags: Mapping[str, Any], settings: Settings) -> Iterator[tuple[str, Path]]:
    for option in serve_edge.params:
        if isinstance(value := flags.get(str(option.name)), Path):
            yield option.opts[0], value
    if settings.source.path is not None:
        yield "--source", settings.source.path
    for name, params in settings.sinks:
        for key, value in params.items():
            if (key == "path" or key.endswith("_file")) and value not in ("", "-"):
                yield f"{name}.{key}", Path(value)


def _devices() -> str:
    from .sources import list_devices

    lines = [
        f"{device.index:>3}{'*' if device.default else ' '} {device.name}  "
        f"{device.rate_hz} Hz, {device.channels} channel{'s' if device.channels > 1 else ''}"
        for device in list_devices()
    ]
    if not lines:
        return "No microphone is there. Plug one in; `arecord -l` lists what the system sees."
    head = "Choose one by number or by part of its name: --source mic:NAME (* is the default)"
    return "\n".join([head, *lines])
