"""The dense network: what it computes, and what it takes."""

from __future__ import annotations

import keras
import numpy as np

from ser_toolkit.builtin.dense import Mlp

SHAPES = {"functionals": (30,), "msf_stats": (4, 5)}
Array = np.ndarray


def inputs(n: int = 6) -> dict[str, Array]:
    rng = np.random.default_rng(3)
    return {name: rng.standard_normal((n, *shape), np.float32) for name, shape in SHAPES.items()}


def by_hand(network: keras.Model, given: dict[str, Array]) -> Array:
    """Matrix products over the inputs side by side, in the order in which they were named."""
    x = np.hstack([given[name].reshape(len(given[name]), -1) for name in SHAPES])
    weights = network.get_weights()
    for kernel, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        x = np.maximum(0, x @ kernel + bias)
    powers = np.exp(x @ weights[-2] + weights[-1])
    return powers / powers.sum(axis=1, keepdims=True)


def test_network_is_matrix_products_and_softmax() -> None:
    network = Mlp(hidden=(16, 12, 8)).build(SHAPES, 7)
    given = inputs()
    found = np.asarray(network(given))
    assert found.shape == (6, 7)
    np.testing.assert_allclose(found, by_hand(network, given), rtol=0, atol=1e-5)


def test_sizes() -> None:
    network = Mlp().build({"functionals": (460,), "msf_stats": (191,)}, 7)
    assert network.count_params() == 652 * 128 + 129 * 128 + 129 * 7
    assert network.layers[-1].name == "emotion"
    assert network.layers[-1].units == 7
    assert {tensor.name for tensor in network.inputs} == {"functionals", "msf_stats"}


def test_one_input_and_no_hidden_layer() -> None:
    network = Mlp(hidden=()).build({"frames": (3, 4)}, 2)
    assert network.count_params() == 13 * 2
    assert np.asarray(network({"frames": np.zeros((1, 3, 4), np.float32)})).shape == (1, 2)


def test_dropout_acts_in_training_alone() -> None:
    silent = {"dropout": 0.0, "input_dropout": 0.0}
    for field in silent:
        network = Mlp(**{**silent, field: 0.5}).build(SHAPES, 5)
        given = inputs(1)
        calm = [np.asarray(network(given)) for _ in range(2)]
        trained = [np.asarray(network(given, training=True)) for _ in range(4)]
        np.testing.assert_array_equal(*calm)
        assert any(np.abs(values - calm[0]).max() > 1e-3 for values in trained), field


def test_learns_what_lies_in_the_second_input() -> None:
    keras.utils.set_random_seed(1)
    given = inputs(256)
    wanted = (given["msf_stats"][:, 1, 2] > 0).astype(int)
    network = Mlp(hidden=(16,), dropout=0.0).build(SHAPES, 2)
    network.compile(keras.optimizers.Adam(0.02), "sparse_categorical_crossentropy")
    network.fit(given, wanted, epochs=20, verbose=0)
    assert (np.asarray(network(given)).argmax(axis=1) == wanted).mean() > 0.95
