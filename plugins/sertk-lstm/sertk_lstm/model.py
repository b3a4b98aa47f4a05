"""Build a recurrent network for sequences."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ser_toolkit import ModelBuilder, SertkError

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Lstm(ModelBuilder):
    """Build an LSTM, then dense layers with ReLU and dropout, then softmax.

    Takes frames (T, F). A vector (D,) is taken as a sequence of D single numbers, which is what the
    notebook does with 40 means of MFCC. Hochreiter and Schmidhuber, Neural Computation 9(8), 1997.
    """

    name: ClassVar[str] = "lstm"
    units: int = 123
    dense: tuple[int, ...] = (64, 32)
    dropout: float = 0.2

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        from keras import Input, Model, layers

        if len(inputs) != 1 or any(len(shape) not in (1, 2) for shape in inputs.values()):
            raise SertkError(
                f"model 'lstm' expects one input, (T, F) or (D,), received {dict(inputs)}",
                "Use a frame extractor or one that gives one vector, or another model",
            )
        ((name, shape),) = inputs.items()
        start = Input(shape, name=name)
        x: Any = layers.Reshape((*shape, 1))(start) if len(shape) == 1 else start
        x = layers.LSTM(self.units)(x)
        for units in self.dense:
            x = layers.Dense(units, activation="relu")(x)
            x = layers.Dropout(self.dropout)(x)
        return Model(start, layers.Dense(n_classes, activation="softmax", name="emotion")(x))
