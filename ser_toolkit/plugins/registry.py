"""Find what the plugins of this installation offer, by kind and name."""

from __future__ import annotations

import os
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, Literal, overload

from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
from ..contracts.recipe import Recipe
from ..runtime.errors import SertkError
from ..runtime.events import Sink
from ..runtime.features.base import Extractor
from ..utils.numba_cache import use_own_numba_cache
from . import errors
from .entry_points import SLOW_S, SLOW_TODO, Loaded, installed, origin
from .errors import Broken
from .loader import KINDS, PluginComponent, collect, hook_of, load, new_manager


def warn_on_stderr(line: str) -> None:
    """Print one warning line for people; standard output stays clean."""
    print(f"Warning: {line}", file=sys.stderr)


def load_plugins(
    only: Collection[str] | None = None,
    env: Mapping[str, str] = os.environ,
    find: Callable[[], Iterable[EntryPoint]] = installed,
    warn: Callable[[str], None] = warn_on_stderr,
    requested: Collection[str] = (),
) -> Plugins:
    """Import the plugins of this installation; broken and slow ones cost a warning line each.

    SERTK_PLUGINS=a,b in `env` limits third parties as `only` does (empty: none); the built-ins
    always load. SERTK_STRICT=1 makes every broken plugin a SertkError.

    Args:
        only: Limits third parties to these plugins or distributions.
        env: The environment variables.
        find: Returns the entry points.
        warn: Shows a warning line.
        requested: Plugins, like those in `only`, of which no warning says that they are broken:
            using one is the error that says so.
    """
    points = list(find())
    wanted = None if "SERTK_PLUGINS" not in env else _names(env["SERTK_PLUGINS"])
    for name in sorted(wanted or ()):
        if not any(origin(point).is_called(name) for point in points):
            warn(f"SERTK_PLUGINS names '{name}', which is not installed")
    allowed = [point for point in points if _chosen(point, wanted)]
    strict = env.get("SERTK_STRICT", "0") not in ("", "0")
    use_own_numba_cache()
    return Plugins(allowed, only, warn, strict, requested)


