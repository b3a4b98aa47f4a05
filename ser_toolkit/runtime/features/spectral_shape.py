"""Describe the shape of each frame's spectrum by eleven numbers.

None of them depends on the level, except through the floor: a constant added to the power of every
bin, so that silence is a flat spectrum and nothing is divided by zero. Sums are float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import F32
from .dsp import F64

# Of one bin, for a Hann window of 1024 samples and full scale 1: the rounding noise of 16-bit
# audio gives 3e-8.
POWER_FLOOR = 1e-8
# There is no speech below, only offset and hum.
LOWEST_HZ = 50.0
SLOPE_HZ = (500.0, 1500.0)
ALPHA_HZ = (50.0, 1000.0, 5000.0)

DESCRIPTORS = (
    "centroid_hz",
    "spread_hz",
    "skewness",
    "kurtosis",
    "rolloff_85_hz",
    "rolloff_25_hz",
    "flatness_db",
    "entropy",
    "flux",
    "slope_db_per_khz",
    "alpha_db",
)


def describe(power: F32, rate_hz: int) -> F64:
    """Return the descriptors of each frame, in the order of `DESCRIPTORS`: (T, bins) -> (T, 11).

    Over the bins from 50 Hz on, with P the power of a bin plus the floor, a = sqrt(P),
    p = a / sum(a), and f its frequency in Hz:

    - centroid c = sum(p f); spread s = sqrt(sum(p (f - c)^2)); skewness sum(p (f - c)^3) / s^3;
      kurtosis sum(p (f - c)^4) / s^4 (3 for a Gaussian);
    - roll-off 85 % and 25 %: the lowest bin up to which a sums to that share;
    - flatness: geometric over arithmetic mean of P, in dB (0 is white);
    - entropy of P / sum(P), in shares of that of a flat spectrum;
    - flux: Euclidean distance of p from p of the frame before (the first frame takes the second's
      value, a single frame 0);
    - slope: least-squares line of 10 log10 P over 500-1500 Hz, in dB per kHz;
    - alpha ratio: power of 50-1000 Hz over power of 1-5 kHz, in dB.

    Sources: Peeters, "A large set of audio features for sound description", IRCAM 2004 (the first
    nine); Eyben et al., "The Geneva minimalistic acoustic parameter set", IEEE Trans. Affective
    Computing 7(2), 2016 (the last two).
    """
    hz = np.linspace(0, rate_hz / 2, power.shape[1])
    used = hz >= LOWEST_HZ
    hz, wide = hz[used], power[:, used].astype(np.float64) + POWER_FLOOR
    shares = np.sqrt(wide)
    shares /= shares.sum(axis=1, keepdims=True)
    level_db = 10 * np.log10(wide)
    columns = [
        *_moments(shares, hz),
        *_rolloffs(shares, hz, (0.85, 0.25)),
        level_db.mean(axis=1) - 10 * np.log10(wide.mean(axis=1)),
        _entropy(wide),
        _flux(shares),
        _slope(level_db, hz),
        _alpha(wide, hz),
    ]
    return np.stack(columns, axis=1)


def _moments(shares: F64, hz: F64) -> list[F64]:
    centroid = shares @ hz
    offsets = hz - centroid[:, None]
    weighted = shares * offsets
    central = []
    for _ in range(3):
        weighted *= offsets
        central.append(weighted.sum(axis=1))
    spread = np.sqrt(central[0])
    return [centroid, spread, central[1] / spread**3, central[2] / spread**4]


def _rolloffs(shares: F64, hz: F64, fractions: tuple[float, ...]) -> list[F64]:
    cumulative = np.cumsum(shares, axis=1)
    total = cumulative[:, -1:]
    return [hz[np.argmax(cumulative >= fraction * total, axis=1)] for fraction in fractions]


def _entropy(power: F64) -> F64:
    shares = power / power.sum(axis=1, keepdims=True)
    entropy: F64 = -(shares * np.log(shares)).sum(axis=1) / np.log(shares.shape[1])
    return entropy


def _flux(shares: F64) -> F64:
    changes = np.sqrt(np.square(np.diff(shares, axis=0)).sum(axis=1))
    first = changes[:1] if len(changes) else np.zeros(1)
    return np.concatenate([first, changes])


def _slope(level_db: F64, hz: F64) -> F64:
    inside = _between(hz, *SLOPE_HZ)
    khz = hz[inside] / 1000
    offsets = khz - khz.mean()
    slope: F64 = level_db[:, inside] @ offsets / (offsets @ offsets)
    return slope


def _alpha(power: F64, hz: F64) -> F64:
    low, middle, high = ALPHA_HZ
    below = power[:, _between(hz, low, middle)].sum(axis=1)
    above = power[:, _between(hz, middle, high)].sum(axis=1)
    ratio_db: F64 = 10 * np.log10(below / above)
    return ratio_db


def _between(hz: F64, low: float, high: float) -> NDArray[Any]:
    return (hz >= low) & (hz < high)
