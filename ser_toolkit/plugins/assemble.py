"""Open a recipe, and find the components that it names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder
from ..contracts.recipe import SEE, ComponentSpec, Recipe
from ..runtime.component import (
    Asset,
    Component,
    assets_of,
    from_spec,
    parts_of,
    to_spec,
)
from ..runtime.errors import SertkError
from ..runtime.features.base import Extractor, FrameExtractor, Joined, Stack
from .entry_points import Loaded
from .errors import refuse_useless
from .loader import PluginComponent
from .registry import Plugins

DEFAULT_RECIPE = "compact"
COMPONENT_STAGES = ("extractor", "augmenter", "model")


@dataclass(frozen=True)
class Assembly:
    """Hold the components of a recipe; `recipe` has every parameter and version written out."""

    recipe: Recipe
    extractor: Extractor
    augmenters: tuple[Augmenter, ...]
    frame_augmenters: tuple[FrameAugmenter, ...]
    model: ModelBuilder

    @property
    def augmented_copies(self) -> int:
        """Return how many augmented copies a training clip has; 0 without audio augmenters."""
        if self.recipe.training.combine == "all":
            return int(2 ** len(self.augmenters) - 1)
        return self.recipe.training.copies if self.augmenters else 0

    @property
    def assets(self) -> tuple[Asset, ...]:
        """Return the assets of all components that may have some."""
        return tuple(asset for c in (self.extractor, *self.augmenters) for asset in assets_of(c))

    @property
    def licences(self) -> tuple[str, ...]:
        """Return a line for each extractor whose library is not free for every use."""
        parts = [part for part in parts_of(self.extractor) if isinstance(part, Extractor)]
        return tuple(f"'{part.name}': {part.licence}" for part in parts if part.licence)


def assemble(recipe: Recipe, plugins: Plugins) -> Assembly:
    """Find and configure what the recipe names."""
    parts = build(recipe.extractor, plugins, "extractor")
    augmenters = build(recipe.augmenter, plugins, "augmenter")
    (model,) = build((recipe.model,), plugins, "model")
    extractor = _stacked(parts)
    _check_augmenters(augmenters, extractor)
    pinned = replace(
        recipe,
        extractor=_pinned(recipe.extractor, parts),
        augmenter=_pinned(recipe.augmenter, augmenters),
        model=_pinned((recipe.model,), [model])[0],
    )
    return Assembly(
        pinned,
        extractor,
        tuple(item for item in augmenters if isinstance(item, Augmenter)),
        tuple(item for item in augmenters if isinstance(item, FrameAugmenter)),
        model,
    )


def build(specs: Sequence[ComponentSpec], plugins: Plugins, kind: str) -> list[Any]:
    """Return the components that specs describe."""
    find = partial(plugins.get, kind)
    for spec in specs:
        _check_offered(spec, plugins, kind)
    return [from_spec({**spec.params, "name": spec.name}, find) for spec in specs]


def _check_offered(spec: ComponentSpec, plugins: Plugins, kind: str) -> None:
    """Refuse an instance whose class no plugin offers: a run or a bundle could not name it."""
    made_of = spec.made_of
    if made_of and not any(type(one) is made_of for one in plugins.all(kind)):
        raise SertkError(
            f"no installed plugin offers the {kind} {made_of.__name__} of {made_of.__module__}",
            f"Offer it by the hook sertk_{kind}s, see `sertk plugins new`",
        )


def _check_augmenters(
    augmenters: Sequence[Augmenter | FrameAugmenter], extractor: Extractor
) -> None:
    for augmenter in augmenters:
        if not 0 <= augmenter.p <= 1:
            raise SertkError(
                f"'{augmenter.name}.p' expects a probability, 0 to 1, received {augmenter.p}"
            )
    for augmenter in augmenters:
        if isinstance(augmenter, FrameAugmenter) and not isinstance(extractor, FrameExtractor):
            raise SertkError(
                f"'{augmenter.name}' augments frames, and '{extractor.name}' gives none",
                "Leave that augmenter out of the recipe",
            )


def _pinned(
    specs: Sequence[ComponentSpec], components: Sequence[Component]
) -> tuple[ComponentSpec, ...]:
    """Return the specs with every parameter and version written out."""
    pinned = []
    for spec, component in zip(specs, components, strict=True):
        values = {key: value for key, value in to_spec(component).items() if key != "name"}
        pinned.append(ComponentSpec(spec.name, _without_none(values)))
    return tuple(pinned)


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out None, which TOML lacks: a field that may be None is None by default."""
    return {key: value for key, value in values.items() if value is not None}


