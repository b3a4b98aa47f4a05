"""Build the built-in convolutional network."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ..contracts.components import ModelBuilder
from ..runtime.errors import SertkError

if TYPE_CHECKING:
    import keras

VARIANCE_FLOOR = 1e-4
LEAST_FRAMES = 3
"""Fewest frames of which a stride of 2 and a pooling of 2 leave one."""


@dataclass(frozen=True)
class Tcn(ModelBuilder):
    """Temporal convolutional network: depthwise residual blocks, mean and deviation pooling.

    Convolution with stride 2, a residual block, average pooling, one dilated residual block per
    entry of `dilations`, a 1x1 convolution to twice the channels, mean and standard deviation over
    time, dropout, softmax. Input (T, F); separable blocks after Chollet (2017), statistics pooling
    after Snyder et al. (2018).
    """

    name: ClassVar[str] = "tcn"
    version: ClassVar[int] = 1
    channels: int = 96
    kernel: int = 5
    depthwise_kernel: int = 7
    dilations: tuple[int, ...] = (1, 2, 4)
    dropout: float = 0.3
    bn_momentum: float = 0.95

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        from keras import Input, Model, layers

        if len(inputs) != 1 or any(len(shape) != 2 for shape in inputs.values()):
            raise SertkError(
                f"model 'tcn' expects one input of frames (T, F), received {dict(inputs)}",
                "Use a frame extractor, or another model",
            )
        ((name, shape),) = inputs.items()
        if shape[0] < LEAST_FRAMES:
            raise SertkError(
                f"model 'tcn' expects {LEAST_FRAMES} frames or more, received {shape[0]}",
                "Raise window.length_frames",
            )
        start = Input(shape, name=name)
        x = layers.Conv1D(self.channels, self.kernel, strides=2, padding="same", use_bias=False)(
            start
        )
        x = self._activated(x)
        x = self._residual(x, 1)
        x = layers.AveragePooling1D(2)(x)
        for dilation in self.dilations:
            x = self._residual(x, dilation)
        x = self._activated(layers.Conv1D(2 * self.channels, 1, use_bias=False)(x))
        x = layers.Dropout(self.dropout)(_statistics(x))
        return Model(start, layers.Dense(n_classes, activation="softmax", name="emotion")(x))

    def _activated(self, x: Any) -> Any:
        from keras import layers

        return layers.ReLU()(layers.BatchNormalization(momentum=self.bn_momentum)(x))

    def _residual(self, x: Any, dilation: int) -> Any:
        from keras import layers

        y = layers.DepthwiseConv1D(
            self.depthwise_kernel, padding="same", dilation_rate=dilation, use_bias=False
        )(x)
        y = layers.Conv1D(self.channels, 1, use_bias=False)(self._activated(y))
        y = layers.BatchNormalization(momentum=self.bn_momentum)(y)
        return layers.ReLU()(layers.Add()([x, y]))


def _statistics(x: Any) -> Any:
    """Return mean and standard deviation over time, side by side: (T, C) -> (2 C,)."""
    from keras import layers, ops

    mean = layers.GlobalAveragePooling1D()(x)
    centred = layers.Subtract()([x, layers.Reshape((1, x.shape[-1]))(mean)])
    variance = layers.GlobalAveragePooling1D()(layers.Multiply()([centred, centred]))
    return layers.Concatenate()([mean, ops.sqrt(variance + VARIANCE_FLOOR)])
