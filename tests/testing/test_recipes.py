"""Recipes that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ser_toolkit.contracts.recipe import ComponentSpec, Recipe
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.testing import checks_for

GOOD = Recipe(
    "mine",
    "log-mel and level",
    (ComponentSpec("log_mel", n_mels=40), ComponentSpec("rms")),
    ComponentSpec("tcn", channels=16),
)
BAD: dict[str, Recipe] = {
    "toml": replace(GOOD, augmenter=(ComponentSpec("noise", {"p": 0.5, "color": None}),)),
    "components": replace(GOOD, extractor=(ComponentSpec("log_mle"),)),
    "settings": replace(GOOD, model=ComponentSpec("tcn", chanels=16)),
    "assembles": replace(
        GOOD, extractor=(ComponentSpec("mfcc"), ComponentSpec("rms", hop_length=128))
    ),
    "network": replace(GOOD, extractor=(ComponentSpec("functionals"),)),
}
MESSAGES = {
    "components": "there is no extractor 'log_mle'. Known: log_mel",
    "settings": "'tcn' has no parameter 'chanels'",
    "assembles": "need one hop_length",
    "network": "model 'tcn' expects one input of frames",
}


def builtins() -> Plugins:
    return load_plugins(only=[])


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(GOOD, "network", plugins=builtins) == {}


@pytest.mark.parametrize("name", [name for name in BAD if name != "toml"])
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str) -> None:
    found = failing(BAD[name], "network", plugins=builtins)
    assert set(found) == {name}
    assert MESSAGES[name] in str(found[name])


def test_what_toml_cannot_say(failing: Any) -> None:
    """None, which no component that exists would take either."""
    found = failing(BAD["toml"], plugins=builtins)
    assert set(found) == {"toml", "settings"}


@pytest.mark.parametrize("change", [{"name": "my recipe"}, {"description": ""}])
def test_a_bad_declaration(failing: Any, change: dict[str, str]) -> None:
    assert set(failing(replace(GOOD, **change), plugins=builtins)) == {"declared"}


def test_every_check_has_a_bad_recipe() -> None:
    assert {check.name for check in checks_for(GOOD)} == set(BAD) | {"declared"}
