"""Compute the statistics of Wu, Falk and Chan (2011) over modulation energies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from ser_toolkit import F32, SertkError, Signal, WindowExtractor

from .extractor import Msf
from .filters import F64

N_ACOUSTIC, N_MODULATION = 19, 5
# Neighbouring modulation bands are almost equal: the paper measures flatness and centroid in
# every second one. Likewise the groups of acoustic bands; the last band is in none of them.
SPARSE_BANDS = (1, 3, 5)
GROUPS = ((1, 4), (5, 8), (9, 12), (13, 18))
FRAMES = Msf(rate_hz=16000, frame_length=4096, hop_length=1024)


@dataclass(frozen=True)
class MsfStats(WindowExtractor):
    """Compute modulation statistics of one window: {"msf_stats": (191,)} float32, level-free.

    `of` gives energies E(i, j) of T frames in acoustic bands i = 1…19 and modulation bands
    j = 1…5, its floor included. Each frame is normalised to the sum 1, and gives 23 measures:

    - Φ1(j) = mean of E(i, j) over i, for every j;
    - Φ2(j) = log(geometric mean of E(i, j) over i / Φ1(j)), the flatness, for j = 1, 3, 5;
    - Φ3(j) = Σ i E(i, j) / Σ E(i, j) over i, the centroid in bands, for j = 1, 3, 5;
    - with D(l, j) the sum of E(i, j) over the bands 1-4, 5-8, 9-12, 13-18 (l = 1…4):
      Φ4(l) = Σ j D(l, j) / Σ D(l, j) over j, the modulation centroid;
      Φ5(l) and Φ6(l), slope and root-mean-square error of the least-squares line through
      log D(l, j) over j.

    The 191 are: the log of the time mean of each normalised E(i, j) (95, acoustic-major); mean and
    variance over time of the 23 measures (46); standard deviation and slope per second of the log
    energies before normalisation of each acoustic band, of each modulation band and of all
    together (50, not in the paper). A gain changes them only through the floor of `of`. One
    frame has no variance and no slope. A signal shorter than one frame of `of` is lengthened with
    zeros to one.

    `frame_length` and `hop_length` are the grid on which the toolkit cuts windows, that of
    `functionals`; the frames of `of` have their own.

    Raises ValueError where `of` has another rate or other numbers of bands, SertkError for audio
    at another rate.

    Source: S. Wu, T. H. Falk, W.-Y. Chan, "Automatic speech emotion recognition using modulation
    spectral features", Speech Communication 53(5), 2011.
    """

    name: ClassVar[str] = "msf_stats"
    takes_short: ClassVar[bool] = True
    rate_hz: int = 16000
    frame_length: int = 1024
    hop_length: int = 256
    of: Msf = FRAMES

    def __post_init__(self) -> None:
        if self.of.rate_hz != self.rate_hz:
            raise ValueError(
                f"'{self.of.name}' at {self.rate_hz} Hz expected, received {self.of.rate_hz} Hz"
            )
        bands = (self.of.n_acoustic, self.of.n_modulation)
        if bands != (N_ACOUSTIC, N_MODULATION):
            raise ValueError(
                f"{N_ACOUSTIC} acoustic and {N_MODULATION} modulation bands expected, "
                f"received {bands[0]} and {bands[1]}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the names msf_a01_m1_log_mean …, phi1_m1_mean …, log_a01_std …"""
        measures = _measure_names()
        totals = _total_names()
        return (
            *(f"{column}_log_mean" for column in self.of.columns),
            *(f"{name}_{ending}" for ending in ("mean", "variance") for name in measures),
            *(f"{name}_{ending}" for ending in ("std", "slope") for name in totals),
        )

    def arrays(self, signal: Signal) -> dict[str, F32]:
        """Return {"msf_stats": (191,)} of one window of any length."""
        if signal.rate_hz != self.rate_hz:
            raise SertkError(
                f"'{self.name}' expects audio at {self.rate_hz} Hz, received {signal.rate_hz} Hz",
                "Resample the audio",
            )
        energies = self._energies(signal)
        shares = energies / energies.sum(axis=(1, 2), keepdims=True)
        frame_measures = measures(shares)
        totals = _log_totals(energies)
        parts = [
            np.log(shares.mean(axis=0)).ravel(),
            frame_measures.mean(axis=0),
            frame_measures.var(axis=0),
            totals.std(axis=0),
            _slopes(totals, self.of.hop_length / self.rate_hz),
        ]
        return {self.name: np.concatenate(parts).astype(np.float32)}

    def _energies(self, signal: Signal) -> F64:
        """Return E(i, j) with the floor, (T, 19, 5), T >= 1."""
        missing = self.of.frame_length - len(signal)
        if missing > 0:
            signal = Signal(np.pad(signal.samples, (0, missing)), signal.rate_hz)
        logs = self.of.frames(signal).astype(np.float64)
        return np.exp(logs).reshape(-1, N_ACOUSTIC, N_MODULATION)


