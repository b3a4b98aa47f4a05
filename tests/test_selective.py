"""A network of which int8 spoils one layer: measurement must find that one and keep it float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.convert import convert
from ser_toolkit.flatbuffer import operators
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.interpreter import Network
from ser_toolkit.selective import select


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two harmless layers and a last one whose decisive weights are 1000 times smaller than others.

    The large weights meet an input that is always 0, so in float they decide nothing; in int8 they
    set the scale, and the decisive ones round to 0.
    """
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    layers = keras.layers
    start = keras.Input((4,), name="means")
    x = layers.Dense(4, name="harmless")(start)
    x = layers.Dense(4, activation="relu", name="harmless_too")(x)
    made = keras.Model(start, layers.Dense(3, activation="softmax", name="spoiled")(x))
    made.get_layer("harmless").set_weights([np.eye(4), np.zeros(4)])
    made.get_layer("harmless_too").set_weights([np.eye(4), np.zeros(4)])
    weights = np.concatenate([3 * np.eye(3), np.full((1, 3), 3000.0)])
    made.get_layer("spoiled").set_weights([weights, np.zeros(3)])
    path = tmp_path_factory.mktemp("network") / "model.keras"
    made.save(path)
    return path


def labelled() -> tuple[dict[str, Any], Any]:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 3, 90)
    values = rng.uniform(0, 1, (90, 4)) + np.eye(3, 4)[truth]
    values[:, 3] = 0
    return {"means": values.astype(np.float32)}, truth


def accuracy(content: bytes) -> float:
    windows, truth = labelled()
    return float((Network(content)(windows).argmax(1) == truth).mean())


@pytest.mark.slow
def test_the_layer_that_loses_is_found_and_kept_float(network: Path) -> None:
    windows, _ = labelled()
    chosen = select(network, windows, accuracy, target=1.0, allowed_loss=0.05)
    assert chosen.plain < 0.6
    assert chosen.float_layers == ("spoiled",)
    assert chosen.within
    assert chosen.score == accuracy(chosen.converted.content) >= 0.95
    assert max(chosen.scores, key=lambda layer: chosen.scores[layer]) == "spoiled"
    others = {k: v for k, v in chosen.scores.items() if k != "spoiled"}
    assert {"harmless", "harmless_too"} <= set(others)
    assert max(others.values()) < 0.6
    dense = [o for o in operators(chosen.converted.content) if o.name == "FULLY_CONNECTED"]
    assert [o.inputs[1].dtype for o in dense] == ["int8", "int8", "float32"]


@pytest.mark.slow
def test_what_loses_nothing_stays_integer(network: Path) -> None:
    windows, _ = labelled()
    chosen = select(network, windows, accuracy, target=1.0, allowed_loss=0.9)
    assert (chosen.float_layers, chosen.within, dict(chosen.scores)) == ((), True, {})
    types = {t.dtype for o in operators(chosen.converted.content) for t in o.outputs}
    assert types == {"int8"}


@pytest.mark.slow
def test_a_target_out_of_reach_gives_the_best_and_says_so(network: Path) -> None:
    windows, _ = labelled()
    chosen = select(network, windows, accuracy, target=2.0, allowed_loss=0.1, most=1)
    assert not chosen.within
    assert chosen.float_layers == ("spoiled",)
    assert chosen.score >= 0.95


@pytest.mark.slow
def test_an_unknown_layer_is_refused_with_the_known_ones(network: Path) -> None:
    windows, _ = labelled()
    with pytest.raises(SertkError, match=r"harmless, harmless_too, spoiled, received nothing"):
        convert(network, "int8", windows, ["nothing"])
