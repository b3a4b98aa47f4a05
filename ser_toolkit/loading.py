"""Loads plugins one at a time, so that one that breaks takes nothing else with it.

It knows nothing of components, and so imports nothing that takes time.
"""

from __future__ import annotations

import contextlib
import dataclasses
import difflib
import io
import re
import time
import traceback
from collections.abc import Callable, Iterator
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points
from pathlib import Path

import pluggy

from . import hookspecs
from .hookspecs import GROUP, HOOK_API

KINDS = ("reader", "augmenter", "extractor", "model", "recipe", "sink")
BUILTIN_DISTRIBUTION = "ser-toolkit"


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


@dataclasses.dataclass(frozen=True)
class Broken(Origin):
    """A plugin that could not be used, and why, in one line."""

    error: str = ""
    output: str = ""
    cause: BaseException | None = dataclasses.field(default=None, repr=False, compare=False)

    def __str__(self) -> str:
        return (
            f"plugin '{self.plugin}' ({self.distribution} {self.version}) is broken: {self.error}"
        )


class DefectError(Exception):
    """A plugin does not keep to the seam; the message says in what."""


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


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
    before = time.perf_counter()
    with captured() as printed:
        error = attempt(lambda: _register(manager, source.key, point))
    seconds, output = time.perf_counter() - before, printed.getvalue()
    loaded = Loaded(**dataclasses.asdict(source), import_s=seconds, output=output)
    return loaded if error is None else broken(loaded, error)


def attempt(action: Callable[[], object]) -> BaseException | None:
    """Run foreign code; whatever it raises is returned, except the user's own interrupt."""
    try:
        action()
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        return error
    return None


def broken(plugin: Loaded, error: BaseException) -> Broken:
    """`plugin`, broken by `error`."""
    source = (plugin.plugin, plugin.distribution, plugin.version)
    return Broken(*source, one_line(error), plugin.output, error)


def one_line(error: BaseException) -> str:
    """Kind, message and place of an error, in one line."""
    message = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    if isinstance(error, DefectError):
        return message
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({message})"
    text = f"{type(error).__name__}: {message}" if message else type(error).__name__
    return text + _place(error)


@contextlib.contextmanager
def captured() -> Iterator[io.StringIO]:
    """Keep foreign code from writing into our output, which may be piped as JSON."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.redirect_stderr(text):
        yield text


def _entry_points(dist: Distribution, group: str) -> list[EntryPoint]:
    try:
        return [point for point in dist.entry_points if point.group == group]
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
    return f" ({'/'.join(file.parts[-2:])}, line {line})"


def _is_host(file: Path) -> bool:
    return file.is_relative_to(Path(__file__).parent) or "importlib" in file.parts


def _register(manager: pluggy.PluginManager, key: str, point: EntryPoint) -> None:
    module = point.load()
    wanted = getattr(module, "SERTK_HOOK_API", HOOK_API)
    if not isinstance(wanted, int):
        raise DefectError(f"SERTK_HOOK_API expects a whole number, received {wanted!r}")
    if wanted > HOOK_API:
        raise DefectError(
            f"needs HOOK_API {wanted}, this ser-toolkit has {HOOK_API}: upgrade ser-toolkit"
        )
    _check_markers(module)
    try:
        manager.register(module, key)
        _check_hooks(manager, key)
    except BaseException:
        # pluggy may leave a refused plugin half registered.
        if manager.get_plugin(key) is module:
            manager.unregister(name=key)
        raise


def _check_markers(module: object) -> None:
    for kind in KINDS:
        hook = getattr(module, hook_of(kind), None)
        marked = hasattr(hook, f"{GROUP}_impl") or hasattr(hook, f"{GROUP}_spec")
        if callable(hook) and not marked:
            raise DefectError(f"{hook_of(kind)} lacks @hookimpl, so it would never be called")


def _check_hooks(manager: pluggy.PluginManager, key: str) -> None:
    known = [hook_of(kind) for kind in KINDS]
    for caller in manager.get_hookcallers(manager.get_plugin(key)) or []:
        if not caller.has_spec():
            near = difflib.get_close_matches(caller.name, known, 1) or [", ".join(known)]
            raise DefectError(f"unknown hook '{caller.name}'; did it mean {near[0]}?")
