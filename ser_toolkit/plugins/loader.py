"""Import one plugin, call one of its hooks, and check both: one that breaks affects no other."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.metadata import EntryPoint
from typing import Any

import pluggy

from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
from ..contracts.recipe import Recipe
from ..runtime.component import Component
from ..runtime.events import Sink
from ..runtime.features.base import Extractor
from . import hookspecs
from .entry_points import BUILTIN_DISTRIBUTION, Loaded, origin
from .errors import Broken, DefectError, NewerHookApiError, broken
from .hookspecs import GROUP, HOOK_API
from .sandbox import attempt, captured

TYPES: dict[str, tuple[type, ...]] = {
    "reader": (Reader,),
    "augmenter": (Augmenter, FrameAugmenter),
    "extractor": (Extractor,),
    "model": (ModelBuilder,),
    "recipe": (Recipe,),
    "sink": (Sink,),
}
KINDS = tuple(TYPES)
FIELDS: dict[str, type] = {"version": int, "licence": str, "edge_ready": bool}
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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


def hook_of(kind: str) -> str:
    """Return the name of the hook for components of `kind`."""
    return f"{GROUP}_{kind}s"


def new_manager() -> pluggy.PluginManager:
    """Return a plugin manager with the hooks and without a plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def load(manager: pluggy.PluginManager, point: EntryPoint) -> Loaded | Broken:
    """Import and register one plugin; Broken says what is wrong with it."""
    source = origin(point)
    before = time.perf_counter()
    with captured() as printed:
        doing = f"importing {source.label}"
        error = attempt(lambda: _register(manager, source.key, point), doing)
    if error is not None:
        return broken(source, error)
    seconds = time.perf_counter() - before
    return Loaded(**asdict(source), import_s=seconds, output=printed.getvalue())


def collect(
    manager: pluggy.PluginManager, plugin: Loaded, kind: str
) -> tuple[PluginComponent, ...] | Broken:
    """Return the components of one kind of one plugin; Broken where its hook does not work.

    Args:
        manager: Where the plugin is registered.
        plugin: Whose hook is called.
        kind: One of KINDS.
    """
    with captured():
        doing = f"calling {hook_of(kind)} of {plugin.label}"
        items = attempt(lambda: _collect(manager, plugin, kind), doing)
    if isinstance(items, BaseException):
        return broken(plugin, items)
    return tuple(PluginComponent(kind, item, plugin) for item in items)


def _register(manager: pluggy.PluginManager, key: str, point: EntryPoint) -> None:
    module = point.load()
    _check_hook_api(module)
    for kind in KINDS:
        _check_hook(module, hook_of(kind))
    # pluggy may leave what it refuses half registered, and knows an unknown hook only afterwards.
    trial = new_manager()
    trial.register(module, key)
    _check_names(trial, module)
    manager.register(module, key)


def _check_hook_api(module: object) -> None:
    wanted = getattr(module, "SERTK_HOOK_API", HOOK_API)
    if not isinstance(wanted, int):
        raise DefectError(f"SERTK_HOOK_API expects a whole number, received {wanted!r}")
    if wanted > HOOK_API:
        problem = f"needs HOOK_API {wanted}, this {BUILTIN_DISTRIBUTION} has {HOOK_API}"
        raise NewerHookApiError(f"{problem}: pip install --upgrade {BUILTIN_DISTRIBUTION}")


def _check_hook(module: object, name: str) -> None:
    hook = getattr(module, name, None)
    if not callable(hook):
        return
    if not (hasattr(hook, f"{GROUP}_impl") or hasattr(hook, f"{GROUP}_spec")):
        raise DefectError(f"{name} lacks @hookimpl, so it would never be called")
    if not inspect.isroutine(hook):
        raise DefectError(f"{name} expects a function, received {type(hook).__name__}")
    if inspect.iscoroutinefunction(hook):
        raise DefectError(f"{name} is async, and hooks are called without waiting")
    _check_arguments(module, name, hook)


def _check_arguments(module: object, name: str, hook: Callable[..., object]) -> None:
    given = inspect.signature(getattr(hookspecs, name)).parameters
    for argument in inspect.signature(hook).parameters.values():
        needed = argument.default is argument.empty and argument.kind not in VARIADIC
        if needed and argument.name not in given:
            problem = f"{name} asks for '{argument.name}', which no hook is given"
            todo = f"write `def {name}({', '.join(given)}):`"
            if isinstance(module, type):
                todo = f"let the entry point name an instance of {module.__name__}"
            raise DefectError(f"{problem}: {todo}")


def _check_names(manager: pluggy.PluginManager, module: object) -> None:
    known = [hook_of(kind) for kind in KINDS]
    for caller in manager.get_hookcallers(module) or ():
        if not caller.has_spec():
            near = difflib.get_close_matches(caller.name, known, 1) or [", ".join(known)]
            raise DefectError(f"unknown hook '{caller.name}', perhaps meant as {near[0]}")


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
