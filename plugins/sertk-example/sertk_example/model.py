"""Build a network for given inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from ser_toolkit import ModelBuilder, SertkError, hookimpl

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class ExampleModel(ModelBuilder):
    """Build convolutions over time, each with half the frames of the last; their mean; softmax."""

    name: ClassVar[str] = "example"
    version: ClassVar[int] = 1

    channels: tuple[int, ...] = (32, 64, 64)
    kernel: int = 5
    dropout: float = 0.3

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        # Here and not above: every start of sertk imports this module.
        from keras import Input, Model, layers

        if len(inputs) != 1 or any(len(shape) != 2 for shape in inputs.values()):
            raise SertkError(
                f"model '{self.name}' expects one input of frames (T, F), received {dict(inputs)}",
                "Use a frame extractor, or another model",
            )
        ((name, shape),) = inputs.items()
        start = Input(shape, name=name)
        x = start
        for channels in self.channels:
            x = layers.Conv1D(channels, self.kernel, strides=2, padding="same", use_bias=False)(x)
            x = layers.ReLU()(layers.BatchNormalization()(x))
        x = layers.Dropout(self.dropout)(layers.GlobalAveragePooling1D()(x))
        # The calibrated temperature is divided into this layer, so it is Dense with softmax.
        return Model(start, layers.Dense(n_classes, activation="softmax")(x))


@hookimpl
def sertk_models() -> list[ModelBuilder]:
    """Return the model builders of this package."""
    return [ExampleModel()]
