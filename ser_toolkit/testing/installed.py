"""The checks of an installed plugin, by its name."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

from ..plugins.entry_points import Broken, installed, origin
from ..plugins.errors import one_line
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
    """Return every check of the components and commands of a plugin, and why one is expected to
    fail.

    `data` is a corpus for its readers; `settings` are those of `chosen.configured`. Raises
    SertkError where nothing is called `name`, where two plugins are, where it is broken, and for
    what does not fit.
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
    found = [offers(module) for module in modules]
    if any(isinstance(some, Broken) for some in found):
        # What is given would fit nothing; the check `hooks` says what is wrong.
        return Given()
    offered = [offer for some in found if not isinstance(some, Broken) for offer in some]
    instead, contents = configured(offered, settings)
    readers = [instead.get((offer.kind, offer.name), offer.component) for offer in offered]
    return Given(contents, corpora(readers, data), instead=instead)


def _brings(command: EntryPoint, name: str) -> bool:
    """Say whether a command is called `name`, or belongs to a plugin or distribution that is."""
    source = origin(command)
    if source.is_called(name):
        return True
    same = (origin(point) for point in installed())
    return any(one.is_called(name) and one.distribution == source.distribution for one in same)


def _is_plugin(plugins: Plugins, name: str) -> bool:
    return any(one.is_called(name) for one in (*plugins.loaded, *plugins.broken))


def _module(plugins: Plugins, name: str) -> Any:
    key = plugins.plugin(name).key
    (point,) = [point for point in installed() if origin(point).key == key]
    return point.load()


def _loaded(point: EntryPoint) -> Any:
    found: list[Any] = []
    error = attempt(lambda: found.append(point.load()))
    if error is not None:
        raise SertkError(
            f"command '{point.name}' is broken: {one_line(error)}", "Fix it"
        ) from error
    return found[0]
