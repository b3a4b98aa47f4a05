"""A trained Keras network, called like the network of a bundle."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

from ..metrics.scores import network_probabilities
from ..runtime.features.base import F32
from .backend import import_keras

if TYPE_CHECKING:
    import keras


class KerasNetwork:
    """A network of a run; `model` is what Keras loaded."""

    def __init__(self, model: keras.Model) -> None:
        self.model = model

    def __call__(self, inputs: Mapping[str, F32]) -> F32:
        """Return probabilities (W, n) float32 of W windows, (W, …) per input."""
        return network_probabilities(self.model, [inputs])[0]

    def embed(self, inputs: Mapping[str, F32]) -> F32:
        """Return the input of the last Dense layer for each window: (W, D) float32."""
        found = network_probabilities(self._embedder, [inputs])[0]
        return found.reshape(len(found), -1)

    @cached_property
    def _embedder(self) -> keras.Model:
        return import_keras().Model(self.model.inputs, self.model.layers[-1].input)
