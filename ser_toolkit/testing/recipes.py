"""Check recipes."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

from ..contracts.recipe import ComponentSpec, Recipe
from ..plugins.assemble import Assembly, assemble
from ..runtime.component import Component, from_spec
from ..runtime.errors import SertkError
from ..runtime.features.base import FrameExtractor, Signal, WindowExtractor
from ..runtime.inference.inputs import features
from . import signals
from .check import Check, CheckFailed, NotChecked, expect
from .common import check_name
from .given import Given
from .models import need_keras

N_CLASSES = 4
SECONDS = 4


def recipe_checks(recipe: Recipe, given: Given) -> Iterator[Check]:
    """Yield the checks of a recipe."""
    table: dict[str, tuple[str, Callable[[Recipe, Given], None]]] = {
        "declared": ("a name and a description", _declared),
        "toml": ("what goes through TOML and JSON comes back equal", _toml),
        "components": ("every component that it names exists", _components),
        "settings": ("every parameter is one that the component takes", _settings),
        "assembles": ("its parts fit together", _assembles),
        "network": ("its network takes what its extractors give", _network),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(run, recipe, given), slow=name == "network")


def _declared(recipe: Recipe, given: Given) -> None:
    del given
    check_name(recipe.name)
    todo = "Say in one line what it trains: `sertk recipe list` shows it"
    expect(bool(recipe.description), "a description", "none", todo)


def _toml(recipe: Recipe, given: Given) -> None:
    del given
    todo = "Numbers, texts, bools and lists of them stand in a recipe; leave out what is None"
    expected = "the recipe to be written as TOML and as JSON, and read again"
    try:
        again = Recipe.from_toml(recipe.to_toml())
        table = json.loads(json.dumps(recipe.to_dict(), allow_nan=False))
    except (SertkError, TypeError, ValueError) as error:
        raise CheckFailed(expected, str(error), todo) from error
    expect(_plain(again) == _plain(recipe), "the same recipe from TOML", f"{again!r}", todo)
    expect(
        _plain(Recipe.from_dict(table)) == _plain(recipe), "the same recipe from JSON", table, todo
    )


def _plain(recipe: Recipe) -> Any:
    """Return its JSON values: tuples become lists, as in a file."""
    return json.loads(json.dumps(recipe.to_dict()))


def _specs(recipe: Recipe) -> Iterator[tuple[str, ComponentSpec]]:
    yield from (("extractor", spec) for spec in recipe.extractor)
    yield from (("augmenter", spec) for spec in recipe.augmenter)
    yield "model", recipe.model


def _components(recipe: Recipe, given: Given) -> None:
    plugins = given.plugins()
    for kind, spec in _specs(recipe):
        try:
            plugins.get(kind, spec.name)
        except SertkError as error:
            raise CheckFailed(
                f"{kind} '{spec.name}' to be there",
                str(error),
                "Name what you offer or what your distribution depends on, as `sertk plugins` "
                "shows it",
            ) from error


def _settings(recipe: Recipe, given: Given) -> None:
    plugins = given.plugins()
    for kind, spec in _specs(recipe):
        find = partial(plugins.get, kind)
        if _exists(find, spec.name):
            _check_params(kind, spec, find)


def _exists(find: Callable[[str], Component], name: str) -> bool:
    try:
        find(name)
    except SertkError:
        return False
    return True


def _check_params(kind: str, spec: ComponentSpec, find: Callable[[str], Component]) -> None:
    try:
        from_spec({**spec.params, "name": spec.name}, find)
    except SertkError as error:
        raise CheckFailed(
            f"{kind} '{spec.name}' to take {dict(spec.params)}",
            str(error),
            f"`sertk recipe show NAME --full` writes out what '{spec.name}' has",
        ) from error


def _assembly(recipe: Recipe, given: Given) -> Assembly:
    for first in (_components, _settings):
        try:
            first(recipe, given)
        except CheckFailed as failed:
            raise NotChecked(f"something before it fails: {failed}") from failed
    return assemble(recipe, given.plugins())


def _assembles(recipe: Recipe, given: Given) -> None:
    try:
        _assembly(recipe, given)
    except SertkError as error:
        raise CheckFailed(
            "extractors and augmenters that go together",
            str(error),
            "Give all extractors one rate_hz and hop_length; frame augmenters need frames",
        ) from error


def _network(recipe: Recipe, given: Given) -> None:
    try:
        parts = _assembly(recipe, given)
    except SertkError as error:
        raise NotChecked(f"it does not assemble: {error}") from error
    need_keras()
    shapes = _shapes(parts, given)
    try:
        network = parts.model.build(shapes, N_CLASSES)
    except SertkError as error:
        raise CheckFailed(
            f"a network for {shapes}, which is what its extractors give",
            str(error),
            "Choose a model that takes it, or other extractors",
        ) from error
    shape = tuple(network.output_shape)
    expect(shape == (None, N_CLASSES), f"outputs (N, {N_CLASSES})", shape, "Fix the model first")


def _shapes(parts: Assembly, given: Given) -> dict[str, tuple[int, ...]]:
    extractor, window = given.ready(parts.extractor), parts.recipe.window
    if isinstance(extractor, FrameExtractor):
        return {"frames": (window.length_frames, len(extractor.columns))}
    length = SECONDS * extractor.rate_hz
    signal = Signal(signals.voice(extractor.rate_hz, length), extractor.rate_hz)
    found = features(cast(WindowExtractor, extractor), signal, window)
    return {name: tuple(values.shape[1:]) for name, values in found.items()}
