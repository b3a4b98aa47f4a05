"""Collect what plugins offer: call one hook of one plugin at a time, and check what it returns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pluggy

from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
from ..contracts.recipe import Recipe
from ..runtime.component import Component
from ..runtime.events import Sink
from ..runtime.features.base import Extractor
from .entry_points import Loaded
from .errors import Broken, DefectError, broken
from .loader import hook_of
from .sandbox import attempt, captured

TYPES: dict[str, tuple[type, ...]] = {
    "reader": (Reader,),
    "augmenter": (Augmenter, FrameAugmenter),
    "extractor": (Extractor,),
    "model": (ModelBuilder,),
    "recipe": (Recipe,),
    "sink": (Sink,),
}
FIELDS: dict[str, type] = {"version": int, "licence": str, "edge_ready": bool}


@dataclass(frozen=True)
class PluginComponent:
    """Hold one component and the plugin that it comes from. Recipes are never edge-ready."""

    kind: str
    component: Any
    plugin: Loaded

    @property
    def name(self) -> str:
        """Return what users type."""
        return str(self.component.name)

    @property
    def edge_ready(self) -> bool:
        """Say whether it runs on a device."""
        return bool(getattr(self.component, "edge_ready", False))

    @property
    def qualified(self) -> str:
        """Return `distribution:name`, which no other distribution can offer."""
        return f"{self.plugin.distribution}:{self.name}"


def collect(
    manager: pluggy.PluginManager, plugin: Loaded, kind: str
) -> tuple[PluginComponent, ...] | Broken:
    """Return the components of one kind of one plugin; Broken where its hook does not work.

    Args:
        manager: Where the plugin is registered.
        plugin: Whose hook is called.
        kind: One of `loader.KINDS`.
    """
    with captured():
        doing = f"calling {hook_of(kind)} of {plugin.label}"
        items = attempt(lambda: _collect(manager, plugin, kind), doing)
    if isinstance(items, BaseException):
        return broken(plugin, items)
    return tuple(PluginComponent(kind, item, plugin) for item in items)


def _collect(manager: pluggy.PluginManager, plugin: Loaded, kind: str) -> list[Any]:
    hook, items = hook_of(kind), []
    for impl in getattr(manager.hook, hook).get_hookimpls():
        if impl.plugin_name == plugin.key:
            returned = impl.function()
            if not isinstance(returned, list):
                raise DefectError(f"{hook} expects a list, received {type(returned).__name__}")
            items += returned
    for item in items:
        if problem := _problem(item, TYPES[kind]):
            raise DefectError(f"{hook}: {problem}")
    names = [item.name for item in items]
    for name in names:
        if names.count(name) > 1:
            raise DefectError(f"{hook} offers '{name}' twice")
    return items


def _problem(item: object, kinds: tuple[type, ...]) -> str:
    wanted = " or ".join(kind.__name__ for kind in kinds)
    if isinstance(item, type):
        return f"expects an instance of {wanted}, received the class {item.__name__}"
    if not isinstance(item, kinds):
        return f"expects an instance of {wanted}, received {item!r:.60}"
    name, params = getattr(item, "name", ""), getattr(item, "__dataclass_params__", None)
    if not isinstance(name, str) or not name or ":" in name:
        return f"{type(item).__name__} needs a name without ':', received {name!r}"
    if isinstance(item, Component) and not (params and params.frozen):
        return f"{type(item).__name__} must be a frozen dataclass"
    return _wrong_field(item) if isinstance(item, Component) else ""


def _wrong_field(item: Component) -> str:
    """Read the attributes that the host uses: a property that raises shall raise here."""
    for name, kind in FIELDS.items():
        value = getattr(item, name, kind())
        if not isinstance(value, kind):
            wanted = f"{name} of {type(item).__name__} expects {kind.__name__}"
            return f"{wanted}, received {value!r:.60}"
    return ""
