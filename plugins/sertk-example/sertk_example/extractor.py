"""Compute features of one frame after the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from ser_toolkit import Extractor, FrameExtractor, Signal, hookimpl

FLOOR = 1e-10


@dataclass(frozen=True)
class ExampleExtractor(FrameExtractor):
    """Compute the level in third-octave bands: (T, bands) float32, in dB below full scale.

    The power spectrum of a Hann window, summed in bands from `low_hz` on, with a floor at -100 dB.
    Columns are named after the lower edge of their band. Raises ValueError for bands that are
    narrower than the FFT resolves.
    """

    name: ClassVar[str] = "example"
    # Add 1 whenever a change alters a number: models trained with the old one are then refused.
    version: ClassVar[int] = 1

    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256
    low_hz: float = 88.0
    bands: int = 19
    bands_per_octave: int = 3

    def __post_init__(self) -> None:
        counts = (self.rate_hz, self.frame_length, self.hop_length, self.bands)
        if min(*counts, self.bands_per_octave) < 1:
            raise ValueError(f"whole numbers from 1 on expected, received {self}")
        if not self._weights().any(axis=0).all():
            raise ValueError(
                f"bands below {self.rate_hz / 2:g} Hz that are wider than the "
                f"{self.rate_hz / self.frame_length:g} Hz between two bins of the FFT expected"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"level_{hz:.0f}_hz" for hz in self._edges_hz()[:-1])

    def frames(self, signal: Signal) -> NDArray[np.float32]:
        if self.frame_count(len(signal)) == 0:
            return np.empty((0, self.bands), np.float32)
        # Frame t is samples [t * hop_length, t * hop_length + frame_length), and nothing else: a
        # device, which has no more samples than that, gets the same numbers.
        rows = sliding_window_view(signal.samples, self.frame_length)[:: self.hop_length]
        window = np.hanning(self.frame_length + 1)[:-1]
        power = np.square(np.abs(np.fft.rfft(rows * window)))
        # Two halves of a spectrum, over the power of the window: a mean square.
        scale = 2 / (self.frame_length * np.square(window).sum())
        levels = 10 * np.log10(np.maximum(power @ self._weights() * scale, FLOOR))
        return np.asarray(levels, np.float32)

    def _edges_hz(self) -> NDArray[np.float64]:
        """Return the lower edge of each band, and the upper one of the last."""
        octaves = np.arange(self.bands + 1) / self.bands_per_octave
        return np.asarray(self.low_hz * 2**octaves)

    def _weights(self) -> NDArray[np.float64]:
        """Return which bins of the FFT belong to which band: ones and zeros (bins, bands)."""
        hz = np.fft.rfftfreq(self.frame_length, 1 / self.rate_hz)[:, None]
        edges = self._edges_hz()
        return ((hz >= edges[:-1]) & (hz < edges[1:])).astype(np.float64)


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return the extractors of this package."""
    return [ExampleExtractor()]
