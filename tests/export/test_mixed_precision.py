"""A network of which int8 spoils one layer: measurement must find that one and keep it float."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.export.converter import Converted, Converter
from ser_toolkit.export.mixed_precision import select_float_layers
from ser_toolkit.export.tflite_graph import operators
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.utils.progress import Callback


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
    return float((TfliteModel(content)(windows).argmax(1) == truth).mean())


def chosen(network: Path, enough: float) -> Converted:
    windows, _ = labelled()
    with Converter(network, windows) as converter:
        return select_float_layers(converter, accuracy, enough, Callback())


@pytest.mark.slow
def test_the_layer_that_loses_is_found_and_kept_float(network: Path) -> None:
    made = chosen(network, 0.95)
    assert made.float_layers == ("spoiled",)
    assert accuracy(made.content) >= 0.95
    assert {"harmless", "harmless_too", "spoiled"} <= set(made.layers)
    dense = [o for o in operators(made.content) if o.name == "FULLY_CONNECTED"]
    assert [o.inputs[1].dtype for o in dense] == ["int8", "int8", "float32"]


@pytest.mark.slow
def test_what_loses_nothing_stays_integer(network: Path) -> None:
    """Here little is asked for; with all in int8 the network is spoiled."""
    made = chosen(network, 0.1)
    assert made.float_layers == ()
    assert accuracy(made.content) < 0.6
    types = {t.dtype for o in operators(made.content) for t in o.outputs}
    assert types == {"int8"}


@pytest.mark.slow
def test_a_target_out_of_reach_gives_the_best_with_the_fewest_layers(network: Path) -> None:
    made = chosen(network, 1.9)
    assert made.float_layers == ("spoiled",)
    assert accuracy(made.content) >= 0.95
