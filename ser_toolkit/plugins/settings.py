"""Change a recipe as `--set` or the argument `settings` says."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.recipe import ComponentSpec, Recipe, parse_value, specs_of
from ..runtime.component import configure, configure_fields, fields_of
from ..runtime.errors import SertkError
from .assemble import COMPONENT_STAGES, build, with_stage
from .assets import Assets
from .registry import Plugins

STAGES = (*COMPONENT_STAGES, "window", "training")


@dataclass(frozen=True)
class RecipeSettings:
    """Values in place of a recipe's own.

    Attributes:
        values: Pairs of a key, `stage.field` or `stage`, and a value; or lines `key=value` as they
            are typed.
        source: How errors name the place that they come from: `settings` or `--set`.
    """

    values: tuple[tuple[str, Any] | str, ...] = ()
    source: str = "settings"

    @property
    def keys(self) -> tuple[str, ...]:
        """Return the keys, in order."""
        return tuple(_split(value)[0] for value in self.values)

    def also(self, line: str) -> RecipeSettings:
        """Return a copy with one more line at the end."""
        return dataclasses.replace(self, values=(*self.values, line))

    def apply(self, recipe: Recipe, plugins: Plugins, assets: Assets) -> Recipe:
        """Return a recipe with the values set, one after another; `assets` takes their files."""
        for value in self.values:
            recipe = apply_setting(recipe, value, plugins, assets, self.source)
        return recipe


SettingsInput = RecipeSettings | Mapping[str, Any] | Sequence[str]
"""What stands for settings: a mapping of keys to values, or lines `key=value`."""


def settings_of(given: SettingsInput) -> RecipeSettings:
    """Return settings of a mapping, or of lines `key=value`."""
    if isinstance(given, RecipeSettings):
        return given
    if isinstance(given, Mapping):
        return RecipeSettings(tuple((str(key), value) for key, value in given.items()))
    if isinstance(given, str) or not all(isinstance(line, str) for line in given):
        raise SertkError(
            f"settings expects a dict or a list of strings, received {given!r:.80}",
            'Give {"training.epochs": 40} or ["training.epochs=40"]',
        )
    return RecipeSettings(tuple(given))


def apply_setting(
    recipe: Recipe,
    setting: tuple[str, Any] | str,
    plugins: Plugins,
    assets: Assets,
    source: str = "--set",
) -> Recipe:
    """Return a recipe with one value set.

    The key is STAGE.FIELD, or STAGE.COMPONENT.FIELD where several components have the field:
    `training.epochs=10`, `extractor.n_mels=80`, `augmenter.noise.p=0.3`, `extractor.weights=@FILE`;
    `model=NAME` or `extractor=NAME,NAME` exchanges a whole stage.

    Args:
        recipe: It stays as it is.
        setting: A pair of key and value, or a line `key=value`.
        plugins: Where names are found.
        assets: Take the file of a value `@FILE`.
        source: How errors name the place that the setting comes from.
    """
    key, value, written = _split(setting)
    stage, _, rest = key.partition(".")
    if written and not rest and stage in COMPONENT_STAGES:
        return _exchanged(recipe, stage, value, plugins, source)
    if not written or not rest or stage not in STAGES:
        raise SertkError(
            f"{source} expects STAGE.FIELD=VALUE, received {_shown(setting)}",
            f"Stages: {', '.join(STAGES)}",
        )
    file = _file_of(value)
    if file and stage not in ("extractor", "augmenter"):
        raise SertkError(
            f"only extractors and augmenters take the bytes of a file, received {_shown(setting)}",
            "Give a value, or set a parameter of one of these",
        )
    if file:
        value = dataclasses.asdict(assets.add(Path(file)))
    elif isinstance(setting, str):
        value = parse_value(value)
    if stage in ("window", "training"):
        part = getattr(recipe, stage)
        fields = configure_fields(type(part), {rest: value}, stage)
        return with_stage(recipe, stage, dataclasses.replace(part, **fields))
    found = getattr(recipe, stage)
    specs = (found,) if stage == "model" else found
    changed = _set(specs, plugins, stage, rest, value)
    return with_stage(recipe, stage, changed[0] if stage == "model" else changed)


def _split(setting: tuple[str, Any] | str) -> tuple[str, Any, bool]:
    """Return key and value, and whether there is a value."""
    if not isinstance(setting, str):
        return setting[0].strip(), setting[1], True
    key, equals, text = setting.partition("=")
    return key.strip(), text.strip(), bool(equals)


def _shown(setting: tuple[str, Any] | str) -> str:
    return repr(setting) if isinstance(setting, str) else f"{setting[0]!r}: {setting[1]!r:.80}"


def _file_of(value: Any) -> str:
    """Return the file that a value `@FILE` names, else nothing."""
    return value.strip()[1:] if isinstance(value, str) and value.strip().startswith("@") else ""


def _exchanged(recipe: Recipe, stage: str, value: Any, plugins: Plugins, source: str) -> Recipe:
    if isinstance(value, str):
        value = [name.strip() for name in value.split(",") if name.strip()]
    specs = specs_of(stage, value)
    for spec in specs:
        if spec.made_of is None:
            plugins.get(stage, spec.name)
    if stage == "model" and len(specs) != 1:
        names = ",".join(spec.name for spec in specs)
        raise SertkError(f"{source} model= expects one name, received {names!r}")
    return with_stage(recipe, stage, specs[0] if stage == "model" else specs)


def _set(
    specs: tuple[ComponentSpec, ...], plugins: Plugins, stage: str, key: str, value: Any
) -> tuple[ComponentSpec, ...]:
    """Set a field of the only component of a stage that has it; `key` is [COMPONENT.]FIELD."""
    named, _, field = key.rpartition(".")
    find = partial(plugins.get, stage)
    names = [list(fields_of(find(spec.name))) for spec in specs]
    having = [
        index
        for index, spec in enumerate(specs)
        if field in names[index] and named in ("", spec.name)
    ]
    if len(having) != 1:
        options = [
            f"{stage}.{spec.name}.{name}"
            for spec, fields in zip(specs, names, strict=True)
            for name in fields
        ]
        problem = "is ambiguous" if having else "does not exist in this recipe"
        raise SertkError(f"'{stage}.{key}' {problem}", f"Choose from: {', '.join(options)}")
    (index,) = having
    # Against what was set before: a range may leave the defaults one end at a time.
    (before,) = build((specs[index],), plugins, stage)
    configure(before, {field: value}, find)
    changed = specs[index].with_params(**{field: value})
    return (*specs[:index], changed, *specs[index + 1 :])
