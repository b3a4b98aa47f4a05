"""Loads plugins one at a time, so that one that breaks takes nothing else with it.

It knows nothing of components, and so imports nothing that takes time.
"""

from __future__ import annotations

import dataclasses
import difflib
import inspect
import time
import traceback
from collections.abc import Callable
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path

import pluggy

from . import __version__, hookspecs
from .foreign import attempt, captured
from .hookspecs import GROUP, HOOK_API
from .numba_cache import use_own_numba_cache
from .requirements import normalised, unmet

KINDS = ("reader", "augmenter", "extractor", "model", "recipe", "sink")
BUILTIN_DISTRIBUTION = "ser-toolkit"
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
SLOW_S = 1.0
SLOW_TODO = (
    "Its author can import heavy libraries where they are used; "
    "SERTK_PLUGINS=A,B loads only plugins A and B"
)


@dataclasses.dataclass(frozen=True)
class Origin:
    """Which plugin it is: the name that users type, and the distribution that brings it."""

    plugin: str
    distribution: str
    version: str

    @property
    def key(self) -> str:
        """`distribution:plugin`, which is unique."""
        return f"{self.distribution}:{self.plugin}"

    @property
    def label(self) -> str:
        """How lines for people name it."""
        return f"plugin '{self.plugin}' ({self.distribution} {self.version})"

    def is_called(self, name: str) -> bool:
        """Whether `name` is this plugin's name, its key, or its distribution's name."""
        if name in (self.plugin, self.key):
            return True
        return normalised(name) == normalised(self.distribution)


@dataclasses.dataclass(frozen=True)
class Loaded(Origin):
    """A plugin that was imported and registered; `output` is what it printed meanwhile."""

    import_s: float = 0.0
    output: str = ""

    @property
    def slowness(self) -> str:
        """How long its import took, where that is worth a word."""
        slow = self.import_s >= SLOW_S
        return f"took {self.import_s:.1f} s to import" if slow else ""


@dataclasses.dataclass(frozen=True)
class Broken(Origin):
    """A plugin that could not be used, and why, in one line."""

    error: str = ""
    output: str = ""
    cause: BaseException | None = dataclasses.field(default=None, repr=False, compare=False)

    @property
    def todo(self) -> str:
        """What may mend it."""
        known = self.cause.todo if isinstance(self.cause, WrongVersionError) else ""
        upgrade = known or f"pip install --upgrade {self.distribution}"
        return f"Run `{upgrade}`, or `pip uninstall {self.distribution}`"

    def __str__(self) -> str:
        return f"{self.label} is broken: {self.error}"


class DefectError(Exception):
    """A plugin does not keep to the seam; the message says in what."""


class WrongVersionError(DefectError):
    """A plugin was written for another version of this toolkit; `todo` is the line that helps."""

    def __init__(self, problem: str, late: str) -> None:
        self.todo = f"pip install --upgrade {late}"
        super().__init__(f"{problem}: {self.todo}")


def hook_of(kind: str) -> str:
    """The name of the hook for components of `kind`."""
    return f"{GROUP}_{kind}s"


def installed(group: str = GROUP) -> list[EntryPoint]:
    """The entry points of a group in every installed distribution, in a stable order."""
    try:
        found = list(entry_points(group=group))
    except Exception:
        # One damaged file, as a power cut leaves it, fails the question for all distributions.
        found = [point for dist in distributions() for point in _entry_points(dist, group)]
    return sorted(found, key=lambda point: origin(point).key)


def origin(point: EntryPoint) -> Origin:
    """Which plugin and which distribution an entry point belongs to."""
    try:
        name, version = point.dist.metadata["Name"], point.dist.version  # type: ignore[union-attr]
    except Exception:
        name, version = "unknown", "0"
    return Origin(point.name, str(name), str(version))


def damaged() -> list[str]:
    """Distributions whose entry points cannot be read."""
    found = []
    for dist in distributions():
        if attempt(lambda dist=dist: dist.entry_points) is not None:  # type: ignore[misc]
            found.append(str(dist.metadata["Name"]))
    return found


def new_manager() -> pluggy.PluginManager:
    """A plugin manager that knows our hooks and no plugin."""
    manager = pluggy.PluginManager(GROUP)
    manager.add_hookspecs(hookspecs)
    return manager


