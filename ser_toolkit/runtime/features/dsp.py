"""Process signals in numpy: framing, spectra, mel bank, DCT.

Spectra are float32 and computed in blocks of rows that stay in the cache. Everything that is
cached is read-only.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from .base import F32, Signal

F64 = NDArray[np.float64]
A = TypeVar("A", bound=NDArray[Any])
MelScale = Literal["slaney", "htk"]
Precision = Literal["single", "double"]
MelNorm = Literal["slaney", "unit_sum", "none"]

# Frames and spectrum of a block fit any level-2 cache, and the spectrum stays below 128 KiB, from
# where glibc takes fresh pages for every array: that made blocks cost three times as much.
BLOCK_BYTES = 96 * 1024
# Mel filters per matrix product: more wastes work on zeros, fewer wastes it on calls.
BAND_FILTERS = 16
# A bin this near to the corner of a filter, in bins, is on the corner.
EDGE_BINS = 1e-6

_SLANEY_HZ_PER_MEL = 200 / 3
_SLANEY_LOG_FROM_HZ = 1000.0
_SLANEY_LOG_FROM_MEL = _SLANEY_LOG_FROM_HZ / _SLANEY_HZ_PER_MEL
_SLANEY_LOG_STEP = math.log(6.4) / 27


@dataclass(frozen=True)
class Fft:
    """A real FFT over the last axis: `rfft(x, n)` and `irfft(spectrum, n)`."""

    name: str
    rfft: Callable[..., NDArray[Any]]
    irfft: Callable[..., NDArray[Any]]


@functools.cache
def numpy_fft() -> Fft:
    """Return numpy's FFT, which is always installed."""
    return Fft("numpy", np.fft.rfft, np.fft.irfft)


@functools.cache
def best_fft() -> Fft:
    """Return scipy's FFT, twice as fast as numpy's, where scipy is installed; else numpy's."""
    try:
        import scipy.fft
    except ImportError:
        return numpy_fft()
    return Fft("scipy", scipy.fft.rfft, scipy.fft.irfft)


def fast_length(n: int) -> int:
    """Return the smallest even FFT length >= n without prime factors above 5."""
    length = n + n % 2
    while _without_factors_to_5(length) > 1:
        length += 2
    return length


def _without_factors_to_5(n: int) -> int:
    for factor in (2, 3, 5):
        while n % factor == 0:
            n //= factor
    return n


