"""Builders of networks that are bad in one way each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts.components import ModelBuilder
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.testing import checks_for

Shapes = Mapping[str, tuple[int, ...]]
KEPT: dict[Any, Any] = {}


@dataclass(frozen=True)
class Tiny(ModelBuilder):
    """One dense layer over whatever comes."""

    name: ClassVar[str] = "tiny"

    def build(self, inputs: Shapes, n_classes: int) -> Any:
        from keras import Input, Model, layers

        starts = [Input(shape, name=self.called(name)) for name, shape in inputs.items()]
        flat = [layers.Flatten()(start) for start in starts]
        x = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
        network = Model(starts if len(starts) > 1 else starts[0], self.end(x, n_classes))
        return self.finished(network)

    def called(self, name: str) -> str:
        return name

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import layers

        return layers.Dense(n_classes, activation="softmax")(x)

    def finished(self, network: Any) -> Any:
        return network


@dataclass(frozen=True)
class Narrow(Tiny):
    """Falls over what it cannot take."""

    def build(self, inputs: Shapes, n_classes: int) -> Any:
        ((_, (_, _)),) = inputs.items()
        return super().build(inputs, n_classes)


@dataclass(frozen=True)
class Renaming(Tiny):
    """Has its own names for inputs."""

    def called(self, name: str) -> str:
        return f"my_{name}"


@dataclass(frozen=True)
class Split(Tiny):
    """Ends with an activation by itself."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import layers

        return layers.Activation("softmax")(layers.Dense(n_classes)(x))


@dataclass(frozen=True)
class PerFrame(Tiny):
    """Answers for each of two halves."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import layers

        both = layers.RepeatVector(2)(x)
        return layers.Dense(n_classes, activation="softmax")(both)


@dataclass(frozen=True)
class Compiled(Tiny):
    """Compiles."""

    def finished(self, network: Any) -> Any:
        network.compile("adam", "categorical_crossentropy", jit_compile=False)
        return network


@dataclass(frozen=True)
class Random(Tiny):
    """Draws its weights from elsewhere."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import initializers, layers

        seed = int(np.random.default_rng().integers(2**31))
        start = initializers.GlorotUniform(seed)
        return layers.Dense(n_classes, activation="softmax", kernel_initializer=start)(x)


@dataclass(frozen=True)
class Homemade(Tiny):
    """Has a layer that needs its code to load."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import layers

        class Double(layers.Layer):
            def call(self, x: Any) -> Any:
                return 2 * x

        return super().end(Double()(x), n_classes)


@dataclass(frozen=True)
class Registered(Tiny):
    """Has a layer that is known to Keras in this process alone."""

    def end(self, x: Any, n_classes: int) -> Any:
        import keras

        @keras.saving.register_keras_serializable("sertk_tests")
        class Treble(keras.layers.Layer):
            def call(self, x: Any) -> Any:
                return 3 * x

        return super().end(Treble()(x), n_classes)


@dataclass(frozen=True)
class Fixed(Tiny):
    """Starts with the same weights whatever the seed."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import initializers, layers

        start = initializers.GlorotUniform(7)
        return layers.Dense(n_classes, activation="softmax", kernel_initializer=start)(x)


@dataclass(frozen=True)
class Seeding(Tiny):
    """Sets everybody's seed once it has drawn its weights."""

    def finished(self, network: Any) -> Any:
        import keras

        network.get_weights()
        keras.utils.set_random_seed(7)
        return network


@dataclass(frozen=True)
class Kept(Tiny):
    """Builds once, so that the second training goes on with the first."""

    def finished(self, network: Any) -> Any:
        key = (str(network.input_shape), network.output_shape)
        return KEPT.setdefault(key, network)


