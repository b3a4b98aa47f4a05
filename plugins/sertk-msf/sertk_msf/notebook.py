"""Compute in numpy what the notebook on "modulation spectral features" and a 1D CNN does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ser_toolkit import F32, ModelBuilder, Rms, SertkError, Signal, WindowExtractor, Zcr
from ser_toolkit.dsp import (
    BandedBank,
    MelParams,
    best_fft,
    dct_matrix,
    mel_bank,
    power_spectrogram,
    power_to_db,
)

if TYPE_CHECKING:
    import keras

FRAME, HOP = 2048, 512
BANDS_FRAME, BANDS, CROSS_BANDS = 1024, 19, 5
N_MELS, N_MFCC = 128, 20
AMIN, TOP_DB = 1e-10, 80.0
FILTERS = ((32, 21), (64, 19), (128, 17), (256, 15), (512, 13), (1024, 11), (1024, 9))
LEAST_VALUES = 2 ** (len(FILTERS) - 1)


@dataclass(frozen=True)
class NotebookMsf(WindowExtractor):
    """Compute the notebook's vector of 2.5 s from 0.6 s on: zero crossings, level, MFCC, "MSF".

    `arrays` gives {"vector": (2916,)} float32: 108 zero-crossing rates, 108 levels, 108 x 20 MFCC
    (frame after frame), 5 x 108 values that the notebook calls modulation spectral features (band
    after band). Frames are centred, as librosa's defaults have them, so the vector belongs to a
    whole clip and is no stream; the MFCC have a floor 80 dB below the loudest band of the clip.

    The "MSF" are not modulation spectra: a mel spectrum of 19 bands, the magnitude of the analytic
    signal of each band over time, and then 5 mel filters made for an FFT of 36 points, applied
    *across the bands*. Modulation spectra proper are what the extractor `msf` gives.

    Shorter clips are padded with silence before anything is computed. The notebook padded the
    joined vector instead, which moved levels to where other clips have zero crossings. Raises
    ValueError for a part shorter than a frame, SertkError for audio at another rate.
    """

    name: ClassVar[str] = "notebook_msf"
    rate_hz: int = 22050
    offset_s: float = 0.6
    duration_s: float = 2.5
    hop_length: int = 11025

    def __post_init__(self) -> None:
        if not (self.offset_s >= 0 and self.duration_s * self.rate_hz >= FRAME):
            raise ValueError(
                f"offset_s of at least 0 and duration_s of at least {FRAME / self.rate_hz:.2f} "
                f"expected, received {self.offset_s:g} and {self.duration_s:g}"
            )

    @property
    def frame_length(self) -> int:  # type: ignore[override]
        """Return the whole duration, in samples."""
        return round(self.duration_s * self.rate_hz)

    @property
    def span_s(self) -> tuple[float, float]:
        return self.offset_s, self.offset_s + self.duration_s

    @property
    def columns(self) -> tuple[str, ...]:
        times = range(1 + self.frame_length // HOP)
        return (
            *(f"zcr_t{t}" for t in times),
            *(f"rms_t{t}" for t in times),
            *(f"mfcc_t{t}_{index}" for t in times for index in range(N_MFCC)),
            *(f"cross_band_{band}_t{t}" for band in range(CROSS_BANDS) for t in times),
        )

    def arrays(self, signal: Signal) -> dict[str, F32]:
        if signal.rate_hz != self.rate_hz:
            raise SertkError(
                f"'{self.name}' expects audio at {self.rate_hz} Hz, received {signal.rate_hz} Hz",
                "Resample the audio, or set the extractor's rate_hz",
            )
        parts = (self._zcr(signal), self._rms(signal), self._mfcc(signal), self._bands(signal))
        return {"vector": np.concatenate([part.ravel() for part in parts])}

    def _zcr(self, signal: Signal) -> F32:
        return Zcr(self.rate_hz, FRAME, HOP).frames(_centred(signal, FRAME, "edge"))

    def _rms(self, signal: Signal) -> F32:
        return Rms(self.rate_hz, FRAME, HOP).frames(_centred(signal, FRAME))

    def _mfcc(self, signal: Signal) -> F32:
        level_db = power_to_db(self._mel(signal, FRAME, N_MELS), AMIN, TOP_DB)
        cepstrum: F32 = level_db @ dct_matrix(N_MFCC, N_MELS).T
        return cepstrum

    def _bands(self, signal: Signal) -> F32:
        envelope = _analytic_magnitude(self._mel(signal, BANDS_FRAME, BANDS))
        return np.ascontiguousarray(self._bank(2 * (BANDS - 1), CROSS_BANDS).apply(envelope).T)

    def _mel(self, signal: Signal, frame_length: int, n_mels: int) -> F32:
        centred = _centred(signal, frame_length)
        power = power_spectrogram(centred, frame_length, HOP, best_fft())
        return self._bank(frame_length, n_mels).apply(power)

    def _bank(self, n_fft: int, n_mels: int) -> BandedBank:
        ends = (0.0, self.rate_hz / 2)
        return mel_bank(MelParams(self.rate_hz, n_fft, n_mels, *ends, "slaney", "slaney"))


def _centred(signal: Signal, frame_length: int, mode: Any = "constant") -> Signal:
    """Pad half a frame before and after, so that frame t is centred on sample t * hop."""
    return signal.memo(
        ("centred", frame_length, mode),
        lambda: Signal(np.pad(signal.samples, frame_length // 2, mode=mode), signal.rate_hz),
    )


def _analytic_magnitude(rows: F32) -> F32:
    """Return |x + i H(x)| of each column of (T, C), H the Hilbert transform over time."""
    spectrum = np.fft.fft(rows, axis=0)
    middle = len(rows) // 2
    spectrum[1 : len(rows) - middle] *= 2
    spectrum[middle + 1 :] = 0
    magnitude: F32 = np.abs(np.fft.ifft(spectrum, axis=0)).astype(np.float32)
    return magnitude


@dataclass(frozen=True)
class NotebookCnn(ModelBuilder):
    """Build the notebook's network: seven 1D convolutions over the joined vector.

    Convolution (same padding) with ReLU, batch normalisation, and pooling by 2 after all but the
    last; the maximum over what remains; Dense 128 with ReLU; Dense with softmax; 17.7 million
    parameters. The convolutions run along the vector, across the borders of its parts.
    """

    name: ClassVar[str] = "notebook_cnn"
    dense: int = 128

    def build(self, inputs: Mapping[str, tuple[int, ...]], n_classes: int) -> keras.Model:
        from keras import Input, Model, layers

        if len(inputs) != 1 or any(len(shape) != 1 for shape in inputs.values()):
            raise SertkError(
                f"model '{self.name}' expects one vector (D,), received {dict(inputs)}",
                "Use an extractor that gives one vector, or another model",
            )
        ((name, shape),) = inputs.items()
        if shape[0] < LEAST_VALUES:
            raise SertkError(
                f"model '{self.name}' expects {LEAST_VALUES} values or more, received {shape[0]}",
                "Use an extractor that gives more, or another model",
            )
        start = Input(shape, name=name)
        x = layers.Reshape((*shape, 1))(start)
        for index, (filters, kernel) in enumerate(FILTERS):
            x = layers.Conv1D(filters, kernel, padding="same", activation="relu")(x)
            x = layers.BatchNormalization()(x)
            if index < len(FILTERS) - 1:
                x = layers.MaxPooling1D(2)(x)
        x = layers.GlobalMaxPooling1D()(x)
        x = layers.Dense(self.dense, activation="relu")(x)
        return Model(start, layers.Dense(n_classes, activation="softmax", name="emotion")(x))
