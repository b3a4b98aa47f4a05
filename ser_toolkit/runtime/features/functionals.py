"""Compute functionals: statistics over a window of pitch, level, timing, MFCC, spectral shape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..errors import SertkError
from .base import F32, Signal, WindowExtractor
from .dsp import best_fft, power_spectrogram, slope_weights, weighted_sums
from .spectral import Mfcc, Pitch, Rms, Zcr
from .spectral_shape import ALPHA_HZ, DESCRIPTORS, LOWEST_HZ, describe

Real = NDArray[np.floating[Any]]

DELTA_WIDTH = 9
F0_REFERENCE_HZ = 27.5

STATISTICS = ("mean", "std", "p10", "p50", "p90", "slope")
CHANGE = "change"
CONTOUR = ("mean", "std", "p10", "p50", "p90", "range", "slope", CHANGE)
TIMING = (
    "voicing_mean",
    "voicing_std",
    "voiced_fraction",
    "voiced_segments_per_s",
    "voiced_segment_s",
    "unvoiced_segment_s",
    "zcr_mean",
)


@dataclass(frozen=True)
class Functionals(WindowExtractor):
    """Compute statistics over one window: {"functionals": (460,)} float32 by default.

    Per frame of `frame_length` samples: f0 and voicing (`Pitch`), level (`Rms`), zero crossings
    (`Zcr`), `n_mfcc` cepstral coefficients (`Mfcc`, from 50 Hz) with their first and second
    derivatives (Savitzky-Golay over 9 centred frames, the ends repeated), and eleven spectral
    descriptors (`describe`). Of each over the T frames: mean, standard deviation, 10th,
    50th and 90th percentile, slope of the least-squares line per second; of some also the range
    (maximum less minimum) and the mean absolute change from frame to frame.

    - Prosody, 23: f0 in semitones over 27.5 Hz, in frames whose voicing exceeds `voiced_above`,
      and level in dB (never below `floor_db`), 8 each; mean and standard deviation of the voicing,
      voiced fraction of the frames, voiced segments per second of the window, mean length of
      voiced and of unvoiced segments in seconds, mean zero-crossing rate.
    - MFCC, 18 `n_mfcc`: six statistics of coefficients, first and second derivatives.
    - Spectrum, 77: those six and the mean absolute change of each descriptor.

    Everything is finite: where no frame is voiced, f0 is the geometric middle of the search range
    and does not move; a missing segment has length 0; one frame has no spread and no slope. A gain
    moves the level, the first coefficient and what the floors touch, nothing else.

    Raises ValueError for parameters that do not fit together, SertkError for audio at another rate
    or shorter than a frame.
    """

    name: ClassVar[str] = "functionals"
    takes_short: ClassVar[bool] = True
    rate_hz: int = 16000
    frame_length: int = 1024
    hop_length: int = 256
    n_mfcc: int = 20
    n_mels: int = 128
    f0_min_hz: float = 60.0
    f0_max_hz: float = 500.0
    voiced_above: float = 0.5
    floor_db: float = -80.0

    def __post_init__(self) -> None:
        if self.rate_hz < 2 * ALPHA_HZ[-1]:
            raise ValueError(
                f"rate_hz of at least {2 * ALPHA_HZ[-1]:g} expected, received {self.rate_hz}"
            )
        # These check the parameters that they share.
        _ = self._mfcc, self._pitch

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names f0_st_mean … zcr_mean, mfcc_0_mean … , centroid_hz_mean …"""
        kinds = ("", "_delta", "_delta2")
        cepstra = [f"mfcc_{n}{kind}" for kind in kinds for n in range(self.n_mfcc)]
        return (
            *_crossed(("f0_st", "level_db"), CONTOUR),
            *TIMING,
            *_crossed(cepstra, STATISTICS),
            *_crossed(DESCRIPTORS, (*STATISTICS, CHANGE)),
        )

    def arrays(self, signal: Signal) -> dict[str, F32]:
        """Return {"functionals": (len(columns),)} of a window of `frame_length` samples or more."""
        if len(signal) < self.frame_length:
            raise SertkError(
                f"'{self.name}' expects {self.frame_length} samples or more, received {len(signal)}"
            )
        parts = [self._prosody(signal), self._cepstral(signal), self._spectral(signal)]
        return {self.name: np.concatenate(parts).astype(np.float32)}

    @cached_property
    def _mfcc(self) -> Mfcc:
        return Mfcc(
            **self._grid,
            n_mfcc=self.n_mfcc,
            n_mels=self.n_mels,
            fmin_hz=LOWEST_HZ,
            fmax_hz=self.rate_hz / 2,
        )

    @cached_property
    def _pitch(self) -> Pitch:
        return Pitch(**self._grid, f0_min_hz=self.f0_min_hz, f0_max_hz=self.f0_max_hz)

    @property
    def _grid(self) -> dict[str, Any]:
        return {
            "rate_hz": self.rate_hz,
            "frame_length": self.frame_length,
            "hop_length": self.hop_length,
        }

    @property
    def _hop_s(self) -> float:
        return self.hop_length / self.rate_hz

    def _prosody(self, signal: Signal) -> Real:
        f0_hz, voicing = self._pitch.frames(signal).astype(np.float64).T
        voiced = voicing > self.voiced_above
        zcr = Zcr(**self._grid).frames(signal)
        window_s = self.sample_count(len(voiced)) / self.rate_hz
        return np.concatenate(
            [
                self._f0(f0_hz, voiced),
                self._level(signal),
                [voicing.mean(), voicing.std()],
                _timing(voiced, self._hop_s, window_s),
                [zcr.mean(dtype=np.float64)],
            ]
        )

    def _f0(self, f0_hz: Real, voiced: NDArray[np.bool_]) -> Real:
        semitones = 12 * np.log2(f0_hz / F0_REFERENCE_HZ)
        if not voiced.any():
            middle_hz = np.sqrt(self.f0_min_hz * self.f0_max_hz)
            semitones[:] = 12 * np.log2(middle_hz / F0_REFERENCE_HZ)
            voiced = np.ones_like(voiced)
        steps = np.diff(semitones)[voiced[1:] & voiced[:-1]]
        return _contour(semitones[voiced], np.flatnonzero(voiced) * self._hop_s, steps)

    def _level(self, signal: Signal) -> Real:
        rms = Rms(**self._grid).frames(signal)[:, 0].astype(np.float64)
        level_db = 20 * np.log10(np.maximum(rms, 10 ** (self.floor_db / 20)))
        return _contour(level_db, np.arange(len(level_db)) * self._hop_s, np.diff(level_db))

    def _cepstral(self, signal: Signal) -> Real:
        cepstrum = self._mfcc.frames(signal)
        derivatives = [_derivative(cepstrum, order) for order in (1, 2)]
        return statistics(np.hstack([cepstrum, *derivatives]), self._hop_s).ravel()

    def _spectral(self, signal: Signal) -> Real:
        # The very spectrum that the MFCC use, so that it is computed once.
        grid = (self.frame_length, self.hop_length, best_fft(), self._mfcc.precision)
        frames = describe(power_spectrogram(signal, *grid), self.rate_hz)
        changes = mean_change(np.diff(frames, axis=0))
        return np.column_stack([statistics(frames, self._hop_s), changes]).ravel()