def measures(energies: F64) -> F64:
    """Return Φ1 … Φ6 of each frame of energies above 0: (T, 19, 5) -> (T, 23)."""
    sparse = energies[:, :, [band - 1 for band in SPARSE_BANDS]]
    mean = energies.mean(axis=1)
    flatness = np.log(sparse).mean(axis=1) - np.log(sparse.mean(axis=1))
    grouped = [energies[:, first - 1 : last].sum(axis=1) for first, last in GROUPS]
    groups = np.stack(grouped, axis=1)
    slope, error = _lines(np.log(groups))
    return np.hstack([mean, flatness, _centroid(sparse, 1), _centroid(groups, 2), slope, error])


def _centroid(energies: F64, axis: int) -> F64:
    """Return the mean band number, counted from 1, along `axis` of (T, …, …)."""
    last = np.moveaxis(energies, axis, -1)
    numbers = np.arange(1, last.shape[-1] + 1)
    centroid: F64 = last @ numbers / last.sum(axis=-1)
    return centroid


def _lines(values: F64) -> tuple[F64, F64]:
    """Return slope and root-mean-square error of least-squares lines over the last axis."""
    offsets = np.arange(values.shape[-1]) - (values.shape[-1] - 1) / 2
    centred = values - values.mean(axis=-1, keepdims=True)
    slope = centred @ offsets / (offsets @ offsets)
    rest = centred - slope[..., None] * offsets
    return slope, np.sqrt(np.square(rest).mean(axis=-1))


def _log_totals(energies: F64) -> F64:
    """Return the log energy of each acoustic band, each modulation band and all: (T, 25)."""
    acoustic, modulation = energies.sum(axis=2), energies.sum(axis=1)
    everything = acoustic.sum(axis=1, keepdims=True)
    totals: F64 = np.log(np.hstack([acoustic, modulation, everything]))
    return totals


def _slopes(frames: F64, hop_s: float) -> F64:
    """Return slope per second of each column's least-squares line: (T, F) -> (F,); 0 for T = 1."""
    times_s = hop_s * (np.arange(len(frames)) - (len(frames) - 1) / 2)
    square = times_s @ times_s
    slopes: F64 = times_s @ frames / square if square > 0 else np.zeros(frames.shape[1])
    return slopes


def _measure_names() -> list[str]:
    kinds: list[tuple[str, Any]] = [("phi1_m", range(1, N_MODULATION + 1))]
    kinds += [("phi2_m", SPARSE_BANDS), ("phi3_m", SPARSE_BANDS)]
    kinds += [(f"phi{kind}_g", range(1, len(GROUPS) + 1)) for kind in (4, 5, 6)]
    return [f"{kind}{number}" for kind, numbers in kinds for number in numbers]


def _total_names() -> list[str]:
    acoustic = [f"log_a{band:02d}" for band in range(1, N_ACOUSTIC + 1)]
    return [*acoustic, *(f"log_m{band}" for band in range(1, N_MODULATION + 1)), "log_all"]
