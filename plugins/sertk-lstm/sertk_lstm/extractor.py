"""Compute the mean over time of MFCC, as a notebook takes them from librosa."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_toolkit import F32, SertkError, Signal, WindowExtractor
from ser_toolkit.dsp import (
    MelParams,
    best_fft,
    dct_matrix,
    mel_bank,
    power_spectrogram,
    power_to_db,
)

N_MELS = 128
AMIN, TOP_DB = 1e-10, 80.0


@dataclass(frozen=True)
class MfccMean(WindowExtractor):
    """Compute the mean of each MFCC over the frames of 3 s from 0.5 s on.

    `arrays` gives {"mfcc_mean": (n_mfcc,)} float32. The MFCC are librosa's with its defaults:
    centred frames of `frame_length`, 128 Slaney mel bands up to half the rate, dB with a floor 80
    below the loudest band of the clip, orthonormal DCT-II. A clip that ends earlier is averaged
    over the frames that it has. Raises ValueError for parameters out of range, SertkError for
    audio at another rate. Source: librosa's `feature.mfcc`.
    """

    name: ClassVar[str] = "mfcc_mean"
    takes_short: ClassVar[bool] = True
    rate_hz: int = 22050
    frame_length: int = 2048
    hop_length: int = 512
    n_mfcc: int = 40
    offset_s: float = 0.5
    duration_s: float = 3.0

    def __post_init__(self) -> None:
        if min(self.rate_hz, self.frame_length, self.hop_length) < 1:
            raise ValueError("rate_hz, frame_length and hop_length of at least 1 expected")
        if not 1 <= self.n_mfcc <= N_MELS:
            raise ValueError(f"n_mfcc from 1 to {N_MELS} expected, received {self.n_mfcc}")
        if not (self.offset_s >= 0 and self.duration_s > 0):
            raise ValueError(
                "offset_s of at least 0 and duration_s above 0 expected, received "
                f"{self.offset_s:g} and {self.duration_s:g}"
            )

    @property
    def span_s(self) -> tuple[float, float]:
        return self.offset_s, self.offset_s + self.duration_s

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"mfcc_{index}_mean" for index in range(self.n_mfcc))

    def arrays(self, signal: Signal) -> dict[str, F32]:
        if signal.rate_hz != self.rate_hz:
            raise SertkError(
                f"'{self.name}' expects audio at {self.rate_hz} Hz, received {signal.rate_hz} Hz",
                "Resample the audio, or set the extractor's rate_hz",
            )
        centred = Signal(np.pad(signal.samples, self.frame_length // 2), self.rate_hz)
        power = power_spectrogram(centred, self.frame_length, self.hop_length, best_fft())
        ends = (0.0, self.rate_hz / 2)
        bank = MelParams(self.rate_hz, self.frame_length, N_MELS, *ends, "slaney", "slaney")
        level_db = power_to_db(mel_bank(bank).apply(power), AMIN, TOP_DB)
        # The DCT is linear, so the mean over frames may come first.
        mean: F32 = dct_matrix(self.n_mfcc, N_MELS) @ level_db.mean(axis=0)
        return {"mfcc_mean": mean}
