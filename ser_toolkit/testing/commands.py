"""Check commands."""

from __future__ import annotations

import contextlib
import io
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import click

from . import device
from .check import Check, CheckFailed, NotChecked, expect
from .common import check_name
from .compare import raised

HEAVY = "Import it inside the function that uses it: `sertk NAME --help` and every other start wait"


def command_checks(command: click.Command) -> Iterator[Check]:
    """Yield the checks of a click command."""
    table: dict[str, tuple[str, Callable[[click.Command], None]]] = {
        "declared": ("a name and a line of help", _declared),
        "help": ("--help works, of every sub-command too", _help),
        "light": ("importing it imports nothing that takes seconds", _light),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(run, command))


def _declared(command: click.Command) -> None:
    check_name(command.name)
    todo = "Write a docstring: its first line is what --help begins with"
    expect(bool(command.help), "a command with help", "none", todo)


def _help(command: click.Command, path: str = "", parent: click.Context | None = None) -> None:
    path = f"{path} {command.name}".strip()
    text, error = _shown(command, path)
    if error is not None:
        raise CheckFailed(
            f"`{path} --help` to end well",
            raised(error),
            "Do work in the function alone, not in callbacks of options or while it is built",
        ) from error
    todo = "Leave --help to click"
    expect(text.startswith("Usage:"), f"`{path} --help` to show how it is used", text[:80], todo)
    if isinstance(command, click.Group):
        context = click.Context(command, info_name=path, parent=parent)
        for name in command.list_commands(context):
            inner = command.get_command(context, name)
            if inner is not None:
                _help(inner, path, context)


def _shown(command: click.Command, path: str) -> tuple[str, BaseException | None]:
    text = io.StringIO()
    try:
        with contextlib.redirect_stdout(text):
            command.main(["--help"], prog_name=path, standalone_mode=False)
    except (Exception, SystemExit) as error:
        return text.getvalue(), error
    return text.getvalue(), None


def _light(command: click.Command) -> None:
    module, name = _place(command)
    heavy = device.imports(module, name)
    expect(not heavy, f"the module {module} to import nothing heavy", ", ".join(heavy), HEAVY)


def _place(command: click.Command) -> tuple[str, str]:
    """Return the module of the command and its name in it."""
    module = getattr(command.callback, "__module__", type(command).__module__)
    home: Any = sys.modules.get(module)
    for name, value in vars(home).items() if home else ():
        if value is command:
            return module, name
    raise NotChecked(f"it is not a name of the module {module}, so it cannot be imported elsewhere")
