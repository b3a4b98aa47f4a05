"""Check a plugin as a whole: its hooks can be called, and its import is quick."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import Any, cast

from ..plugins.entry_points import installed
from ..plugins.errors import Broken
from ..plugins.hookspecs import GROUP
from ..plugins.loader import KINDS, PluginComponent, hook_of
from ..plugins.registry import Plugins, load_plugins
from . import device
from .check import Check, CheckFailed, expect

HEAVY = "Import it inside the functions that use it: every start of sertk imports this module"


@dataclass(frozen=True)
class Here:
    """Replace the entry point of a module that is already in memory."""

    name: str
    module: Any
    dist: Any = None

    @property
    def value(self) -> str:
        """Return the name of the module."""
        return str(self.module.__name__)

    def load(self) -> Any:
        """Return the module."""
        return self.module


def is_plugin(subject: object) -> bool:
    """Say whether something is a module, or has hooks, well written or not."""
    if isinstance(subject, ModuleType):
        return True
    names = (name for name in dir(subject) if name.startswith(f"{GROUP}_"))
    return any(callable(getattr(subject, name)) for name in names)


def entry_point(module: Any) -> EntryPoint:
    """Return the installed entry point of a module, else a substitute."""
    name = getattr(module, "__name__", type(module).__name__)
    found = [point for point in installed() if point.value == name]
    return found[0] if found else cast(EntryPoint, Here(name, module))


def offers(module: Any) -> tuple[PluginComponent, ...] | Broken:
    """Return the components that its hooks offer, or why one cannot be used."""
    point = cast(EntryPoint, Here(entry_point(module).name, module))
    plugins = load_plugins(env={}, find=lambda: [point], warn=lambda line: None)
    components = [item for plugin in plugins.loaded for item in plugins.components_of(plugin)]
    return plugins.broken[0] if plugins.broken else tuple(components)


def with_others(module: Any) -> Plugins:
    """Return the plugins of this installation, and this one even where it is not installed."""
    point = entry_point(module)
    points = installed()
    points = points if point in points else [*points, point]
    return load_plugins(find=lambda: points, warn=lambda line: None)


def plugin_checks(module: Any, found: tuple[PluginComponent, ...] | Broken) -> Iterator[Check]:
    """Yield the checks of the plugin itself."""
    yield Check(
        "hooks", "hooks have the names and results of the contract", lambda: _hooks(module, found)
    )
    about = "importing it and calling its hooks imports nothing heavy"
    yield Check("light", about, lambda: _light(module))


def _hooks(module: Any, found: tuple[PluginComponent, ...] | Broken) -> None:
    if isinstance(found, Broken):
        raise CheckFailed(
            f"hooks named {', '.join(hook_of(kind) for kind in KINDS)} that return lists of "
            "instances",
            found.error,
            "Mark each with @hookimpl and let it return [Component()]",
        ) from found.cause
    for name, hook in _overlooked(module, bare=not found):
        todo = f"Call it {hook}, with @hookimpl above it"
        raise CheckFailed("hooks that are called", f"'{name}', which is never called", todo)
    todo = "Write a function sertk_extractors (or another hook) with @hookimpl"
    expect(len(found), "a plugin that offers something", "nothing", todo)


def _overlooked(module: Any, bare: bool) -> Iterator[tuple[str, str]]:
    """Yield functions named nearly as a hook (`bare`: without its prefix), and the hook."""
    missing = [hook for hook in map(hook_of, KINDS) if not hasattr(module, hook)]
    for name in dir(module):
        function = getattr(module, name)
        if not inspect.isfunction(function) or function.__module__ != module.__name__:
            continue
        near = difflib.get_close_matches(name, missing, 1, 0.85)
        if near and name.startswith(f"{GROUP}_"):
            yield name, near[0]
        elif bare and f"{GROUP}_{name}" in missing:
            yield name, f"{GROUP}_{name}"


def _light(module: Any) -> None:
    name = getattr(module, "__name__", "")
    loaded = device.imports(name)
    expect(not loaded, f"{name} to import nothing heavy", ", ".join(loaded), HEAVY)
