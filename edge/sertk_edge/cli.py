"""The commands `sertk serve-edge` and `sertk edge`: parse, one call, show."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from ser_toolkit.runtime.errors import SertkError

from .options import (
    AnyPath,
    OneLineErrors,
    SinkType,
    paths_of,
    read_config,
    setting_options,
    variable_of,
    variables_of,
)
from .service import install
from .service.standard_streams import hold_standard
from .service.unit import Unit, checked_name, credential, service_command
from .settings import Settings, WrongUsageError
from .settings_loader import PREFIX, refuse_unknown, settings_of

PATH = AnyPath()


@click.command("serve-edge", cls=OneLineErrors, context_settings={"auto_envvar_prefix": PREFIX})
@click.argument(
    "bundle_file",
    metavar="[BUNDLE]",
    type=PATH,
    required=False,
    envvar=variable_of("bundle", "file"),
)
@click.option(
    "--config",
    type=PATH,
    metavar="FILE",
    is_eager=True,
    callback=read_config,
    allow_from_autoenv=False,
    help="Settings as TOML.",
)
@click.option(
    "--sink",
    "sinks",
    multiple=True,
    type=SinkType(),
    metavar="NAME[,KEY=VALUE…]",
    help="Where events go: console, json_lines, mqtt, webhook, or a plugin's; repeat for several.",
)
@click.option(
    "--list-devices",
    is_flag=True,
    allow_from_autoenv=False,
    help="List the microphones and exit.",
)
@click.option(
    "--check",
    is_flag=True,
    allow_from_autoenv=False,
    help="Check settings, bundle, sinks and files; then exit.",
)
@setting_options
def serve_edge(list_devices: bool, check: bool, **options: Any) -> None:
    """Detect the emotion of live speech with BUNDLE, until it is stopped.

    Events go to standard output, as lines for people on a terminal and as JSON in a pipe, or to the
    sinks that are named. A live source has a page on http://127.0.0.1:8642. Every option is also a
    key of the file given by --config and a variable SERTK_EDGE_SECTION_KEY; options go before
    variables, variables before the file.
    """
    hold_standard()
    if list_devices:
        click.echo(_devices())
        return
    from .sinks.sink_factory import sinks_or_default

    refuse_unknown(os.environ, variables_of(serve_edge))
    settings = settings_of(options)
    settings = dataclasses.replace(settings, sinks=sinks_or_default(settings.sinks))
    if check:
        from .check import run_checks

        raise click.exceptions.Exit(run_checks(settings, click.echo))
    from .main import run

    raise click.exceptions.Exit(run(settings))


@click.group()
def edge() -> None:
    """Set up the daemon on a device."""


@edge.command("install-service")
@click.argument("bundle", type=PATH)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF serve-edge]")
@click.option("--config", type=PATH, metavar="FILE", help="Settings as TOML, for serve-edge.")
@click.option(
    "--user", default="", metavar="NAME", help="Run as this user [default: a dynamic one]."
)
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME=FILE",
    help="Show FILE to the daemon alone, as /run/credentials/UNIT.service/NAME; repeat for more.",
)
@click.option("--name", default="sertk-edge", show_default=True, help="Name of the unit.")
@click.option(
    "--unit-dir", type=PATH, default=install.UNIT_DIR, show_default=True, help="Folder of the unit."
)
@click.option("--print", "only_print", is_flag=True, help="Print the unit and write nothing.")
def install_service(
    bundle: Path,
    more: tuple[str, ...],
    config: Path | None,
    user: str,
    credentials: tuple[str, ...],
    name: str,
    unit_dir: Path,
    only_print: bool,
) -> None:
    """Write a systemd unit that runs serve-edge with BUNDLE from every start of the machine on.

    The service may only record sound and use the network: see the comments in the unit.
    """
    bundle, config = bundle.absolute(), config.absolute() if config else None
    check_for_service(bundle, more)
    sertk = install.sertk_command()
    needed = [*install.program_files(sertk), *filter(None, (bundle, config))]
    unit = Unit(
        name=checked_name(name),
        command=service_command(sertk, bundle, config, more),
        bundle=bundle,
        user=user,
        credentials=tuple(map(credential, credentials)),
        home_is_read=any(install.lies_in(path, install.HOMES) for path in needed),
        systemd=install.systemd_version(),
    )
    text, problems = unit.text(), list(install.problems_of(unit, needed))
    if unit.home_is_read:
        _warn("parts lie below /home or /root: the service may read, not write, all it can there")
    if only_print:
        for problem, todo in problems:
            _warn(f"{problem}. {todo}")
        click.echo(text, nl=False)
        return
    if problems:
        raise SertkError(*problems[0])
    path = unit_dir / f"{unit.name}.service"
    install.write(path, text)
    click.echo(install.next_steps(path, unit.name), nl=False)


def check_for_service(bundle: Path, words: Sequence[str]) -> None:
    """Refuse options that `serve-edge` or a service cannot take. Raises WrongUsageError."""
    from .sinks.sink_factory import configured

    # Neither the variables of this shell nor a file that another user will read count here.
    made = serve_edge.make_context("serve-edge", [str(bundle), *words], auto_envvar_prefix=None)
    options = made.params
    for name in ("check", "list_devices"):
        if options[name]:
            problem = f"--{name.replace('_', '-')} ends at once, and a service keeps running"
            raise WrongUsageError(problem, "Leave it out")
    settings = settings_of(options)
    configured(settings.sinks)
    for where, path in _paths(options, settings):
        if not path.is_absolute():
            problem = f"{where} expects a path from / on, received '{path}'"
            todo = "Write the whole path: a service starts in another folder"
            raise WrongUsageError(problem, todo)


def _paths(options: Mapping[str, Any], settings: Settings) -> Iterator[tuple[str, Path]]:
    from .sinks.sink_factory import is_file

    yield from paths_of(serve_edge, options)
    if settings.source.path is not None:
        yield "--source", settings.source.path
    for name, params in settings.sinks:
        for key, value in params.items():
            if is_file(key, value):
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


def _warn(line: str) -> None:
    click.echo(f"Warning: {line}", err=True)
