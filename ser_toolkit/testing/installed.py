"""The checks of an installed plugin, by its name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from typing import Any

from .. import loading
from ..foreign import attempt
from ..hookspecs import COMMAND_GROUP
from ..loading import one_line, origin
from ..plugins import Plugins, load_plugins
from ..runtime.errors import SertkError
from .check import Check
from .kit import checks_for
from .outcome import declared, with_reasons


def checks_of(name: str) -> list[tuple[Check, str | None]]:
    """Every check of the components and commands of a plugin, and why one is expected to fail.

    Raises SertkError where nothing is called `name`, where two plugins are, or where it is broken.
    """
    commands = [point for point in loading.installed(COMMAND_GROUP) if _brings(point, name)]
    plugins = load_plugins(warn=lambda line: None)
    modules = [_module(plugins, name)] if _is_plugin(plugins, name) or not commands else []
    subjects = [*modules, *map(_loaded, commands)]
    reasons: dict[str, str] = {}
    for module in modules:
        reasons |= declared(module)
    checks = [check for subject in subjects for check in checks_for(subject)]
    return with_reasons(checks, reasons)


def _brings(command: EntryPoint, name: str) -> bool:
    """Whether a command is called `name`, or belongs to a plugin or distribution that is."""
    source = origin(command)
    if source.is_called(name):
        return True
    same = (origin(point) for point in loading.installed())
    return any(one.is_called(name) and one.distribution == source.distribution for one in same)


def _is_plugin(plugins: Plugins, name: str) -> bool:
    return any(one.is_called(name) for one in (*plugins.loaded, *plugins.broken))


def _module(plugins: Plugins, name: str) -> Any:
    key = plugins.plugin(name).key
    (point,) = [point for point in loading.installed() if origin(point).key == key]
    return point.load()


def _loaded(point: EntryPoint) -> Any:
    found: list[Any] = []
    error = attempt(lambda: found.append(point.load()))
    if error is not None:
        raise SertkError(
            f"command '{point.name}' is broken: {one_line(error)}", "Mend it"
        ) from error
    return found[0]
