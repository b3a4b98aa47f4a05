"""From a recipe's names to components, and `--set` to a recipe."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .assets import Assets
from .contracts import Augmenter, FrameAugmenter, ModelBuilder
from .plugins import Plugins
from .recipe import Recipe, Use, parse_value
from .runtime.component import (
    Asset,
    Component,
    assets_of,
    configure,
    configure_fields,
    fields_of,
    from_spec,
    parts_of,
    to_spec,
)
from .runtime.errors import SertkError
from .runtime.extractor import Extractor, FrameExtractor, Joined, Stack

COMPONENT_STAGES = ("extractor", "augmenter", "model")
STAGES = (*COMPONENT_STAGES, "window", "training")


@dataclass(frozen=True)
class Assembly:
    """The components of a recipe; `recipe` itself with every parameter and version written out."""

    recipe: Recipe
    extractor: Extractor
    augmenters: tuple[Augmenter, ...]
    masks: tuple[FrameAugmenter, ...]
    model: ModelBuilder

    @property
    def copies(self) -> int:
        """Augmented copies of each training clip: none where no augmenter alters audio."""
        if self.recipe.training.combine == "all":
            return int(2 ** len(self.augmenters) - 1)
        return self.recipe.training.copies if self.augmenters else 0

    @property
    def assets(self) -> tuple[Asset, ...]:
        """The assets of all components that may have some."""
        return tuple(asset for c in (self.extractor, *self.augmenters) for asset in assets_of(c))

    @property
    def licences(self) -> tuple[str, ...]:
        """A line for each extractor whose library is not free for every use."""
        parts = [part for part in parts_of(self.extractor) if isinstance(part, Extractor)]
        return tuple(f"'{part.name}': {part.licence}" for part in parts if part.licence)


def assemble(recipe: Recipe, plugins: Plugins) -> Assembly:
    """Find and configure what the recipe names."""
    parts = [_built(use, plugins.extractor) for use in recipe.extractor]
    augmenters = [_likely(_built(use, plugins.augmenter)) for use in recipe.augmenter]
    model = _built(recipe.model, plugins.model)
    extractor = _stacked(parts)
    masks = tuple(item for item in augmenters if isinstance(item, FrameAugmenter))
    if masks and not isinstance(extractor, FrameExtractor):
        raise SertkError(
            f"'{masks[0].name}' augments frames, and '{extractor.name}' gives none",
            "Leave that augmenter out of the recipe",
        )
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
        masks,
        model,
    )


def _built(use: Use, resolve: Callable[[str], Component]) -> Any:
    return from_spec({**use.params, "name": use.name}, resolve)


def _likely(augmenter: Augmenter | FrameAugmenter) -> Augmenter | FrameAugmenter:
    if not 0 <= augmenter.p <= 1:
        raise SertkError(f"'{augmenter.name}.p' is a probability, received {augmenter.p}")
    return augmenter


def _pinned(uses: Sequence[Use], components: Sequence[Component]) -> tuple[Use, ...]:
    specs = [to_spec(component) for component in components]
    return tuple(
        Use(use.name, _without_none({k: v for k, v in spec.items() if k != "name"}))
        for use, spec in zip(uses, specs, strict=True)
    )


def _without_none(values: dict[str, Any]) -> dict[str, Any]:
    """TOML has no null; a parameter that is None by choice is None by default as well."""
    return {key: value for key, value in values.items() if value is not None}


def _stacked(parts: Sequence[Any]) -> Extractor:
    if not parts:
        raise SertkError("a recipe needs at least one extractor")
    if len(parts) == 1:
        single: Extractor = parts[0]
        return single
    kind = Stack if isinstance(parts[0], FrameExtractor) else Joined
    try:
        return kind(tuple(parts))
    except ValueError as error:
        raise SertkError(str(error), "See `sertk recipe show`") from error


def apply_setting(recipe: Recipe, setting: str, plugins: Plugins, assets: Assets) -> Recipe:
    """A recipe with one `key=value` set.

    The key is STAGE.FIELD, or STAGE.COMPONENT.FIELD where several components have the field:

    `training.epochs=10`, `extractor.n_mels=80`, `augmenter.noise.p=0.3`, `extractor.weights=@FILE`;
    `model=NAME` or `extractor=NAME,NAME` exchanges a whole stage.
    """
    key, equals, text = setting.partition("=")
    stage, _, rest = key.strip().partition(".")
    if equals and not rest and stage in COMPONENT_STAGES:
        return _exchanged(recipe, stage, text, plugins)
    if not equals or not rest or stage not in STAGES:
        raise SertkError(
            f"--set expects STAGE.FIELD=VALUE, received {setting!r}",
            f"Stages: {', '.join(STAGES)}",
        )
    if text.strip().startswith("@") and stage not in ("extractor", "augmenter"):
        raise SertkError(
            f"only extractors and augmenters take the bytes of a file, received {setting!r}",
            "Give a value, or set a parameter of one of these",
        )
    value = _value(text.strip(), assets)
    if stage in ("window", "training"):
        part = getattr(recipe, stage)
        fields = configure_fields(type(part), {rest: value}, stage)
        return _with(recipe, stage, dataclasses.replace(part, **fields))
    uses = recipe.extractor if stage == "extractor" else recipe.augmenter
    if stage == "model":
        return replace(recipe, model=_set((recipe.model,), plugins.model, stage, rest, value)[0])
    resolve = plugins.extractor if stage == "extractor" else plugins.augmenter
    return _with(recipe, stage, _set(uses, resolve, stage, rest, value))


def _exchanged(recipe: Recipe, stage: str, names: str, plugins: Plugins) -> Recipe:
    uses = tuple(Use(name.strip()) for name in names.split(",") if name.strip())
    for use in uses:
        getattr(plugins, stage)(use.name)
    if stage == "model":
        if len(uses) != 1:
            raise SertkError(f"--set model= expects one name, received {names!r}")
        return replace(recipe, model=uses[0])
    return _with(recipe, stage, uses)


def _with(recipe: Recipe, stage: str, value: Any) -> Recipe:
    changes: dict[str, Any] = {stage: value}
    return replace(recipe, **changes)


def _value(text: str, assets: Assets) -> Any:
    if text.startswith("@"):
        return dataclasses.asdict(assets.add(Path(text[1:])))
    return parse_value(text)


def _set(
    uses: tuple[Use, ...],
    resolve: Callable[[str], Component],
    stage: str,
    rest: str,
    value: Any,
) -> tuple[Use, ...]:
    named, _, field = rest.rpartition(".")
    components = [resolve(use.name) for use in uses]
    having = [
        index
        for index, use in enumerate(uses)
        if field in fields_of(components[index]) and named in ("", use.name)
    ]
    if len(having) != 1:
        options = [
            f"{stage}.{use.name}.{name}"
            for use, component in zip(uses, components, strict=True)
            for name in fields_of(component)
        ]
        problem = "is ambiguous" if having else "does not exist in this recipe"
        raise SertkError(f"'{stage}.{rest}' {problem}", f"Choose from: {', '.join(options)}")
    (index,) = having
    # Against what was set before: a range may leave the defaults one end at a time.
    configure(_built(uses[index], resolve), {field: value}, resolve)
    changed = uses[index].with_params(**{field: value})
    return (*uses[:index], changed, *uses[index + 1 :])
