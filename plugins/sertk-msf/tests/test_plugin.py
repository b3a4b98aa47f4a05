"""The recipes: which extractors they name, and that these stand and stream together."""

from __future__ import annotations

import numpy as np
import pytest

import sertk_msf
from ser_toolkit import Mfcc, Recipe, Rms, Signal, Stack, Zcr, from_spec
from ser_toolkit.testing import relative_error


def recipe_named(name):
    (recipe,) = [recipe for recipe in sertk_msf.sertk_recipes() if recipe.name == name]
    return recipe


def test_recipe_uses_the_extractor_on_one_grid():
    recipe = recipe_named("msf")
    assert [use.name for use in recipe.extractor] == ["msf", "mfcc", "zcr", "rms"]
    assert {use.params["hop_length"] for use in recipe.extractor} == {256}
    assert {use.params["rate_hz"] for use in recipe.extractor} == {16000}
    msf = sertk_msf.Msf(**recipe.extractor[0].params)
    assert msf.centre_hz == pytest.approx(sertk_msf.Msf().centre_hz)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_recipe_extractors_stack_and_stream():
    recipe = recipe_named("msf")
    installed = {e.name: e for e in (sertk_msf.Msf(), Mfcc(), Zcr(), Rms())}
    specs = [{"name": use.name, **use.params} for use in recipe.extractor]
    stack = Stack(tuple(from_spec(spec, installed.__getitem__) for spec in specs))
    assert len(stack.columns) == 95 + 20 + 1 + 1
    samples = np.sin(np.arange(24000) ** 1.4 / 50).astype(np.float32)
    whole, stream = stack.frames(Signal(samples, 16000)), stack.stream()
    pieces = [stream.push(samples[start : start + 1280]) for start in range(0, 24000, 1280)]
    assert relative_error(np.vstack(pieces), whole) <= 1e-4
