"""Stretch time and shift pitch by the phase vocoder of librosa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from ser_toolkit import Augmenter

if TYPE_CHECKING:
    from ser_toolkit import F32

VOCODER_FRAME = 2048


@dataclass(frozen=True)
class Stretch(Augmenter):
    """Make audio faster or slower at the same pitch, by a rate in [rate_min, rate_max].

    The defaults are the fixed 0.8 (a clip 1.25 times as long) that notebooks use.
    """

    name: ClassVar[str] = "stretch"
    rate_min: float = 0.8
    rate_max: float = 0.8

    def __post_init__(self) -> None:
        if not 0 < self.rate_min <= self.rate_max:
            raise ValueError(
                f"0 < rate_min <= rate_max expected, received {self.rate_min} and {self.rate_max}"
            )

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` stretched, (round(N / rate),)."""
        import librosa.effects as effects

        rate = rng.uniform(self.rate_min, self.rate_max)
        stretched = effects.time_stretch(_long_enough(samples), rate=rate)
        return _float32(stretched[: max(1, round(len(samples) / rate))])


@dataclass(frozen=True)
class Pitch(Augmenter):
    """Shift the pitch uniformly within ±`semitones` at the same tempo; formants move along."""

    name: ClassVar[str] = "pitch"
    semitones: float = 2.0

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` shifted, (N,)."""
        width = abs(self.semitones)
        return _shifted(samples, rate_hz, rng.uniform(-width, width))


@dataclass(frozen=True)
class NotebookPitch(Augmenter):
    """Shift the pitch of every clip by the same `semitones`, as notebooks do it."""

    name: ClassVar[str] = "notebook_pitch"
    semitones: float = 0.7

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` shifted, (N,)."""
        return _shifted(samples, rate_hz, self.semitones)


def _shifted(samples: F32, rate_hz: int, semitones: float) -> F32:
    import librosa.effects as effects

    shifted = effects.pitch_shift(_long_enough(samples), sr=rate_hz, n_steps=semitones)
    return _float32(shifted[: len(samples)])


def _long_enough(samples: F32) -> F32:
    """Pad clips that are shorter than one frame of the vocoder, of which librosa would warn."""
    return np.pad(samples, (0, max(0, VOCODER_FRAME - len(samples))))


def _float32(samples: F32) -> F32:
    return np.ascontiguousarray(samples, np.float32)
