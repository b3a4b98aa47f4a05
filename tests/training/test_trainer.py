"""A training step stays on the device, and runs on several of them."""

from __future__ import annotations

import math
import subprocess
import sys
import textwrap
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.recipe import Training
from ser_toolkit.data.batches import Batch
from ser_toolkit.training.backend import prepare_backend
from ser_toolkit.training.schedule import learning_rate_schedule
from ser_toolkit.training.trainer import Trainer

STEPS = 3
TRAINING = Training(epochs=2, warmup_epochs=1, learning_rate=0.01, ema_momentum=0.15)


def build(two_inputs: bool = False) -> Any:
    from keras import Input, Model, layers

    start = Input((30, 2), name="frames")
    x = layers.BatchNormalization()(layers.Conv1D(8, 3)(start))
    x = layers.GlobalAveragePooling1D()(layers.ReLU()(x))
    if not two_inputs:
        return Model(start, layers.Dense(3, activation="softmax")(x))
    other = Input((5,), name="functionals")
    x = layers.Concatenate()([x, other])
    return Model([start, other], layers.Dense(3, activation="softmax")(x))


def batches(size: int = 8, two_inputs: bool = False) -> list[Batch]:
    rng = np.random.default_rng(0)
    found = []
    for _ in range(STEPS):
        inputs = {"frames": rng.normal(size=(size, 30, 2)).astype(np.float32)}
        if two_inputs:
            inputs["functionals"] = rng.normal(size=(size, 5)).astype(np.float32)
        targets = np.eye(3, dtype=np.float32)[rng.integers(3, size=size)]
        found.append(Batch(inputs, targets, rng.uniform(0.5, 2, size).astype(np.float32)))
    return found


def state(trainer: Trainer) -> list[Any]:
    variables = (*trainer.network.weights, *trainer.optimizer.variables, *trainer.average)
    return [np.array(variable.numpy()) for variable in variables]


def trained(two_inputs: bool = False) -> Trainer:
    prepare_backend(0)
    trainer = Trainer(build(two_inputs), TRAINING, STEPS)
    trainer.begin_epoch(1.0)
    for batch in batches(two_inputs=two_inputs):
        trainer.step(batch)
    return trainer


@pytest.fixture
def no_transfer(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Makes an error of each value that comes from the device, once it is called."""
    import tensorflow as tf

    def refuse(tensor: Any) -> Any:
        raise AssertionError(f"{tensor.shape} was pulled to the host")

    kind = next(base for base in type(tf.constant(0)).__mro__ if "_numpy" in vars(base))
    return lambda: monkeypatch.setattr(kind, "_numpy", refuse)


def test_no_step_pulls_anything_to_the_host(no_transfer: Callable[[], None]) -> None:
    trainer = trained()
    no_transfer()
    for batch in batches():
        trainer.step(batch)
    with pytest.raises(AssertionError, match="pulled to the host"):
        trainer.metrics()


def test_a_network_of_several_inputs_is_trained_and_averaged() -> None:
    trainer = trained(two_inputs=True)
    assert trainer.metrics()["loss"] > 0
    for average, weight in zip(trainer.average, trainer.network.weights, strict=True):
        assert (average.numpy() != weight.numpy()).any()


def test_the_average_has_the_statistics_of_batch_normalisation_and_copies_counts() -> None:
    """What Keras' own average leaves out, and an integer, of which there is no average."""
    from keras import Model, layers

    class Counter(layers.Layer):
        def build(self, shape: Any) -> None:
            self.count = self.add_weight(shape=(), dtype="int32", trainable=False, name="count")

        def call(self, values: Any) -> Any:
            return values

    prepare_backend(0)
    inner = build()
    network = Model(inner.inputs, Counter()(inner.output))
    trainer = Trainer(network, TRAINING, STEPS)
    expected = [np.array(weight.numpy()) for weight in network.weights]
    for number, batch in enumerate(batches()):
        next(w for w in network.weights if w.name == "count").assign(number + 5)
        trainer.step(batch)
        momentum = min(0.15, (1 + number) / (10 + number))
        for index, weight in enumerate(network.weights):
            value = np.array(weight.numpy())
            if value.dtype == np.float32:
                value = np.float32(momentum) * expected[index] + np.float32(1 - momentum) * value
            expected[index] = value
    names = [weight.name for weight in network.weights]
    assert {"moving_mean", "moving_variance", "count"} <= set(names)
    for name, average, value in zip(names, trainer.average, expected, strict=True):
        np.testing.assert_array_equal(average.numpy(), value, err_msg=name)
    assert trainer.average[names.index("count")].numpy() == 7


def test_metrics_are_those_of_the_epoch() -> None:
    trainer = trained()
    first = trainer.metrics()
    trainer.begin_epoch(1.0)
    for batch in batches():
        trainer.step(batch)
    second = trainer.metrics()
    trainer.begin_epoch(1.0)
    trainer.step(batches()[0])
    assert set(first) == {"loss", "accuracy"}
    assert len({value["loss"] for value in (first, second, trainer.metrics())}) == 3
    assert second["loss"] < first["loss"]


def test_a_short_last_batch_is_trained_too() -> None:
    trainer = trained()
    before = state(trainer)
    trainer.step(batches(size=3)[0])
    assert int(trainer.optimizer.iterations) == STEPS + 1
    assert any((a != b).any() for a, b in zip(before, state(trainer), strict=True))


@pytest.mark.parametrize("kind", ["cosine", "plateau", "constant"])
def test_the_rates_of_all_steps(kind: Any) -> None:
    """To the last bit of float32; a warm-up may be longer than the training."""
    for warmup in (0, 1, 3, 9):
        training = Training(epochs=6, warmup_epochs=warmup, learning_rate=3e-3, schedule=kind)
        schedule = learning_rate_schedule(training, 7)
        schedule.factor.assign(0.25)
        first = warmup * 7
        for step in range(42):
            if step < first:
                expected = 3e-3 * (step + 1) / first
            elif kind == "cosine":
                share = (step - first) / max(1, 42 - first)
                expected = 3e-3 * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * share)))
            else:
                expected = 3e-3 * 0.25
            assert np.float32(schedule(step)) == np.float32(expected), (warmup, step)