def statistics(frames: NDArray[Any], hop_s: float) -> Real:
    """Compute the `STATISTICS` of each column, slopes per second: (T, F) -> (F, 6) float64."""
    columns = np.ascontiguousarray(frames.T, dtype=np.float64)
    return np.column_stack(
        [
            columns.mean(axis=1),
            columns.std(axis=1),
            *np.percentile(columns, (10, 50, 90), axis=1),
            slopes(columns, np.arange(columns.shape[1]) * hop_s),
        ]
    )


def slopes(rows: Real, times_s: Real) -> Real:
    """Fit a line to each row and return its slope per second: (F, T) -> (F,); 0 where T = 1."""
    offsets = times_s - times_s.mean()
    square = offsets @ offsets
    return rows @ offsets / square if square > 0 else np.zeros(len(rows))


def mean_change(steps: Real) -> Real:
    """Return the mean absolute step from frame to frame: (T - 1, F) -> (F,); 0 where T = 1."""
    change: Real = np.abs(steps).sum(axis=0) / max(1, len(steps))
    return change


def _contour(values: Real, times_s: Real, steps: Real) -> Real:
    """Return the eight statistics of `CONTOUR` of values (T,) with `steps` between them."""
    p10, p50, p90 = np.percentile(values, (10, 50, 90))
    slope = slopes(values[None], times_s)[0]
    change = mean_change(steps)
    return np.array(
        [values.mean(), values.std(), p10, p50, p90, np.ptp(values), slope, change], np.float64
    )


def _timing(voiced: NDArray[np.bool_], hop_s: float, window_s: float) -> list[float]:
    """Return voiced fraction, voiced segments per second, mean voiced and unvoiced length."""
    starts = np.flatnonzero(np.diff(voiced, prepend=not voiced[0]))
    lengths_s = np.diff(starts, append=len(voiced)) * hop_s
    is_voiced = voiced[starts]
    return [
        float(voiced.mean()),
        np.count_nonzero(is_voiced) / window_s,
        _mean(lengths_s[is_voiced]),
        _mean(lengths_s[~is_voiced]),
    ]


def _mean(values: Real) -> float:
    return float(values.mean()) if len(values) else 0.0


def _derivative(frames: F32, order: int) -> F32:
    half = DELTA_WIDTH // 2
    padded = np.pad(frames, ((half, half), (0, 0)), mode="edge")
    return weighted_sums(padded, slope_weights(DELTA_WIDTH, order))


def _crossed(names: Sequence[str], endings: Sequence[str]) -> list[str]:
    return [f"{name}_{ending}" for name in names for ending in endings]
