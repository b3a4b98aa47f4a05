"""Estimate the fundamental frequency by YIN.

De Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music",
J. Acoust. Soc. Am. 111(4), 2002. Everything is float64: the choice of a lag hangs on comparisons.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .base import F32
from .dsp import F64, Fft, block_rows, fast_length, frame_view

# Half a second of a stream at once: half of it costs more than half.
BLOCK_FRAMES = 32
# Lags whose d' differ by less are equally good: the shortest wins, whatever an FFT rounds to.
TIE = 1e-9
GATE_SLOPE, GATE_CENTRE = 20.0, 0.5
GATE_REFERENCE_HZ, GATE_OFFSET_ST, GATE_SCALE_ST = 55.0, 20.0, 8.0


@dataclass(frozen=True)
class Lags:
    """Limit the search to these periods in samples, both ends included."""

    shortest: int
    longest: int

    @classmethod
    def between(cls, rate_hz: int, f0_min_hz: float, f0_max_hz: float) -> Lags:
        """Return the lags of the fundamentals from `f0_min_hz` to `f0_max_hz` at `rate_hz`.

        Args:
            rate_hz: Samples per second.
            f0_min_hz: The lowest fundamental, of the longest lag.
            f0_max_hz: The highest one.
        """
        return cls(math.floor(rate_hz / f0_max_hz), math.ceil(rate_hz / f0_min_hz))


def yin(
    samples: F32, frame_length: int, hop_length: int, lags: Lags, threshold: float, fft: Fft
) -> tuple[F64, F64]:
    """Return period in samples and voicing in [0, 1] of each frame, both (T,) float64.

    Voicing is 1 - d' at the chosen lag (equation 8), 0 in silence.

    Args:
        samples: Float32 (N,).
        frame_length: Samples of a frame, more than the longest lag.
        hop_length: Samples from one frame to the next.
        lags: The periods to search.
        threshold: The first trough of d' below it is chosen, else the deepest.
        fft: `best_fft()` or `numpy_fft()`.
    """
    frames = frame_view(samples, frame_length, hop_length)
    periods, voicing = np.empty(len(frames)), np.empty(len(frames))
    for start in range(0, len(frames), BLOCK_FRAMES):
        rows = slice(start, start + BLOCK_FRAMES)
        dips = normalised_difference(frames[rows], lags, fft)
        chosen = _choose(dips, threshold)
        periods[rows] = lags.shortest + chosen + _parabolic_shift(dips, chosen)
        voicing[rows] = 1.0 - dips[np.arange(len(dips)), chosen]
    return periods, np.clip(voicing, 0.0, 1.0)


def normalised_difference(frames: NDArray[Any], lags: Lags, fft: Fft) -> F64:
    """Return d' (equation 8): (T, longest - shortest + 1) float64; 1 where a frame is silent.

    Args:
        frames: (T, N), taken as zero beyond their end.
        lags: The periods to search.
        fft: `best_fft()` or `numpy_fft()`.
    """
    difference = _difference(frames, lags.longest, fft)
    searched = slice(lags.shortest - 1, None)
    total = np.cumsum(difference, axis=1)[:, searched]
    dips = difference[:, searched]
    dips *= np.arange(lags.shortest, lags.longest + 1)
    if not total.min(initial=1.0) > 0:
        silent = ~(total > 0)
        dips[silent] = total[silent] = 1
    dips /= total
    return dips


def _difference(frames: NDArray[Any], longest: int, fft: Fft) -> F64:
    """Compute the sum over j >= 0 of (x[j] - x[j + lag])^2 for lags 1 ... longest (equation 6)."""
    correlation = _correlation(frames, longest, fft)
    left_out = np.cumsum(np.square(frames[:, :longest], dtype=np.float64), axis=1)
    # librosa leaves nothing out at lag 1; so do we, because f0 in quiet frames hangs on it.
    left_out[:, 0] = 0
    difference: F64 = correlation[:, :1] - correlation[:, 1:]
    difference *= 2
    difference -= left_out
    return difference


def _correlation(frames: NDArray[Any], longest: int, fft: Fft) -> F64:
    """Compute the sum over j >= 0 of x[j] x[j + lag] for lags 0 ... longest.

    In blocks so small that glibc keeps their memory: fresh pages cost as much as the FFT.
    """
    size = fft_length(frames.shape[1], longest)
    correlation = np.empty((len(frames), longest + 1))
    step = block_rows(correlation.itemsize * size)
    for start in range(0, len(frames), step):
        rows = slice(start, start + step)
        spectrum = fft.rfft(frames[rows].astype(np.float64), size)
        spectrum *= spectrum.conj()
        correlation[rows] = fft.irfft(spectrum, size)[:, : longest + 1]
    return correlation


def fft_length(frame_length: int, longest: int) -> int:
    """Return an FFT length at which the correlation up to lag `longest` does not wrap around."""
    return fast_length(frame_length + longest)


def _choose(dips: F64, threshold: float) -> NDArray[Any]:
    """Return the first trough below `threshold` (step 4), else the deepest point."""
    good = _troughs(dips)
    good &= dips < threshold
    chosen: NDArray[Any] = good.argmax(axis=1)
    none = ~good[np.arange(len(dips)), chosen]
    others = dips[none]
    deepest = others <= others.min(axis=1, keepdims=True) + TIE
    chosen[none] = deepest.argmax(axis=1)
    return chosen


def _troughs(dips: F64) -> NDArray[np.bool_]:
    falls = dips[:, 1:] < dips[:, :-1]
    troughs = np.empty(dips.shape, bool)
    np.greater(falls[:, :-1], falls[:, 1:], out=troughs[:, 1:-1])
    troughs[:, -1] = falls[:, -1]
    troughs[:, 0] = dips[:, 0] < dips[:, 1]
    return troughs


def _parabolic_shift(dips: F64, chosen: NDArray[Any]) -> F64:
    """Return how far the vertex of the parabola through three lags is from the middle (step 5)."""
    last = dips.shape[1] - 1
    middle = np.minimum(np.maximum(chosen, 1), last - 1)
    rows = np.arange(len(dips))
    left, centre, right = (dips[rows, middle + step] for step in (-1, 0, 1))
    curvature, slope = left + right - 2 * centre, (right - left) / 2
    inside = (chosen == middle) & (np.abs(slope) < np.abs(curvature)) & (curvature > TIE)
    shift: F64 = np.divide(-slope, curvature, out=np.zeros(len(dips)), where=inside)
    return shift


def gated_pitch(f0_hz: F64, voicing: F64) -> F64:
    """Return a pitch that fades to 0 where unvoiced, of about -2 to 2.

    It is sigmoid(20 (voicing - 0.5)) (12 log2(f0 / 55 Hz) - 20) / 8.
    """
    gate = 1.0 / (1.0 + np.exp(-GATE_SLOPE * (voicing - GATE_CENTRE)))
    semitones = 12.0 * np.log2(f0_hz / GATE_REFERENCE_HZ)
    pitch: F64 = gate * (semitones - GATE_OFFSET_ST) / GATE_SCALE_ST
    return pitch
