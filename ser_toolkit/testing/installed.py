"""Find the checks of an installed plugin by its name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from ..plugins.entry_points import installed, origin
from ..plugins.errors import Broken, one_line
from ..plugins.hookspecs import COMMAND_GROUP
from ..plugins.registry import Plugins, load_plugins
from ..plugins.sandbox import attempt
from ..runtime.errors import SertkError
from .check import Check
from .chosen import configured, corpora
from .given import Given
from .kit import checks_given
from .outcome import declared, with_reasons
from .plugin import offers


def checks_of(
    name: str, data: Path | None = None, settings: Sequence[str] = ()
) -> list[tuple[Check, str | None]]:
    """Return the checks of a plugin's components and commands, and why one is expected to fail.

    Args:
        name: Of a plugin, a distribution or a command.
        data: A corpus for its readers.
        settings: Those of `chosen.configured`.

    Raises:
        SertkError: Where nothing or two plugins are called `name`, where it is broken, and for
            arguments that do not fit.
    """
    commands = [point for point in installed(COMMAND_GROUP) if _brings(point, name)]
    plugins = load_plugins(warn=lambda line: None)
    modules = [_module(plugins, name)] if _is_plugin(plugins, name) or not commands else []
    subjects = [*modules, *map(_loaded, commands)]
    given = _given(modules, data, settings)
    reasons: dict[str, str] = {}
    for module in modules:
        reasons |= declared(module)
    checks = [check for subject in subjects for check in checks_given(subject, given)]
    return with_reasons(checks, reasons)


def _given(modules: Sequence[Any], data: Path | None, settings: Sequence[str]) -> Given:
    results = [offers(module) for module in modules]
    if any(isinstance(result, Broken) for result in results):
        # The options would fit nothing; the check `hooks` says what is wrong.
        return Given()
    offered = [offer for result in results if not isinstance(result, Broken) for offer in result]
    instead, contents = configured(offered, settings)
    readers = [instead.get((offer.kind, offer.name), offer.component) for offer in offered]
    return Given(contents, corpora(readers, data), instead=instead)


def _brings(command: EntryPoint, name: str) -> bool:
    """Say whether a command is called `name`, or belongs to a plugin or distribution that is."""
    source = origin(command)
    if source.is_called(name):
        return True
    same = (origin(point) for point in installed())
    return any(each.is_called(name) and each.distribution == source.distribution for each in same)


def _is_plugin(plugins: Plugins, name: str) -> bool:
    return any(plugin.is_called(name) for plugin in (*plugins.loaded, *plugins.broken))


def _module(plugins: Plugins, name: str) -> Any:
    key = plugins.plugin(name).key
    (point,) = [point for point in installed() if origin(point).key == key]
    return point.load()


def _loaded(point: EntryPoint) -> Any:
    command = attempt(point.load)
    if isinstance(command, BaseException):
        raise SertkError(
            f"command '{point.name}' is broken: {one_line(command)}",
            "Fix its entry point or its module",
        ) from command
    return command