@dataclass(frozen=True)
class Crowd(Tiny):
    """Subtracts the mean of the batch, which is the window itself on a device."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import ops

        return super().end(x - ops.mean(x, axis=0, keepdims=True), n_classes)


@dataclass(frozen=True)
class Whole(Tiny):
    """Takes whole numbers."""

    def build(self, inputs: Shapes, n_classes: int) -> Any:
        from keras import Input, Model, layers

        starts = [Input(shape, name=name, dtype="int32") for name, shape in inputs.items()]
        flat = [layers.Flatten()(layers.Rescaling(1.0)(start)) for start in starts]
        x = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
        return Model(starts if len(starts) > 1 else starts[0], self.end(x, n_classes))


@dataclass(frozen=True)
class Paired(Tiny):
    """Gives what is before the answer too."""

    def build(self, inputs: Shapes, n_classes: int) -> Any:
        from keras import Model

        network = super().build(inputs, n_classes)
        return Model(network.inputs, [network.outputs[0], network.layers[-2].output])


@dataclass(frozen=True)
class Frozen(Tiny):
    """Learns nothing."""

    def finished(self, network: Any) -> Any:
        network.trainable = False
        return network


@dataclass(frozen=True)
class Wavy(Tiny):
    """Takes a hyperbolic sine, which no builtin operator computes."""

    def end(self, x: Any, n_classes: int) -> Any:
        from keras import ops

        return super().end(ops.sinh(x), n_classes)


@dataclass(frozen=True)
class Choosy(Tiny):
    """Takes no usual shape."""

    def build(self, inputs: Shapes, n_classes: int) -> Any:
        if list(inputs.values()) != [(5, 5, 5)]:
            raise SertkError(f"'choosy' expects one cube, received {dict(inputs)}", "Give a cube")
        return super().build(inputs, n_classes)


BAD: list[tuple[str, ModelBuilder]] = [
    ("shapes", Narrow()),
    ("inputs", Renaming()),
    ("inputs", Whole()),
    ("softmax", Split()),
    ("probabilities", Crowd()),
    ("uncompiled", Compiled()),
    ("deterministic", Random()),
    ("deterministic", Fixed()),
    ("deterministic", Seeding()),
    ("deterministic", Kept()),
    ("saves", Homemade()),
    ("saves", Registered()),
    ("trains", Frozen()),
]


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Tiny(), "trains") == {}


@pytest.mark.parametrize(("name", "bad"), BAD, ids=lambda one: str(one).split("(")[0])
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str, bad: ModelBuilder) -> None:
    assert set(failing(bad, "trains")) == {name}


def test_what_is_registered_stays_so(failing: Any) -> None:
    import keras

    before = dict(keras.saving.get_custom_objects())
    found = failing(Registered())
    after = keras.saving.get_custom_objects()
    assert set(after) == {*before, "sertk_tests>Treble"}
    assert "no layer class of your own" in str(found["saves"])


def test_two_answers(failing: Any) -> None:
    found = str(failing(Paired())["softmax"])
    assert "that layer to be the only output" in found


def test_an_answer_of_another_shape(failing: Any) -> None:
    """Nothing can be trained to give it, so that `trains` fails too."""
    found = failing(PerFrame(), "trains")
    assert set(found) == {"probabilities", "trains"}
    assert "outputs (N, n) = (8, 4), received shape (8, 2, 4)" in str(found["probabilities"])


@pytest.mark.slow
def test_int8(failing: Any) -> None:
    assert failing(Tiny(), "int8") == {}
    found = failing(Wavy(), "int8")
    assert set(found) == {"int8"}
    assert "Build the network from layers that a device computes" in str(found["int8"])


def test_every_check_has_a_bad_model() -> None:
    names = {check.name for check in checks_for(Tiny())}
    assert names == {name for name, _ in BAD} | {"probabilities", "int8", "declared", "json"}


def test_the_author_says_which_shapes_a_model_takes(failing: Any) -> None:
    assert failing(Choosy(), inputs={"tiny": {"c": (5, 5, 5)}}) == {}
    found = failing(Choosy())
    assert "Say what it takes: inputs={'tiny':" in str(found["inputs"])
    assert "'choosy' expects one cube" in str(found["inputs"])
    assert "shapes" not in found
