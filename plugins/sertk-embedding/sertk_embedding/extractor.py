"""Compute the extractor `embedding`: one row per stretch of audio, by a frozen model."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ser_toolkit import Asset, FrameExtractor, SertkError

from .models import Embedder, is_keras, open_model

if TYPE_CHECKING:
    from ser_toolkit import F32, AssetLoader, Signal


@dataclass(frozen=True)
class Embedding(FrameExtractor):
    """Compute the embedding of each stretch of audio by a frozen model: (T, D) float32.

    `file` is a `.tflite` or `.keras` model from a waveform (N,) or (1, N), float32 in [-1, 1] at
    `rate_hz`, to an embedding (D,), (1, D) or (T, D), whose mean over T is taken. `frame_length`
    is the N that it is given, `hop_length` the samples from one row to the next, `output` the index
    of the output that is used. Nothing of the model is trained.

    Raises ValueError for parameters out of range, SertkError for a model that does not fit.
    """

    name: ClassVar[str] = "embedding"
    version: ClassVar[int] = 1
    file: Asset | None = None
    rate_hz: int = 16000
    frame_length: int = 16000
    hop_length: int = 8000
    output: int = 0

    def __post_init__(self) -> None:
        for key in ("rate_hz", "frame_length", "hop_length"):
            if getattr(self, key) < 1:
                raise ValueError(f"{key} must be 1 or more, received {getattr(self, key)}")
        if self.output < 0:
            raise ValueError(f"output must not be negative, received {self.output}")

    @property
    def edge_ready(self) -> bool:  # type: ignore[override]
        """Say whether the model runs on a device: `.tflite` does, Keras needs TensorFlow."""
        return self.file is None or not is_keras(self.file)

    @property
    def columns(self) -> tuple[str, ...]:
        """Return one name per value of the embedding; only after `prepare`."""
        return tuple(f"embedding_{index}" for index in range(self._embedder().size))

    def prepare(self, load: AssetLoader) -> Embedding:
        """Return this extractor with its model open. Raises SertkError for a wrong model."""
        if self.file is None:
            raise SertkError(
                "'embedding' needs a model", "Give its file: --set extractor.file=@MODEL.tflite"
            )
        ready = copy.copy(self)
        model = open_model(load(self.file), self.file, self.frame_length, self.output)
        object.__setattr__(ready, "_model", model)
        return ready

    def frames(self, signal: Signal) -> F32:
        embedder = self._embedder()
        if self.frame_count(len(signal)) == 0:
            return np.empty((0, embedder.size), np.float32)
        rows = sliding_window_view(signal.samples, self.frame_length)[:: self.hop_length]
        return np.stack([embedder(np.array(row)) for row in rows])

    def _embedder(self) -> Embedder:
        model: Embedder | None = vars(self).get("_model")
        if model is None:
            raise SertkError("'embedding' has no model yet", "Call prepare(load) first")
        return model
