"""Builders of networks that are bad in one way each."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts import ModelBuilder
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.testing import checks_for

Shapes = Mapping[str, tuple[int, ...]]
MADE: list[Any] = []


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


BAD: dict[str, ModelBuilder] = {
    "shapes": Narrow(),
    "inputs": Renaming(),
    "softmax": Split(),
    "uncompiled": Compiled(),
    "deterministic": Random(),
    "saves": Homemade(),
    "trains": Frozen(),
}


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Tiny(), "trains") == {}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str) -> None:
    assert set(failing(BAD[name], "trains")) == {name}


def test_an_answer_of_another_shape(failing: Any) -> None:
    """Nothing can be trained to give it, so that `trains` fails too."""
    found = failing(PerFrame(), "trains")
    assert set(found) == {"probabilities", "trains"}
    assert "answers (N, n) = (8, 4), received shape (8, 2, 4)" in str(found["probabilities"])


@pytest.mark.slow
def test_int8(failing: Any) -> None:
    assert failing(Tiny(), "int8") == {}
    found = failing(Wavy(), "int8")
    assert set(found) == {"int8"}
    assert "Build the network from layers that a device computes" in str(found["int8"])


def test_every_check_has_a_bad_model() -> None:
    names = {check.name for check in checks_for(Tiny())}
    assert names == set(BAD) | {"probabilities", "int8", "declared", "json"}


def test_the_author_says_which_shapes_a_model_takes(failing: Any) -> None:
    assert failing(Choosy(), inputs={"choosy": {"cube": (5, 5, 5)}, "tiny": {"c": (5, 5, 5)}}) == {}
    found = failing(Choosy())
    assert "Say what it takes: inputs={'tiny':" in str(found["inputs"])
    assert "'choosy' expects one cube" in str(found["inputs"])
    assert "shapes" not in found
