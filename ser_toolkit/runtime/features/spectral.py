"""Compute the built-in frame features: zero crossings, level, log-mel, MFCC, pitch, deltas.

All are causal: nothing is padded, nothing depends on the whole clip. Sums and spectra follow the
definitions of librosa with `center=False`, which the tests compare them with. Each raises
ValueError for parameters that do not fit together, SertkError for audio at another rate.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from ..component import AssetLoader
from ..errors import SertkError
from .base import F32, FrameExtractor, Signal, StatefulExtractor
from .dsp import (
    Fft,
    MelNorm,
    MelParams,
    MelScale,
    Precision,
    best_fft,
    dct_matrix,
    frame_energy,
    mel_bank,
    power_spectrogram,
    power_to_db,
    slope_weights,
    weighted_sums,
)
from .pitch import Lags, gated_pitch, yin

ZERO_BAND = 1e-10


class Feature(FrameExtractor):
    """Check the rate and compute once per signal; base of the features here."""

    def __post_init__(self) -> None:
        for field in ("rate_hz", "frame_length", "hop_length"):
            if getattr(self, field) < 1:
                raise ValueError(f"{field} of at least 1 expected, received {getattr(self, field)}")

    def frames(self, signal: Signal) -> F32:
        if signal.rate_hz != self.rate_hz:
            raise SertkError(
                f"'{self.name}' expects audio at {self.rate_hz} Hz, received {signal.rate_hz} Hz",
                "Resample the audio, or set the extractor's rate_hz",
            )
        # A copy, because other extractors may use the same frames.
        return np.array(signal.memo(self, lambda: self._compute(signal)))

    def fft(self) -> Fft:
        """Return the FFT to use; a subclass may name another."""
        return best_fft()

    def _compute(self, signal: Signal) -> F32:
        raise NotImplementedError


@dataclass(frozen=True)
class Zcr(Feature):
    """Compute the zero-crossing rate: the share of samples that differ in sign from the one before.

    (T, 1) float32 in [0, 1). The first sample of a frame has none before it; values within
    1e-10 of zero count as positive. Source: librosa's `zero_crossing_rate`.
    """

    name: ClassVar[str] = "zcr"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self) -> tuple[str, ...]:
        return ("zcr",)

    def _compute(self, signal: Signal) -> F32:
        crossings = _crossings(signal.samples)
        # Ones and zeros are their own squares, so energy counts them.
        counts = frame_energy(crossings, self.frame_length, self.hop_length)
        before_first = crossings[:: self.hop_length][: len(counts)]
        rate: F32 = (counts - before_first) / np.float32(self.frame_length)
        return rate[:, None]


def _crossings(samples: F32) -> F32:
    negative = samples < np.float32(-ZERO_BAND)
    crossings = np.zeros(len(samples), np.float32)
    crossings[1:] = negative[1:] != negative[:-1]
    return crossings


@dataclass(frozen=True)
class Rms(Feature):
    """Compute the level, the root of a frame's mean square: (T, 1) float32, full scale 1."""

    name: ClassVar[str] = "rms"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self) -> tuple[str, ...]:
        return ("rms",)

    def _compute(self, signal: Signal) -> F32:
        energy = frame_energy(signal.samples, self.frame_length, self.hop_length)
        level: F32 = np.sqrt(energy / np.float32(self.frame_length))
        return level[:, None]


