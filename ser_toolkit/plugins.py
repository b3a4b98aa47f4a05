"""The plugins of this installation: what they offer, found by kind and name."""

from __future__ import annotations

import dataclasses
import os
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from importlib.metadata import EntryPoint
from typing import Any, NoReturn

import pluggy

from . import loading, refusals
from .contracts import Augmenter, FrameAugmenter, ModelBuilder, Reader
from .loading import KINDS, Broken, Loaded
from .offers import Offer, call_hook
from .recipe import Recipe, Use
from .runtime.errors import SertkError
from .runtime.events import Sink
from .runtime.extractor import Extractor

DEFAULT_RECIPE = "compact"
STAGES = ("extractor", "augmenter", "model")


def warn_on_stderr(line: str) -> None:
    """One warning line for people; standard output stays clean."""
    print(f"Warning: {line}", file=sys.stderr)


def load_plugins(
    only: Collection[str] | None = None,
    env: Mapping[str, str] = os.environ,
    find: Callable[[], Iterable[EntryPoint]] = loading.installed,
    warn: Callable[[str], None] = warn_on_stderr,
    asked: Collection[str] = (),
) -> Plugins:
    """Import the plugins of this installation; broken and slow ones cost a warning line each.

    `only` limits third parties to these plugins or distributions, and so does SERTK_PLUGINS=a,b
    (empty: none). The built-ins always load. SERTK_STRICT=1 makes every breakage a SertkError.
    There is no warning of a broken plugin in `only` or `asked`: using it is the error that says so.
    """
    points = list(find())
    wanted = None if "SERTK_PLUGINS" not in env else _names(env["SERTK_PLUGINS"])
    for name in sorted(wanted or ()):
        if not any(_is_called(point, name) for point in points):
            warn(f"SERTK_PLUGINS names '{name}', which is not installed")
    chosen = [point for point in points if _chosen(point, wanted) and _chosen(point, only)]
    manager = loading.new_manager()
    results = [loading.load(manager, point) for point in chosen]
    strict = env.get("SERTK_STRICT", "0") not in ("", "0")
    plugins = Plugins(manager, results, warn, strict, frozenset([*(only or ()), *asked]))
    for broken in plugins.broken:
        plugins.report(broken)
    for slow in plugins.loaded:
        if slow.slowness:
            warn(f"{slow.label} {slow.slowness}. {loading.SLOW_TODO}")
    return plugins