def _stacked(parts: Sequence[Any]) -> Extractor:
    if not parts:
        raise SertkError("a recipe needs at least one extractor", SEE)
    if len(parts) == 1:
        single: Extractor = parts[0]
        return single
    kind = Stack if isinstance(parts[0], FrameExtractor) else Joined
    try:
        return kind(tuple(parts))
    except ValueError as error:
        raise SertkError(str(error), SEE) from error


def open_recipe(recipe: str | Recipe | None, plugins: Plugins, plugin: str | None = None) -> Recipe:
    """Return a recipe that was made in Python, or one of a file or a plugin.

    Args:
        recipe: A recipe, a `.toml` file or a name; None is the default one.
        plugins: Where names are found.
        plugin: What `--plugin` says, see `default_recipe`.
    """
    if isinstance(recipe, Recipe):
        _refuse_both(plugin, "recipe", recipe.name)
        return recipe
    if recipe is not None and recipe.endswith(".toml"):
        _refuse_both(plugin, "recipe file", recipe)
        return _read_recipe(recipe)
    return default_recipe(plugins, plugin, recipe)


def _refuse_both(plugin: str | None, kind: str, name: str) -> None:
    if plugin is not None:
        problem = f"either a plugin or a {kind} expected, received '{plugin}' and '{name}'"
        raise SertkError(problem, "Leave out one of them")


def _read_recipe(path: str) -> Recipe:
    try:
        return Recipe.from_toml(Path(path).read_text("utf-8-sig"), path)
    except OSError as error:
        raise SertkError(
            f"cannot read recipe '{path}': {error.strerror}", "Check the path"
        ) from error
    except (UnicodeDecodeError, TypeError) as error:
        raise SertkError(
            f"'{path}' is not a recipe ({error})", "Compare it with `sertk recipe show compact`"
        ) from error


def default_recipe(
    plugins: Plugins, plugin: str | None = None, recipe: str | None = None
) -> Recipe:
    """Return the recipe that `--plugin` and `--recipe` choose together.

    A plugin's recipe of its own name, else its only one. A plugin without recipes puts its
    components into the named recipe.

    Args:
        plugins: The loaded plugins.
        plugin: A plugin's name, or None.
        recipe: A recipe's name; None is the plugin's, else `compact`.
    """
    if plugin is None:
        return plugins.get("recipe", recipe or DEFAULT_RECIPE)
    loaded, offered = plugins.plugin_components(plugin)
    recipes = [item.component for item in offered if item.kind == "recipe"]
    if recipes:
        return _own_recipe(loaded, recipes, recipe)
    stages = [item for item in offered if item.kind in COMPONENT_STAGES]
    if not stages and not any(item.kind == "reader" for item in offered):
        refuse_useless(loaded, [item.name for item in offered])
    return _with_stages(plugins.get("recipe", recipe or DEFAULT_RECIPE), stages, plugins)


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


def _with_stages(recipe: Recipe, stages: Sequence[PluginComponent], plugins: Plugins) -> Recipe:
    for kind in COMPONENT_STAGES:
        of_kind = [item for item in stages if item.kind == kind]
        if len(of_kind) > 1:
            names = ", ".join(item.name for item in of_kind)
            raise SertkError(
                f"plugin '{of_kind[0].plugin.plugin}' offers several {kind}s: {names}",
                f"Choose one with --set {kind}=NAME instead of --plugin",
            )
        for one in of_kind:
            spec = ComponentSpec(plugins.shortest_name(one))
            recipe = with_stage(recipe, kind, spec if kind == "model" else (spec,))
    return recipe


def with_stage(recipe: Recipe, stage: str, value: Any) -> Recipe:
    """Return a copy with one stage exchanged."""
    changes: dict[str, Any] = {stage: value}
    return replace(recipe, **changes)