class MelFeature(Feature):
    """Check the mel parameters and apply the filters; base of features from a mel spectrum."""

    n_mels: int
    fmin_hz: float
    fmax_hz: float
    mel_scale: MelScale
    norm: MelNorm
    precision: Precision

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.n_mels < 1:
            raise ValueError(f"n_mels of at least 1 expected, received {self.n_mels}")
        if not 0 <= self.fmin_hz < self.fmax_hz <= self.rate_hz / 2:
            raise ValueError(
                f"0 <= fmin_hz < fmax_hz <= {self.rate_hz / 2:g} Hz (half the rate) expected, "
                f"received {self.fmin_hz:g} and {self.fmax_hz:g}"
            )
        if empty := self._mel.empty_filters():
            raise ValueError(
                f"{empty} of {self.n_mels} mel filters fall between two FFT bins; "
                "fewer n_mels or a longer frame_length expected"
            )

    @property
    def _mel(self) -> MelParams:
        ends = (self.fmin_hz, self.fmax_hz)
        return MelParams(
            self.rate_hz, self.frame_length, self.n_mels, *ends, self.mel_scale, self.norm
        )

    def _mel_power(self, signal: Signal) -> F32:
        grid = (self.frame_length, self.hop_length, self.fft(), self.precision)
        power = power_spectrogram(signal, *grid)
        return mel_bank(self._mel).apply(power)


@dataclass(frozen=True)
class LogMel(MelFeature):
    """Compute the log-mel spectrum: Hann window, power spectrum, triangular filters, logarithm.

    (T, n_mels) float32: ln(P + floor) with `log="ln"`, 10 log10(max(P, floor)) with `log="db"`.
    """

    name: ClassVar[str] = "log_mel"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256
    n_mels: int = 64
    fmin_hz: float = 50.0
    fmax_hz: float = 8000.0
    mel_scale: MelScale = "htk"
    norm: MelNorm = "none"
    log: Literal["ln", "db"] = "ln"
    floor: float = 1e-7
    precision: Precision = "double"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.floor < np.finfo(np.float32).tiny:
            raise ValueError(f"floor above 0 expected, received {self.floor:g}")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"log_mel_{band}" for band in range(self.n_mels))

    def _compute(self, signal: Signal) -> F32:
        power = self._mel_power(signal)
        if self.log == "db":
            return power_to_db(power, self.floor)
        power += np.float32(self.floor)
        return np.log(power, out=power)


@dataclass(frozen=True)
class Mfcc(MelFeature):
    """Compute mel-frequency cepstral coefficients: orthonormal DCT-II of the mel spectrum in dB.

    (T, n_mfcc) float32. The dB have a floor of `amin` and no floor below the clip's maximum.
    Source: Davis and Mermelstein, IEEE Trans. ASSP 28(4), 1980.
    """

    name: ClassVar[str] = "mfcc"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256
    n_mfcc: int = 20
    n_mels: int = 128
    fmin_hz: float = 0.0
    fmax_hz: float = 8000.0
    mel_scale: MelScale = "slaney"
    norm: MelNorm = "slaney"
    amin: float = 1e-10
    precision: Precision = "single"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 1 <= self.n_mfcc <= self.n_mels:
            raise ValueError(f"n_mfcc from 1 to {self.n_mels} expected, received {self.n_mfcc}")
        if self.amin < np.finfo(np.float32).tiny:
            raise ValueError(f"amin above 0 expected, received {self.amin:g}")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(f"mfcc_{index}" for index in range(self.n_mfcc))

    def _compute(self, signal: Signal) -> F32:
        level_db = power_to_db(self._mel_power(signal), self.amin)
        cepstrum: F32 = level_db @ dct_matrix(self.n_mfcc, self.n_mels).T
        return cepstrum