def load(manager: pluggy.PluginManager, point: EntryPoint) -> Loaded | Broken:
    """Import and register one plugin, or say what is wrong with it."""
    source = origin(point)
    use_own_numba_cache()
    with captured() as printed:
        error = attempt(lambda: check_core(point))
        before = time.perf_counter()
        if error is None:
            doing = f"importing {source.label}"
            error = attempt(lambda: _register(manager, source.key, point), doing)
    seconds, output = time.perf_counter() - before, printed.getvalue()
    loaded = Loaded(**dataclasses.asdict(source), import_s=seconds, output=output)
    return loaded if error is None else broken(loaded, error)


def check_core(point: EntryPoint) -> None:
    """DefectError for what was written for another version of this toolkit, by its metadata."""
    source = origin(point)
    if normalised(source.distribution) == BUILTIN_DISTRIBUTION:
        return
    found = unmet(_requires(point), BUILTIN_DISTRIBUTION, __version__)
    if found:
        late = BUILTIN_DISTRIBUTION if found.newer else source.distribution
        raise WrongVersionError(f"needs {found.text}, this is {__version__}", late)


def broken(plugin: Loaded, error: BaseException) -> Broken:
    """`plugin`, broken by `error`."""
    source = (plugin.plugin, plugin.distribution, plugin.version)
    return Broken(*source, one_line(error), plugin.output, error)


def one_line(error: BaseException) -> str:
    """Kind, message and place of an error, in one line."""
    return told(error) + ("" if isinstance(error, DefectError) else _place(error))


def told(error: BaseException) -> str:
    """Kind and message of an error, in one line; of what breaks the seam the message alone."""
    message = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    if isinstance(error, DefectError):
        return message
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({message})"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def placed(file: Path, line: int | None) -> str:
    """Where something went wrong, as it stands behind an error; no folder of the machine's."""
    return f" ({'/'.join(file.parts[-2:])}, line {line})"


def _entry_points(dist: Distribution, group: str) -> list[EntryPoint]:
    try:
        return [point for point in dist.entry_points if point.group == group]
    except Exception:
        return []


def _requires(point: EntryPoint) -> list[str]:
    try:
        return list(point.dist.requires or ()) if point.dist else []
    except Exception:
        return []


def _place(error: BaseException) -> str:
    """Where the plugin's own code went wrong, as far as that is known."""
    places = [
        (Path(frame.filename), frame.lineno)
        for frame in traceback.extract_tb(error.__traceback__)
        if not frame.filename.startswith("<") and not _is_host(Path(frame.filename))
    ]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno))
    if not places:
        return ""
    file, line = places[-1]
    return placed(file, line)


def _is_host(file: Path) -> bool:
    return file.is_relative_to(Path(__file__).parent) or "importlib" in file.parts


def _register(manager: pluggy.PluginManager, key: str, point: EntryPoint) -> None:
    module = point.load()
    wanted = getattr(module, "SERTK_HOOK_API", HOOK_API)
    if not isinstance(wanted, int):
        raise DefectError(f"SERTK_HOOK_API expects a whole number, received {wanted!r}")
    if wanted > HOOK_API:
        problem = f"needs HOOK_API {wanted}, this {BUILTIN_DISTRIBUTION} has {HOOK_API}"
        raise WrongVersionError(problem, BUILTIN_DISTRIBUTION)
    for kind in KINDS:
        _check_hook(module, hook_of(kind))
    try:
        manager.register(module, key)
        _check_names(manager, key)
    except BaseException:
        # pluggy may leave a refused plugin half registered.
        if manager.get_plugin(key) is module:
            manager.unregister(name=key)
        raise


def _check_hook(module: object, name: str) -> None:
    hook = getattr(module, name, None)
    marked = hasattr(hook, f"{GROUP}_impl") or hasattr(hook, f"{GROUP}_spec")
    if not callable(hook):
        return
    if not marked:
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


def _check_names(manager: pluggy.PluginManager, key: str) -> None:
    known = [hook_of(kind) for kind in KINDS]
    for caller in manager.get_hookcallers(manager.get_plugin(key)) or []:
        if not caller.has_spec():
            near = difflib.get_close_matches(caller.name, known, 1) or [", ".join(known)]
            raise DefectError(f"unknown hook '{caller.name}', perhaps meant as {near[0]}")
