"""Recipes: TOML in and out, unknown keys refused, defaults kept."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.contracts.recipe import ComponentSpec, Recipe, Training
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.window import Window

SMALL = """
name = "small"
model = "tcn"
extractor = ["mfcc"]
"""
FULL = """
name = "full"
description = "All tables"

[window]
length_frames = 100
hop_frames = 25
short = "zero"

[training]
epochs = 3
learning_rate = 1
optimizer = "adam"

[model]
name = "tcn"
filters = [8, 16]

[[extractor]]
name = "mfcc"
n_mfcc = 20

[[extractor]]
name = "zcr"

[[augmenter]]
name = "noise"
p = 0.5
"""
params = st.dictionaries(
    st.from_regex(r"[a-z][a-z_]{0,8}", fullmatch=True).filter(lambda key: key != "name"),
    st.integers(-(2**31), 2**31)
    | st.booleans()
    | st.text(max_size=8)
    | st.lists(st.integers(0, 9)),
    max_size=3,
)
names = st.text("abcdefghijklmnop-_:", min_size=1, max_size=12)
uses = st.builds(ComponentSpec, names, params)
recipes = st.builds(
    Recipe,
    name=names,
    description=st.text(max_size=40),
    extractor=st.lists(uses, min_size=1, max_size=3).map(tuple),
    model=uses,
    augmenter=st.lists(uses, max_size=3).map(tuple),
    window=st.builds(Window, st.integers(1, 500), st.integers(1, 500), st.sampled_from(["tile"])),
    training=st.builds(
        Training, epochs=st.integers(1, 9), learning_rate=st.floats(1e-9, 1), copies=st.just(0)
    ),
)


@given(recipes)
def test_a_recipe_survives_its_own_file(recipe: Recipe) -> None:
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_what_a_file_leaves_out_has_its_default() -> None:
    recipe = Recipe.from_toml(SMALL)
    assert recipe == Recipe("small", "", (ComponentSpec("mfcc"),), ComponentSpec("tcn"))
    assert (recipe.window, recipe.training) == (Window(), Training())


def test_every_table_of_a_file_is_read() -> None:
    recipe = Recipe.from_toml(FULL)
    assert recipe.window == Window(100, 25, "zero")
    assert (recipe.training.epochs, recipe.training.optimizer) == (3, "adam")
    assert type(recipe.training.learning_rate) is float
    assert recipe.model == ComponentSpec("tcn", filters=[8, 16])
    assert recipe.extractor == (ComponentSpec("mfcc", n_mfcc=20), ComponentSpec("zcr"))
    assert recipe.augmenter == (ComponentSpec("noise", p=0.5),)


def test_one_extractor_needs_no_list() -> None:
    text = 'name = "x"\nmodel = "tcn"\nextractor = "mfcc"\n'
    assert Recipe.from_toml(text).extractor == (ComponentSpec("mfcc"),)


WRONG = (
    ("name = ", "mine.toml is not valid TOML: "),
    (
        "nam = 'x'\n" + SMALL,
        "mine.toml: a recipe has no key 'nam'. It has: name, ",
    ),
    (SMALL.replace("model", "#"), "mine.toml: a recipe needs 'model'"),
    (SMALL.replace("name", "#"), "mine.toml: a recipe needs 'name'"),
    (SMALL.replace("extractor", "#"), "mine.toml: a recipe needs 'extractor'"),
    (
        SMALL + "[training]\nepoch = 3",
        "mine.toml: 'training' has no parameter 'epoch'. It",
    ),
    (SMALL + "[training]\nepochs = 'x'", "'training.epochs' expects a whole number, received 'x'"),
    (SMALL + "[training]\nschedule = 'x'", "expects one of cosine, plateau, constant"),
    (SMALL + "[window]\nshort = 'cut'", "'window.short' expects one of tile, zero"),
    (
        SMALL + "[window]\nhop_frames = 0",
        "'window.hop_frames' expects 1 to 1000000, received 0",
    ),
    (SMALL + "[[augmenter]]\np = 1", "'augmenter' expects a table with a name"),
    (SMALL.replace('"tcn"', "3"), "'model' expects a table with a name, received 3"),
    (SMALL.replace('["mfcc"]', "3"), "'extractor' expects a table with a name, received 3"),
)


def test_a_wrong_file_says_which_and_what() -> None:
    for text, message in WRONG:
        with pytest.raises(SertkError) as caught:
            Recipe.from_toml(text, "mine.toml")
        assert message in str(caught.value)
        assert "\n" not in str(caught.value)


def test_a_use_is_changed_by_copy() -> None:
    use = ComponentSpec("mfcc", {"n_mfcc": 13})
    assert use.with_params(n_mfcc=20, n_mels=40) == ComponentSpec("mfcc", n_mfcc=20, n_mels=40)
    assert use == ComponentSpec("mfcc", n_mfcc=13)
