"""What plugins offer: calls their hooks, one implementation at a time, and checks the answers."""

from __future__ import annotations

import dataclasses
from typing import Any

import pluggy

from .contracts import Augmenter, FrameAugmenter, ModelBuilder, Reader
from .foreign import attempt, captured
from .loading import Broken, DefectError, Loaded, broken, hook_of
from .recipe import Recipe
from .runtime.component import Component
from .runtime.events import Sink
from .runtime.extractor import Extractor

TYPES: dict[str, tuple[type, ...]] = {
    "reader": (Reader,),
    "augmenter": (Augmenter, FrameAugmenter),
    "extractor": (Extractor,),
    "model": (ModelBuilder,),
    "recipe": (Recipe,),
    "sink": (Sink,),
}
FIELDS: dict[str, type] = {"version": int, "licence": str, "edge_ready": bool}


@dataclasses.dataclass(frozen=True)
class Offer:
    """One component and the plugin that it comes from. Recipes have neither version nor edge."""

    kind: str
    component: Any
    plugin: Loaded
    edge_ready: bool = False

    @property
    def name(self) -> str:
        """What users type."""
        return str(self.component.name)

    @property
    def qualified(self) -> str:
        """`distribution:name`, which no other distribution can offer."""
        return f"{self.plugin.distribution}:{self.name}"


def call_hook(
    manager: pluggy.PluginManager, plugin: Loaded, kind: str
) -> tuple[Offer, ...] | Broken:
    """What one plugin offers of one kind; a hook that raises or returns rubbish breaks it."""
    offers: list[Offer] = []
    with captured():
        doing = f"calling {hook_of(kind)} of {plugin.label}"
        error = attempt(lambda: offers.extend(_offers(manager, plugin, kind)), doing)
    return tuple(offers) if error is None else broken(plugin, error)


def _offers(manager: pluggy.PluginManager, plugin: Loaded, kind: str) -> list[Offer]:
    offers: list[Offer] = []
    for impl in getattr(manager.hook, hook_of(kind)).get_hookimpls():
        if impl.plugin_name == plugin.key:
            offers += _checked(impl.function(), plugin, kind)
    names = [offer.name for offer in offers]
    for name in names:
        if names.count(name) > 1:
            raise DefectError(f"{hook_of(kind)} offers '{name}' twice")
    return offers


def _checked(answer: object, plugin: Loaded, kind: str) -> list[Offer]:
    hook = hook_of(kind)
    if not isinstance(answer, list):
        raise DefectError(f"{hook} expects a list, received {type(answer).__name__}")
    for item in answer:
        problem = _problem(item, TYPES[kind])
        if problem:
            raise DefectError(f"{hook}: {problem}")
    return [Offer(kind, item, plugin, bool(getattr(item, "edge_ready", 0))) for item in answer]


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
    """What everybody reads of a component: a property may raise here, and nowhere else."""
    for name, kind in FIELDS.items():
        value = getattr(item, name, kind())
        if not isinstance(value, kind):
            wanted = f"{name} of {type(item).__name__} expects {kind.__name__}"
            return f"{wanted}, received {value!r:.60}"
    return ""
