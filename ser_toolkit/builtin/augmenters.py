"""Augment by numpy and soxr only.

Nothing is clipped: results are float32 and may leave [-1, 1]. Silence stays silence, and an empty
clip stays empty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ..contracts.components import Augmenter, FrameAugmenter
from ..runtime.features.base import F32

OCTAVE_DB = 20 * np.log10(2)
LOWEST_HZ = 50.0
PIVOT_HZ = 1000.0
EQUALISER_TAIL_S = 0.05
EQUALISER_TERMS = 4


@dataclass(frozen=True)
class Noise(Augmenter):
    """Coloured noise at a signal-to-noise ratio drawn in dB, between white and brown by default.

    The ratio compares mean powers over the whole clip; the slope is that of the power spectrum.
    """

    name: ClassVar[str] = "noise"
    snr_db_min: float = 5.0
    snr_db_max: float = 40.0
    slope_db_per_octave_min: float = -6.0
    slope_db_per_octave_max: float = 0.0

    def __post_init__(self) -> None:
        _check_order(self, "snr_db", "slope_db_per_octave")

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Add noise to `samples`, (N,)."""
        snr_db = rng.uniform(self.snr_db_min, self.snr_db_max)
        slope = rng.uniform(self.slope_db_per_octave_min, self.slope_db_per_octave_max)
        noise = coloured_noise(len(samples), slope, rng)
        level = _rms(samples) * 10 ** (-snr_db / 20)
        noisy: F32 = samples + noise * np.float32(level / max(_rms(noise), 1e-12))
        return noisy


@dataclass(frozen=True)
class NotebookNoise(Augmenter):
    """White noise as notebooks add it: x + amount * U(0, 1) * max(x) * N(0, 1).

    max(x) is the largest sample, not the largest magnitude.
    """

    name: ClassVar[str] = "notebook_noise"
    amount: float = 0.035

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Add noise to `samples`, (N,)."""
        if len(samples) == 0:
            return _float32(samples.copy())
        amplitude = self.amount * rng.uniform() * float(np.amax(samples))
        noisy = samples + amplitude * rng.normal(size=len(samples))
        return _float32(noisy)


@dataclass(frozen=True)
class Shift(Augmenter):
    """Rotates the clip by up to `max_samples` either way; what leaves one end enters the other."""

    name: ClassVar[str] = "shift"
    max_samples: int = 5000

    def __post_init__(self) -> None:
        _check_sign(self, "max_samples")

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` rotated, (N,)."""
        return np.roll(samples, int(rng.integers(-self.max_samples, self.max_samples + 1)))


@dataclass(frozen=True)
class Gain(Augmenter):
    """Louder or softer by a factor drawn in dB: an unknown microphone, an unknown distance."""

    name: ClassVar[str] = "gain"
    db_min: float = -6.0
    db_max: float = 6.0

    def __post_init__(self) -> None:
        _check_order(self, "db")

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` times one factor, (N,)."""
        scaled: F32 = samples * np.float32(10 ** (rng.uniform(self.db_min, self.db_max) / 20))
        return scaled


@dataclass(frozen=True)
class Speed(Augmenter):
    """Plays faster or slower: tempo, pitch and formants change together, as with another speaker.

    Speed perturbation of Ko et al. 2015 (Interspeech), with a rate drawn for each clip.
    """

    name: ClassVar[str] = "speed"
    rate_min: float = 0.85
    rate_max: float = 1.15

    def __post_init__(self) -> None:
        _check_order(self, "rate")
        if self.rate_min <= 0:
            raise ValueError(f"rate_min must be above 0, received {self.rate_min}")

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` resampled, (about N / rate,), at least one sample of what had one."""
        import soxr

        if len(samples) == 0:
            return _float32(samples.copy())
        rate = rng.uniform(self.rate_min, self.rate_max)
        faster = soxr.resample(samples, rate, 1.0, quality="HQ")
        return _float32(faster if len(faster) else samples.copy())


@dataclass(frozen=True)
class Equalise(Augmenter):
    """A random tilt and a random smooth curve over log frequency: another microphone or room.

    The gain is 0 dB at 1 kHz; the tilt is at most `tilt_db_per_octave`, the curve at most `db`
    either way.
    """

    name: ClassVar[str] = "equalise"
    db: float = 6.0
    tilt_db_per_octave: float = 1.5

    def __post_init__(self) -> None:
        _check_sign(self, "db", "tilt_db_per_octave")

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` filtered with no delay, (N,)."""
        size = _fast_length(len(samples) + int(EQUALISER_TAIL_S * rate_hz))
        gain = 10 ** (self.curve_db(np.fft.rfftfreq(size, 1 / rate_hz), rng) / 20)
        filtered = np.fft.irfft(np.fft.rfft(samples, size) * gain, size)
        return _float32(filtered[: len(samples)])

    def curve_db(self, frequencies_hz: Any, rng: np.random.Generator) -> Any:
        """Return the gain in dB at each frequency."""
        octaves = np.log2(np.maximum(frequencies_hz, LOWEST_HZ) / PIVOT_HZ)
        place = octaves / np.log2(max(frequencies_hz[-1], 2 * LOWEST_HZ) / LOWEST_HZ)
        curve = rng.uniform(-1, 1) * self.tilt_db_per_octave * octaves
        for term in range(1, EQUALISER_TERMS + 1):
            height = rng.uniform(-1, 1) * self.db / EQUALISER_TERMS
            curve = curve + height * np.sin(np.pi * term * place)
        return curve


