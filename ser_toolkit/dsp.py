"""Signal functions for the authors of extractors: framing, spectra, mel filters, DCT, levels.

The built-in features are made from the same ones. Light: numpy alone, and scipy's FFT where scipy
is installed.
"""

from .runtime.audio.decode import resample
from .runtime.features.dsp import (
    BandedBank,
    Fft,
    MelParams,
    best_fft,
    dct_matrix,
    fast_length,
    frame_energy,
    frame_view,
    hann,
    hz_to_mel,
    mel_bank,
    mel_to_hz,
    mel_weights,
    numpy_fft,
    power_spectrogram,
    power_to_db,
)

__all__ = [
    "BandedBank",
    "Fft",
    "MelParams",
    "best_fft",
    "dct_matrix",
    "fast_length",
    "frame_energy",
    "frame_view",
    "hann",
    "hz_to_mel",
    "mel_bank",
    "mel_to_hz",
    "mel_weights",
    "numpy_fft",
    "power_spectrogram",
    "power_to_db",
    "resample",
]