@dataclass(frozen=True)
class Pitch(Feature):
    """Estimate fundamental frequency and voicing by YIN (de Cheveigné and Kawahara, 2002).

    (T, 2) float32. `scale="hz"`: f0 in Hz, also where nothing is voiced, and voicing in [0, 1].
    `scale="gated"`: f0 on a logarithmic scale of about -2 to 2, drawn smoothly to 0 where voicing
    falls below 0.5 (`gated_pitch`), and voicing. Silence has voicing 0.
    """

    name: ClassVar[str] = "pitch"
    rate_hz: int = 16000
    frame_length: int = 1024
    hop_length: int = 256
    f0_min_hz: float = 60.0
    f0_max_hz: float = 500.0
    threshold: float = 0.1
    scale: Literal["hz", "gated"] = "hz"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 < self.f0_min_hz < self.f0_max_hz <= self.rate_hz / 2:
            raise ValueError(
                f"0 < f0_min_hz < f0_max_hz <= {self.rate_hz / 2:g} expected, "
                f"received {self.f0_min_hz:g} and {self.f0_max_hz:g}"
            )
        lags = self._lags
        if lags.longest >= self.frame_length or lags.longest - lags.shortest < 2:
            raise ValueError(
                f"frame_length above {lags.longest} (a period of f0_min_hz) and three lags "
                f"or more expected, received {self.frame_length} and {lags}"
            )

    @property
    def columns(self) -> tuple[str, ...]:
        return ("f0_hz" if self.scale == "hz" else "pitch", "voicing")

    @property
    def _lags(self) -> Lags:
        return Lags.between(self.rate_hz, self.f0_min_hz, self.f0_max_hz)

    def _compute(self, signal: Signal) -> F32:
        grid = (self.frame_length, self.hop_length)
        periods, voicing = yin(signal.samples, *grid, self._lags, self.threshold, self.fft())
        f0_hz = self.rate_hz / periods
        pitch = f0_hz if self.scale == "hz" else gated_pitch(f0_hz, voicing)
        return np.stack([pitch, voicing], axis=1).astype(np.float32)


@dataclass(frozen=True)
class Deltas(StatefulExtractor):
    """Compute the local slope (`order=1`) or curvature (`order=2`) of another extractor, per frame.

    (T, F) float32, as many frames as `of` gives. A polynomial of degree `order` is fitted to the
    last `width` frames: Savitzky-Golay, delayed by width // 2 frames so that it is causal. Before
    the first frame stands the first frame.
    """

    name: ClassVar[str] = "deltas"
    of: FrameExtractor = Mfcc()
    width: int = 9
    order: int = 1

    def __post_init__(self) -> None:
        if not isinstance(self.of, FrameExtractor):
            raise ValueError("deltas need an extractor that gives frames")
        if self.width < 3 or self.width % 2 == 0:
            raise ValueError(f"an odd width of at least 3 expected, received {self.width}")
        if not 1 <= self.order < self.width:
            raise ValueError(f"an order from 1 to {self.width - 1} expected, received {self.order}")

    @property
    def edge_ready(self) -> bool:  # type: ignore[override]
        """Say whether the inner extractor may run on the Pi."""
        return self.of.edge_ready

    @property
    def rate_hz(self) -> int:  # type: ignore[override]
        """Return the sampling rate of the inner extractor."""
        return self.of.rate_hz

    @property
    def frame_length(self) -> int:  # type: ignore[override]
        """Return the frame length of the inner extractor, in samples."""
        return self.of.frame_length

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """Return the hop length of the inner extractor, in samples."""
        return self.of.hop_length

    @property
    def warmup_frames(self) -> int:
        return self.width - 1 + self.of.warmup_frames

    @property
    def columns(self) -> tuple[str, ...]:
        prefix = "delta" if self.order == 1 else f"delta{self.order}"
        return tuple(f"{prefix}_{column}" for column in self.of.columns)

    def prepare(self, load: AssetLoader) -> Deltas:
        ready = self.of.prepare(load)
        if not isinstance(ready, FrameExtractor):
            raise SertkError(f"'{self.of.name}'.prepare must return a frame extractor")
        return Deltas(ready, self.width, self.order)

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        inner_state, before = state or (None, None)
        now, inner_state = self.of.step(signal, inner_state)
        if before is None:
            before = np.repeat(now[:1], self.width - 1, axis=0)
        context = np.concatenate([before, now])
        slopes = weighted_sums(context, slope_weights(self.width, self.order))
        return slopes, (inner_state, context[len(context) - (self.width - 1) :])