@dataclass(frozen=True)
class Mask(FrameAugmenter):
    """SpecAugment: blanks some bands of columns and some spans of frames.

    After Park et al. 2019 (Interspeech), without time warping. The width of each mask is uniform
    from 0 to its maximum, and never more than half of the window.
    """

    name: ClassVar[str] = "mask"
    n_frequency: int = 2
    max_columns: int = 8
    n_time: int = 2
    max_frames: int = 20

    def __post_init__(self) -> None:
        _check_sign(self, "n_frequency", "max_columns", "n_time", "max_frames")

    def augment_frames(self, frames: F32, rng: np.random.Generator) -> F32:
        """Return `frames` with 0, the column mean, in the masks, (T, F)."""
        masked: F32 = frames.copy()
        for _ in range(self.n_frequency):
            masked[:, _span(frames.shape[1], self.max_columns, rng)] = 0
        for _ in range(self.n_time):
            masked[_span(frames.shape[0], self.max_frames, rng)] = 0
        return masked


@dataclass(frozen=True)
class Tempo(FrameAugmenter):
    """Stretches the frames along time by exp(U(-max_log, max_log)), at unchanged pitch.

    Frames between frames are interpolated linearly. A longer result is cut at a random place, a
    shorter one repeated from its beginning, so that the window keeps its length.
    """

    name: ClassVar[str] = "tempo"
    max_log: float = 0.2

    def __post_init__(self) -> None:
        _check_sign(self, "max_log")

    def augment_frames(self, frames: F32, rng: np.random.Generator) -> F32:
        """Return `frames` slower or faster, (T, F)."""
        count = len(frames)
        length = max(1, round(count * np.exp(rng.uniform(-self.max_log, self.max_log))))
        start = rng.integers(0, max(0, length - count) + 1)
        position = (start + np.arange(count)) % length * ((count - 1) / max(1, length - 1))
        before = position.astype(int)
        after = np.minimum(before + 1, count - 1)
        share = (position - before).astype(np.float32)[:, None]
        return _float32(frames[before] * (1 - share) + frames[after] * share)


def coloured_noise(n_samples: int, slope_db_per_octave: float, rng: np.random.Generator) -> F32:
    """Return Gaussian noise, float32 (n_samples,), with a sloped power spectrum and no DC.

    Args:
        n_samples: Number of samples.
        slope_db_per_octave: Slope of the power spectrum; 0 is white, -6 is brown.
        rng: Source of every random draw.
    """
    size = _fast_length(n_samples)
    spectrum = np.fft.rfft(rng.standard_normal(size, dtype=np.float32))
    shape = np.maximum(np.arange(len(spectrum)), 1) ** (slope_db_per_octave / OCTAVE_DB)
    shape[0] = 0
    return _float32(np.fft.irfft(spectrum * shape, size)[:n_samples])


def _float32(values: Any) -> F32:
    narrow: F32 = np.ascontiguousarray(values, np.float32)
    return narrow


def _span(size: int, widest: int, rng: np.random.Generator) -> slice:
    width = int(rng.integers(0, min(widest, size // 2) + 1))
    start = int(rng.integers(0, size - width + 1))
    return slice(start, start + width)


def _rms(samples: F32) -> float:
    wide = samples.astype(np.float64)
    return float(np.sqrt(wide @ wide / max(1, len(wide))))


def _fast_length(n_samples: int) -> int:
    """Return a length near above `n_samples` with a fast FFT: 8 to 16 times a power of 2."""
    step = 1 << max(0, n_samples.bit_length() - 4)
    return max(16, -(-n_samples // step) * step)


def _check_order(augmenter: Augmenter, *names: str) -> None:
    for name in names:
        low, high = getattr(augmenter, f"{name}_min"), getattr(augmenter, f"{name}_max")
        if not low <= high:
            raise ValueError(f"{name}_min ({low}) must not exceed {name}_max ({high})")


def _check_sign(augmenter: Augmenter | FrameAugmenter, *names: str) -> None:
    for name in names:
        if getattr(augmenter, name) < 0:
            raise ValueError(f"{name} must not be negative, received {getattr(augmenter, name)}")