class Plugins:
    """Hold the loaded plugins. A hook runs when components of its kind are first looked for.

    `name` is always a component's name, or `distribution:name` where two plugins offer one name.
    """

    def __init__(
        self,
        points: Collection[EntryPoint],
        only: Collection[str] | None,
        warn: Callable[[str], None],
        strict: bool,
        requested: Collection[str],
    ) -> None:
        self._manager = new_manager()
        self._warn = warn
        self._strict = strict
        self._requested = [*(only or ()), *requested]
        self._loaded: list[Loaded] = []
        self._broken: list[Broken] = []
        self._components: dict[tuple[str, str], tuple[PluginComponent, ...]] = {}
        self._slowness: dict[str, list[str]] = defaultdict(list)
        self._rest = [point for point in points if not _chosen(point, only)]
        self._load(point for point in points if _chosen(point, only))

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        """Return the plugins that work, as far as their hooks were called."""
        return tuple(self._loaded)

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Return the plugins that do not work, with the error."""
        return tuple(self._broken)

    def load_rest(self) -> None:
        """Import the plugins that `only` left out, too."""
        rest, self._rest = self._rest, []
        self._load(rest)
        self._loaded.sort(key=lambda plugin: plugin.key)

    def slowness(self, plugin: Loaded) -> str:
        """Return how long its import and its hooks took so far, if they were slow; else nothing."""
        return " and ".join(self._slowness[plugin.key])

    def report(self, broken: Broken) -> None:
        """Warn of a broken plugin unless it was requested; with SERTK_STRICT it is fatal."""
        if self._strict:
            raise SertkError(f"SERTK_STRICT is set and {broken}", errors.FIX) from broken.cause
        if not any(broken.is_called(name) for name in self._requested):
            self._warn(f"{broken}. It is left out")

    @overload
    def get(self, kind: Literal["reader"], name: str) -> Reader: ...
    @overload
    def get(self, kind: Literal["augmenter"], name: str) -> Augmenter | FrameAugmenter: ...
    @overload
    def get(self, kind: Literal["extractor"], name: str) -> Extractor: ...
    @overload
    def get(self, kind: Literal["model"], name: str) -> ModelBuilder: ...
    @overload
    def get(self, kind: Literal["recipe"], name: str) -> Recipe: ...
    @overload
    def get(self, kind: Literal["sink"], name: str) -> Sink: ...
    @overload
    def get(self, kind: str, name: str) -> Any: ...
    def get(self, kind: str, name: str) -> Any:
        """Return the one component of `kind` called `name`.

        Raises SertkError when no plugin offers it, when two do, or when its plugin is broken.
        """
        return self.component(kind, name).component

    @overload
    def all(self, kind: Literal["reader"]) -> tuple[Reader, ...]: ...
    @overload
    def all(self, kind: Literal["augmenter"]) -> tuple[Augmenter | FrameAugmenter, ...]: ...
    @overload
    def all(self, kind: Literal["extractor"]) -> tuple[Extractor, ...]: ...
    @overload
    def all(self, kind: Literal["model"]) -> tuple[ModelBuilder, ...]: ...
    @overload
    def all(self, kind: Literal["recipe"]) -> tuple[Recipe, ...]: ...
    @overload
    def all(self, kind: Literal["sink"]) -> tuple[Sink, ...]: ...
    @overload
    def all(self, kind: str) -> tuple[Any, ...]: ...
    def all(self, kind: str) -> tuple[Any, ...]:
        """Return all components of `kind`."""
        return tuple(item.component for item in self.components(kind))

    def components(self, kind: str) -> tuple[PluginComponent, ...]:
        """Return the components of one kind, with the plugin that each comes from."""
        by_plugin = [self._collected(plugin, kind) for plugin in self.loaded]
        return tuple(item for components in by_plugin for item in components)

    def components_of(self, plugin: Loaded) -> tuple[PluginComponent, ...]:
        """Return the components that one plugin offers."""
        return tuple(item for kind in KINDS for item in self._collected(plugin, kind))

    def call_all(self) -> None:
        """Call every hook now, so that `loaded` and `broken` are complete."""
        for plugin in self.loaded:
            self.components_of(plugin)

    def component(self, kind: str, name: str) -> PluginComponent:
        """Return what `get` returns, with the plugin that it comes from."""
        prefix, _, plain = name.rpartition(":")
        components = self.components(kind)
        named = [item for item in components if item.name == plain]
        found = [item for item in named if not prefix or item.plugin.is_called(prefix)]
        if len(found) > 1:
            errors.refuse_clash(kind, plain, [item.plugin for item in found])
        if not found:
            errors.refuse_broken(prefix or plain, self._broken)
            modules = [module for _, module in self._manager.list_name_plugin()]
            renamings = [getattr(module, "SERTK_RENAMED", {}) for module in modules]
            errors.refuse_renamed(kind, plain, renamings)
            errors.refuse_unknown(kind, name, [item.name for item in components], self._broken)
        return found[0]

    def plugin(self, name: str) -> Loaded:
        """Return the plugin called `name`, or `distribution:name`, or of that distribution."""
        found = [plugin for plugin in self._loaded if plugin.plugin == name]
        found = found or [plugin for plugin in self._loaded if plugin.is_called(name)]
        if len(found) > 1:
            keys = " and ".join(plugin.key for plugin in found)
            raise SertkError(f"'{name}' is a plugin of both {keys}", "Type one of these instead")
        if not found:
            errors.refuse_broken(name, self._broken)
            errors.refuse_command(name)
            known = [plugin.plugin for plugin in self._loaded]
            errors.refuse_unknown("plugin", name, known, self._broken)
        return found[0]

    def plugin_components(self, name: str) -> tuple[Loaded, tuple[PluginComponent, ...]]:
        """Return a plugin and the components that it offers; SertkError where its hooks fail."""
        plugin = self.plugin(name)
        components = self.components_of(plugin)
        errors.refuse_broken(plugin.key, self._broken)
        return plugin, components

    def shortest_name(self, component: PluginComponent) -> str:
        """Return its name, with the distribution in front where others offer the same name."""
        names = [item.name for item in self.components(component.kind)]
        return component.name if names.count(component.name) == 1 else component.qualified

    def _load(self, points: Iterable[EntryPoint]) -> None:
        results = [load(self._manager, point) for point in points]
        loaded = [result for result in results if isinstance(result, Loaded)]
        broken = [result for result in results if isinstance(result, Broken)]
        self._loaded += loaded
        self._broken += broken
        for one in broken:
            self.report(one)
        for plugin in loaded:
            self._note_time(plugin, "to import", plugin.import_s)

    def _collected(self, plugin: Loaded, kind: str) -> tuple[PluginComponent, ...]:
        key = (plugin.key, kind)
        if key not in self._components:
            before = time.perf_counter()
            found = collect(self._manager, plugin, kind)
            if isinstance(found, Broken):
                found = self._leave_out(plugin, found)
            else:
                self._note_time(plugin, f"in {hook_of(kind)}", time.perf_counter() - before)
            self._components[key] = found
        return self._components[key]

    def _leave_out(self, plugin: Loaded, broken: Broken) -> tuple[()]:
        self._loaded.remove(plugin)
        self._broken.append(broken)
        self._manager.unregister(name=plugin.key)
        self.report(broken)
        return ()

    def _note_time(self, plugin: Loaded, doing: str, seconds: float) -> None:
        if seconds >= SLOW_S:
            slow = f"took {seconds:.1f} s {doing}"
            self._slowness[plugin.key].append(slow)
            self._warn(f"{plugin.label} {slow}. {SLOW_TODO}")


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _chosen(point: EntryPoint, names: Collection[str] | None) -> bool:
    source = origin(point)
    if names is None or source.is_builtin:
        return True
    return any(source.is_called(name) for name in names)