def test_the_optimizer_keeps_the_variables_of_earlier_checkpoints() -> None:
    """Counter, rate, then two moments for each trainable weight: older runs can be resumed."""
    trainer = trained()
    shapes = [tuple(variable.shape) for variable in trainer.optimizer.variables]
    moments = [tuple(w.shape) for w in trainer.network.trainable_weights for _ in range(2)]
    assert shapes == [(), (), *moments]
    assert trainer.learning_rate == pytest.approx(0.01)


def test_a_strategy_of_one_device_gives_the_same_bytes() -> None:
    import tensorflow as tf

    expected = state(trained())
    with tf.distribute.MirroredStrategy(["CPU:0"]).scope():
        found = state(trained())
    for here, there in zip(found, expected, strict=True):
        np.testing.assert_array_equal(here, there)


@pytest.mark.slow
def test_two_devices_share_each_batch() -> None:
    """The weights are those of one device, but for the rounding of sums.

    Without batch normalisation, whose statistics are those of each device's share.
    """
    source = """
        import numpy as np
        import tensorflow as tf

        cpu = tf.config.list_physical_devices("CPU")[0]
        half = tf.config.LogicalDeviceConfiguration()
        tf.config.set_logical_device_configuration(cpu, [half, half])

        from keras import Input, Model, layers
        from ser_toolkit.data.batches import Batch
        from ser_toolkit.contracts.recipe import Training
        from ser_toolkit.training.backend import prepare_backend
        from ser_toolkit.training.trainer import Trainer

        def train(strategy):
            prepare_backend(0)
            with strategy.scope():
                start = Input((4,), name="frames")
                hidden = layers.Dense(8, activation="tanh")(start)
                network = Model(start, layers.Dense(3, activation="softmax")(hidden))
                trainer = Trainer(network, Training(ema_momentum=0.5, warmup_epochs=0), 4)
            trainer.begin_epoch(1.0)
            rng = np.random.default_rng(0)
            for _ in range(4):
                inputs = {"frames": rng.normal(size=(8, 4)).astype(np.float32)}
                targets = np.eye(3, dtype=np.float32)[rng.integers(3, size=8)]
                trainer.step(Batch(inputs, targets, rng.uniform(0.5, 2, 8).astype(np.float32)))
            values = [np.array(v.numpy()) for v in (*network.weights, *trainer.average)]
            return values, trainer.metrics()

        one, metrics = train(tf.distribute.get_strategy())
        strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
        assert strategy.num_replicas_in_sync == 2
        two, shared = train(strategy)
        for here, there in zip(one, two, strict=True):
            np.testing.assert_allclose(here, there, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(shared["loss"], metrics["loss"], rtol=1e-4)
        np.testing.assert_allclose(shared["accuracy"], metrics["accuracy"], rtol=1e-6)
    """
    result = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(source)], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr[-2000:]
