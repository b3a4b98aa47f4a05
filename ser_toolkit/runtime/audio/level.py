"""The level of speech, without the pauses in it: the same in training and on the device."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..features.base import F32

FRAME_S = 0.032
FLOOR_DBFS = -90.0
# Relative gate of ITU-R BS.1770: frames further below the mean of all are pauses.
PAUSE_DB = 10.0


def speech_level(samples: F32, rate_hz: int) -> float:
    """Return the speech level of samples (N,), full scale 1, in dBFS; -90 of nothing."""
    length = max(1, round(FRAME_S * rate_hz))
    n_frames = max(1, len(samples) // length)
    squares = np.square(samples[: n_frames * length], dtype=np.float64).reshape(n_frames, -1)
    return level_of_frames(squares.sum(axis=1) / max(1, squares.shape[1]))


def level_of_frames(energies: NDArray[np.float64]) -> float:
    """Return the speech level in dBFS of frames of equal length, by their mean squares (T,)."""
    loud = energies[energies >= energies.mean() * 10 ** (-PAUSE_DB / 10)]
    return decibels(float(loud.mean()))


def decibels(energy: float) -> float:
    """Return a mean square in dB of full scale, at least -90."""
    return max(FLOOR_DBFS, 10 * float(np.log10(max(energy, 1e-12))))
