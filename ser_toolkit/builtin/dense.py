"""Build the dense network, for features of a whole window."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..contracts.components import ModelBuilder

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Mlp(ModelBuilder):
    """Dense layers with ReLU over all inputs, flattened and side by side; softmax.

    Takes any number of inputs of any shape. `input_dropout` leaves out features, `dropout` units
    of every hidden layer, in training alone.
    """

    name: ClassVar[str] = "mlp"
    version: ClassVar[int] = 1
    hidden: tuple[int, ...] = (128, 128)
    dropout: float = 0.4
    input_dropout: float = 0.0

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        from keras import Input, Model, layers

        starts = [Input(shape, name=name) for name, shape in inputs.items()]
        flat = [_flat(start) for start in starts]
        x = layers.Concatenate()(flat) if len(flat) > 1 else flat[0]
        if self.input_dropout:
            x = layers.Dropout(self.input_dropout)(x)
        for units in self.hidden:
            x = layers.Dropout(self.dropout)(layers.Dense(units, activation="relu")(x))
        return Model(starts, layers.Dense(n_classes, activation="softmax", name="emotion")(x))


def _flat(x: Any) -> Any:
    """Flatten (…) to (n,), without a layer where it is flat."""
    from keras import layers

    return x if len(x.shape) == 2 else layers.Reshape((math.prod(x.shape[1:]),))(x)