def frame_view(values: NDArray[Any], frame_length: int, hop_length: int) -> NDArray[Any]:
    """Return all whole frames of an array: a read-only view (T, frame_length).

    Args:
        values: Contiguous (N,), of any dtype.
        frame_length: Values of a frame.
        hop_length: Values from one frame to the next.
    """
    count = max(0, 1 + (len(values) - frame_length) // hop_length)
    if count == 0:
        return np.empty((0, frame_length), values.dtype)
    step = values.itemsize
    shape, strides = (count, frame_length), (hop_length * step, step)
    view: NDArray[Any] = np.ndarray(shape, values.dtype, buffer=values.data, strides=strides)
    view.flags.writeable = False
    return view


def frame_energy(values: F32, frame_length: int, hop_length: int) -> F32:
    """Return the sum of squares of each whole frame: (T,) float32.

    Every sample is squared once, in blocks that frames share.

    Args:
        values: Float32 (N,).
        frame_length: Samples of a frame.
        hop_length: Samples from one frame to the next.
    """
    count = max(0, 1 + (len(values) - frame_length) // hop_length)
    if count == 0:
        return np.empty(0, np.float32)
    block = math.gcd(frame_length, hop_length)
    blocks = values[: (count - 1) * hop_length + frame_length].reshape(-1, block)
    sums = np.einsum("ij,ij->i", blocks, blocks)
    energy: F32 = frame_view(sums, frame_length // block, hop_length // block).sum(axis=1)
    return energy


@functools.lru_cache(maxsize=32)
def hann(length: int, precision: Precision = "single") -> NDArray[Any]:
    """Return the periodic Hann window (length,), float32 or float64."""
    phase = 2 * np.pi * np.arange(length) / length
    return _read_only((0.5 - 0.5 * np.cos(phase)).astype(precision))


def power_spectrogram(
    signal: Signal, frame_length: int, hop_length: int, fft: Fft, precision: Precision = "single"
) -> F32:
    """Return |rfft(Hann * frame)|^2 of each whole frame: (T, frame_length // 2 + 1) float32.

    Computed once per signal, for all extractors; the result is read-only.

    Args:
        signal: At any rate.
        frame_length: Samples of a frame, and of the FFT.
        hop_length: Samples from one frame to the next.
        fft: `best_fft()` or `numpy_fft()`.
        precision: That of the FFT; the rounding of `single` is 1e-7 of a frame's strongest bin,
            which hides bins 140 dB below it.
    """
    grid = (frame_length, hop_length, fft, precision)
    return signal.memo(("power", *grid), lambda: _read_only(_power(signal.samples, *grid)))


def block_rows(frame_bytes: int) -> int:
    """Return frames per block: multiples of four where possible, which scipy transforms at once."""
    rows = BLOCK_BYTES // frame_bytes
    return max(1, rows - rows % 4 if rows > 4 else rows)


def _power(samples: F32, frame_length: int, hop_length: int, fft: Fft, precision: Precision) -> F32:
    frames = frame_view(samples, frame_length, hop_length)
    window = hann(frame_length, precision)
    power = np.empty((len(frames), frame_length // 2 + 1), np.float32)
    rows = block_rows(window.nbytes)
    windowed = np.empty((min(rows, len(frames)), frame_length), window.dtype)
    for start in range(0, len(frames), rows):
        out = power[start : start + rows]
        block = np.multiply(frames[start : start + rows], window, out=windowed[: len(out)])
        # Modulus and square are faster than the sum of two strided squares.
        np.abs(fft.rfft(block), out=out)
        np.multiply(out, out, out=out)
    return power


def hz_to_mel(hz: F64, scale: MelScale) -> F64:
    """Return frequencies on the mel scale of HTK or of Slaney's Auditory Toolbox."""
    if scale == "htk":
        mel: F64 = 2595.0 * np.log10(1.0 + hz / 700.0)
        return mel
    above = np.log(np.maximum(hz, _SLANEY_LOG_FROM_HZ) / _SLANEY_LOG_FROM_HZ) / _SLANEY_LOG_STEP
    return np.where(hz < _SLANEY_LOG_FROM_HZ, hz / _SLANEY_HZ_PER_MEL, _SLANEY_LOG_FROM_MEL + above)


def mel_to_hz(mel: F64, scale: MelScale) -> F64:
    """Return the inverse of `hz_to_mel`."""
    if scale == "htk":
        hz: F64 = 700.0 * (10.0 ** (mel / 2595.0) - 1.0)
        return hz
    above = np.maximum(mel, _SLANEY_LOG_FROM_MEL) - _SLANEY_LOG_FROM_MEL
    return np.where(
        mel < _SLANEY_LOG_FROM_MEL,
        mel * _SLANEY_HZ_PER_MEL,
        _SLANEY_LOG_FROM_HZ * np.exp(above * _SLANEY_LOG_STEP),
    )


@dataclass(frozen=True)
class MelParams:
    """Hold the parameters of a mel filterbank; `n_fft` in samples."""

    rate_hz: int
    n_fft: int
    n_mels: int
    fmin_hz: float
    fmax_hz: float
    scale: MelScale
    norm: MelNorm

    def edges_hz(self) -> F64:
        """Return the corners of the triangles: filter m has edges m, m + 1 (its peak) and m + 2."""
        ends = hz_to_mel(np.array([self.fmin_hz, self.fmax_hz]), self.scale)
        return mel_to_hz(np.linspace(ends[0], ends[1], self.n_mels + 2), self.scale)

    def bins_hz(self) -> F64:
        """Return the centre frequencies of the FFT bins."""
        return np.arange(self.n_fft // 2 + 1, dtype=np.float64) * (self.rate_hz / self.n_fft)

    def empty_filters(self) -> int:
        """Return how many filters fall between two bins: they would always give zero."""
        edges = self.edges_hz() * self.n_fft / self.rate_hz
        first, last = np.floor(edges[:-2] + EDGE_BINS) + 1, np.ceil(edges[2:] - EDGE_BINS) - 1
        return int(np.count_nonzero(first > last))


@functools.lru_cache(maxsize=32)
def mel_weights(params: MelParams) -> F32:
    """Return triangular filters (n_mels, n_fft // 2 + 1) float32, read-only.

    `slaney` gives every triangle the area 1 over Hz, `unit_sum` makes its weights sum to 1.
    """
    edges = params.edges_hz()
    slopes = edges[:, None] - params.bins_hz()
    widths = np.diff(edges)[:, None]
    rising, falling = -slopes[:-2] / widths[:-1], slopes[2:] / widths[1:]
    weights = np.maximum(0, np.minimum(rising, falling))
    if params.norm == "slaney":
        weights *= 2.0 / (edges[2:] - edges[:-2])[:, None]
    elif params.norm == "unit_sum":
        weights /= np.maximum(weights.sum(axis=1, keepdims=True), np.finfo(np.float64).tiny)
    return _read_only(weights.astype(np.float32))


@dataclass(frozen=True, eq=False)
class BandedBank:
    """Hold a filterbank as a few small matrices, each over only the bins that its filters use."""

    n_filters: int
    bands: tuple[tuple[slice, slice, F32], ...]

    def apply(self, power: F32) -> F32:
        """Apply the filters to power spectra: (T, bins) -> (T, n_filters), both float32."""
        out = np.empty((len(power), self.n_filters), np.float32)
        for bins, filters, weights in self.bands:
            np.matmul(power[:, bins], weights, out=out[:, filters])
        return out


@functools.lru_cache(maxsize=32)
def mel_bank(params: MelParams) -> BandedBank:
    """Return `mel_weights` in bands, which cost a fraction of the dense matrix product."""
    return banded(mel_weights(params))


def banded(weights: F32) -> BandedBank:
    """Split `weights` (filters, bins) into bands of neighbouring filters."""
    starts = range(0, len(weights), BAND_FILTERS)
    return BandedBank(len(weights), tuple(_band(weights, start) for start in starts))


def _band(weights: F32, start: int) -> tuple[slice, slice, F32]:
    rows = weights[start : start + BAND_FILTERS]
    used = np.flatnonzero(rows.any(axis=0))
    bins = slice(int(used[0]), int(used[-1]) + 1) if len(used) else slice(0, 1)
    block = np.ascontiguousarray(rows[:, bins].T)
    return bins, slice(start, start + len(rows)), _read_only(block)


@functools.lru_cache(maxsize=32)
def dct_matrix(n_out: int, n_in: int) -> F32:
    """Return the first `n_out` rows of the orthonormal DCT-II over `n_in` points: (n_out, n_in)."""
    row, column = np.arange(n_out)[:, None], np.arange(n_in)
    matrix = np.sqrt(2.0 / n_in) * np.cos(np.pi * row * (2 * column + 1) / (2 * n_in))
    matrix[:1] /= np.sqrt(2.0)
    return _read_only(matrix.astype(np.float32))


def power_to_db(power: F32, floor: float, top_db: float | None = None) -> F32:
    """Return 10 log10(max(power, floor)), of the shape of `power`.

    Args:
        power: Float32 of any shape.
        floor: The lowest power.
        top_db: The largest distance below the maximum of all of `power`, in dB, which no stream
            can respect; None is no limit.
    """
    level: F32 = np.maximum(power, np.float32(floor))
    np.log10(level, out=level)
    level *= np.float32(10)
    if top_db is not None:
        np.maximum(level, level.max() - np.float32(top_db), out=level)
    return level


def weighted_sums(rows: F32, weights: F64) -> F32:
    """Return weighted sums of len(weights) successive rows; float64, since large terms cancel."""
    wide = rows.astype(np.float64)
    count = len(wide) - len(weights) + 1
    total = np.zeros((count, wide.shape[1]))
    for offset, weight in enumerate(weights):
        total += weight * wide[offset : offset + count]
    return total.astype(np.float32)


@functools.lru_cache(maxsize=32)
def slope_weights(width: int, order: int) -> F64:
    """Return the weights (width,) of the `order`-th derivative by a polynomial of that degree.

    The polynomial is fitted by least squares. Source: Savitzky and Golay, Analytical Chemistry
    36(8), 1964.
    """
    offsets = np.arange(width) - width // 2
    powers = np.vander(offsets, order + 1, increasing=True).astype(np.float64)
    weights: F64 = math.factorial(order) * np.linalg.pinv(powers)[order]
    weights.flags.writeable = False
    return weights


def _read_only(array: A) -> A:
    array.flags.writeable = False
    return array
