"""Frame extractors that keep to the contract; bad ones derive from them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from ser_toolkit.runtime.features.base import F32, FrameExtractor, Signal, StatefulExtractor


@dataclass(frozen=True)
class Loud(FrameExtractor):
    """Level of a frame in dB."""

    name: ClassVar[str] = "loud"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self) -> tuple[str, ...]:
        return ("loud_db",)

    def frames(self, signal: Signal) -> F32:
        return self.levels(signal.samples)

    def levels(self, samples: F32) -> F32:
        return self.of_rows(self.rows(samples))

    def rows(self, samples: F32) -> F32:
        if len(samples) < self.frame_length:
            return np.empty((0, self.frame_length), np.float32)
        return sliding_window_view(samples, self.frame_length)[:: self.hop_length]

    def of_rows(self, rows: F32) -> F32:
        power = np.square(rows, dtype=np.float64).mean(axis=1)
        return (10 * np.log10(power + 1e-10))[:, None].astype(np.float32)

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        return self.levels(signal.samples), None


@dataclass(frozen=True)
class Slow(StatefulExtractor):
    """Level that follows the voice."""

    name: ClassVar[str] = "slow"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256
    keep: float = 0.5

    @property
    def columns(self) -> tuple[str, ...]:
        return ("slow_db",)

    @property
    def warmup_frames(self) -> int:
        return math.ceil(math.log(1000) / -math.log(self.keep))

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        levels = Loud(self.rate_hz, self.frame_length, self.hop_length).levels(signal.samples)
        state = levels[0].astype(np.float64) if state is None else state
        out = []
        for level in levels:
            state = self.following(state, level)
            out.append(state.copy())
        return np.array(out, np.float32).reshape(-1, 1), state

    def following(self, before: Any, level: Any) -> Any:
        return self.keep * before + (1 - self.keep) * level
