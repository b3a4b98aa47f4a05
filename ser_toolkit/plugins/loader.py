"""Load plugins one at a time, so that one that breaks affects no other."""

from __future__ import annotations

import difflib
import inspect
import time
from collections.abc import Callable
from dataclasses import asdict
from importlib.metadata import EntryPoint

import pluggy

from . import hookspecs
from .entry_points import BUILTIN_DISTRIBUTION, Loaded, origin
from .errors import Broken, DefectError, NewerHookApiError, broken
from .hookspecs import GROUP, HOOK_API
from .sandbox import attempt, captured

KINDS = ("reader", "augmenter", "extractor", "model", "recipe", "sink")
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


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