class Plugins:
    """The loaded plugins. Components are asked for by kind, so that each hook runs only if needed.

    `name` is always a component's name, or `distribution:name` where two plugins offer one name.
    """

    def __init__(
        self,
        manager: pluggy.PluginManager,
        results: Iterable[Loaded | Broken],
        warn: Callable[[str], None],
        strict: bool,
        asked: Collection[str] = (),
    ) -> None:
        results = list(results)
        self._manager = manager
        self._warn = warn
        self._strict = strict
        self._asked = asked
        self._loaded = [result for result in results if isinstance(result, Loaded)]
        self._broken = [result for result in results if isinstance(result, Broken)]
        self._offers: dict[tuple[str, str], tuple[Offer, ...]] = {}
        self._slowness = {plugin.key: [plugin.slowness] for plugin in self._loaded}

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        """Plugins that work, as far as their hooks have been called."""
        return tuple(self._loaded)

    @property
    def broken(self) -> tuple[Broken, ...]:
        """Plugins that do not work, with the cause."""
        return tuple(self._broken)

    def slowness(self, plugin: Loaded) -> str:
        """How long its import and its hooks took so far, where that is worth a word."""
        return " and ".join(filter(None, self._slowness[plugin.key]))

    def report(self, broken: Broken) -> None:
        """Warn of a broken plugin unless it was asked for; with SERTK_STRICT it is fatal."""
        if self._strict:
            raise SertkError(f"SERTK_STRICT is set and {broken}", refusals.MEND) from broken.cause
        if not any(broken.is_called(name) for name in self._asked):
            self._warn(f"{broken}. It is left out")

    def offers(self, kind: str) -> tuple[Offer, ...]:
        """Everything of one kind, with the plugin it comes from."""
        found = [self._offers_of(plugin, kind) for plugin in self.loaded]
        return tuple(offer for offers in found for offer in offers)

    def offers_of(self, plugin: Loaded) -> tuple[Offer, ...]:
        """Everything that one plugin offers."""
        return tuple(offer for kind in KINDS for offer in self._offers_of(plugin, kind))

    def call_all(self) -> None:
        """Call every hook now, so that `loaded` and `broken` are complete."""
        for plugin in self.loaded:
            self.offers_of(plugin)

    def offer(self, kind: str, name: str) -> Offer:
        """The one component called `name`, with the plugin it comes from.

        Raises SertkError when nobody offers it, when two do, or when its plugin is broken.
        """
        prefix, _, plain = name.rpartition(":")
        offers = self.offers(kind)
        named = [offer for offer in offers if offer.name == plain]
        found = [offer for offer in named if not prefix or offer.plugin.is_called(prefix)]
        if len(found) > 1:
            refusals.clash(kind, found)
        if not found:
            self._refuse_broken(prefix or plain)
            self._refuse_unknown(kind, name, [offer.name for offer in offers])
        return found[0]

    def reader(self, name: str) -> Reader:
        """The dataset reader called `name`."""
        return self._component("reader", name)  # type: ignore[no-any-return]

    def augmenter(self, name: str) -> Augmenter | FrameAugmenter:
        """The augmenter called `name`."""
        return self._component("augmenter", name)  # type: ignore[no-any-return]

    def extractor(self, name: str) -> Extractor:
        """The feature extractor called `name`."""
        return self._component("extractor", name)  # type: ignore[no-any-return]

    def model(self, name: str) -> ModelBuilder:
        """The model builder called `name`."""
        return self._component("model", name)  # type: ignore[no-any-return]

    def recipe(self, name: str) -> Recipe:
        """The recipe called `name`."""
        return self._component("recipe", name)  # type: ignore[no-any-return]

    def sink(self, name: str) -> Sink:
        """The sink called `name`."""
        return self._component("sink", name)  # type: ignore[no-any-return]

    @property
    def readers(self) -> tuple[Reader, ...]:
        """All dataset readers."""
        return self._components("reader")

    @property
    def augmenters(self) -> tuple[Augmenter | FrameAugmenter, ...]:
        """All augmenters."""
        return self._components("augmenter")

    @property
    def extractors(self) -> tuple[Extractor, ...]:
        """All feature extractors."""
        return self._components("extractor")

    @property
    def models(self) -> tuple[ModelBuilder, ...]:
        """All model builders."""
        return self._components("model")

    @property
    def recipes(self) -> tuple[Recipe, ...]:
        """All recipes."""
        return self._components("recipe")

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """All sinks."""
        return self._components("sink")

    def plugin(self, name: str) -> Loaded:
        """The plugin called `name`, or of the distribution `name`, or `distribution:name`."""
        found = [plugin for plugin in self.loaded if plugin.plugin == name]
        found = found or [plugin for plugin in self.loaded if plugin.is_called(name)]
        if len(found) > 1:
            keys = " and ".join(plugin.key for plugin in found)
            raise SertkError(f"'{name}' is a plugin of both {keys}", "Type one of these instead")
        if not found:
            self._refuse_broken(name)
            refusals.command(name)
            self._refuse_unknown("plugin", name, [plugin.plugin for plugin in self.loaded])
        return found[0]

    def default_recipe(self, plugin: str | None = None, recipe: str | None = None) -> Recipe:
        """What `--plugin` and `--recipe` choose together.

        A plugin's recipe of its own name, else its only one. A plugin without recipes puts what it
        offers into the named recipe (`compact` unless said otherwise).
        """
        if plugin is None:
            return self.recipe(recipe or DEFAULT_RECIPE)
        chosen = self.plugin(plugin)
        offers = self.offers_of(chosen)
        self._refuse_broken_now(chosen)
        recipes = [offer.component for offer in offers if offer.kind == "recipe"]
        if recipes:
            return _own_recipe(chosen, recipes, recipe)
        stages = [offer for offer in offers if offer.kind in STAGES]
        if not stages and not any(offer.kind == "reader" for offer in offers):
            refusals.useless(chosen, offers)
        return self._with_stages(self.recipe(recipe or DEFAULT_RECIPE), chosen, stages)

    def _with_stages(self, recipe: Recipe, plugin: Loaded, stages: list[Offer]) -> Recipe:
        changes: dict[str, Any] = {}
        for kind in STAGES:
            found = [offer for offer in stages if offer.kind == kind]
            if len(found) > 1:
                names = ", ".join(offer.name for offer in found)
                raise SertkError(
                    f"plugin '{plugin.plugin}' offers several {kind}s: {names}",
                    f"Choose one with --set {kind}=NAME instead of --plugin",
                )
            for offer in found:
                use = Use(self._shortest_name(offer))
                changes[kind] = use if kind == "model" else (use,)
        return dataclasses.replace(recipe, **changes)

    def _shortest_name(self, offer: Offer) -> str:
        same = [other for other in self.offers(offer.kind) if other.name == offer.name]
        return offer.name if len(same) == 1 else offer.qualified

    def _component(self, kind: str, name: str) -> Any:
        return self.offer(kind, name).component

    def _components(self, kind: str) -> tuple[Any, ...]:
        return tuple(offer.component for offer in self.offers(kind))

    def _offers_of(self, plugin: Loaded, kind: str) -> tuple[Offer, ...]:
        key = (plugin.key, kind)
        if key not in self._offers:
            self._offers[key] = self._call(plugin, kind)
        return self._offers[key]

    def _call(self, plugin: Loaded, kind: str) -> tuple[Offer, ...]:
        before = time.perf_counter()
        answer = call_hook(self._manager, plugin, kind)
        if isinstance(answer, tuple):
            self._time(plugin, kind, time.perf_counter() - before)
            return answer
        if plugin in self._loaded:
            self._loaded.remove(plugin)
            self._broken.append(answer)
            self._manager.unregister(name=plugin.key)
            self.report(answer)
        return ()

    def _time(self, plugin: Loaded, kind: str, seconds: float) -> None:
        if seconds >= loading.SLOW_S:
            slow = f"took {seconds:.1f} s in {loading.hook_of(kind)}"
            self._slowness[plugin.key].append(slow)
            self._warn(f"{plugin.label} {slow}. {loading.SLOW_TODO}")

    def _refuse_broken_now(self, plugin: Loaded) -> None:
        if plugin not in self._loaded:
            self._refuse_broken(plugin.plugin)

    def _refuse_broken(self, name: str) -> None:
        for broken in self._broken:
            if broken.is_called(name):
                raise SertkError(str(broken), refusals.MEND) from broken.cause

    def _refuse_unknown(self, kind: str, name: str, known: Iterable[str]) -> NoReturn:
        modules = [self._manager.get_plugin(plugin.key) for plugin in self._loaded]
        renamings = [getattr(module, "SERTK_RENAMED", {}) for module in modules]
        refusals.renamed(kind, name.rpartition(":")[2], renamings)
        refusals.unknown(kind, name, known, self._loaded, self._broken)


def _names(text: str) -> set[str]:
    return {name.strip() for name in text.split(",") if name.strip()}


def _is_called(point: EntryPoint, name: str) -> bool:
    return loading.origin(point).is_called(name)


def _chosen(point: EntryPoint, names: Collection[str] | None) -> bool:
    if names is None or _is_called(point, loading.BUILTIN_DISTRIBUTION):
        return True
    return any(_is_called(point, name) for name in names)


def _own_recipe(plugin: Loaded, recipes: list[Recipe], name: str | None) -> Recipe:
    by_name = {recipe.name: recipe for recipe in recipes}
    if name is None and len(recipes) == 1:
        return recipes[0]
    wanted = plugin.plugin if name is None else name.rpartition(":")[2]
    if wanted in by_name:
        return by_name[wanted]
    problem = "several recipes" if name is None else f"no recipe '{name}'"
    raise SertkError(
        f"plugin '{plugin.plugin}' has {problem}", f"Choose one with --recipe: {', '.join(by_name)}"
    )
