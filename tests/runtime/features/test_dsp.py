"""Signal processing against slow formulas, librosa and scipy."""

from __future__ import annotations

import itertools
import sys
from typing import Literal

import librosa
import numpy as np
import pytest
import scipy.fft
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.runtime.features import dsp
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.runtime.features.spectral_shape import DESCRIPTORS, describe
from ser_toolkit.testing import relative_error

FFTS = (dsp.best_fft(), dsp.numpy_fft())


def noise(n: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


def frames_by_loop(values: np.ndarray, frame: int, hop: int) -> list[np.ndarray]:
    return [values[start : start + frame] for start in range(0, len(values) - frame + 1, hop)]


@given(n=st.integers(0, 80), frame=st.integers(1, 20), hop=st.integers(1, 30))
def test_frames_are_a_read_only_view_of_every_whole_frame(n: int, frame: int, hop: int) -> None:
    values = noise(n)
    view = dsp.frame_view(values, frame, hop)
    expected = frames_by_loop(values, frame, hop)
    assert view.shape == (len(expected), frame)
    assert all(np.array_equal(got, want) for got, want in zip(view, expected, strict=True))
    if len(view):
        assert np.shares_memory(view, values) and not view.flags.writeable


@given(n=st.integers(0, 300), frame=st.integers(1, 48), hop=st.integers(1, 60))
def test_energy_is_the_sum_of_squares_of_each_frame(n: int, frame: int, hop: int) -> None:
    values = noise(n)
    expected = [float((f.astype(float) ** 2).sum()) for f in frames_by_loop(values, frame, hop)]
    energy = dsp.frame_energy(values, frame, hop)
    assert energy.shape == (len(expected),) and energy.dtype == np.float32
    np.testing.assert_allclose(energy, expected, rtol=1e-5)


def test_window_is_scipys_periodic_hann() -> None:
    for length in (1, 2, 399, 512):
        expected = scipy.signal.get_window("hann", length, fftbins=True)
        if length == 1:
            expected = np.zeros(1)
        np.testing.assert_allclose(dsp.hann(length, "double"), expected, atol=1e-15)
        np.testing.assert_allclose(dsp.hann(length), expected, atol=1e-7)


BOUNDS: dict[dsp.Precision, float] = {"single": 1e-6, "double": 2e-7}


@pytest.mark.parametrize(
    ("frame", "hop", "n"), [(512, 256, 40000), (2048, 512, 55125), (1 << 16, 900, 1 << 17)]
)
def test_power_is_librosas(frame: int, hop: int, n: int) -> None:
    samples = noise(n)
    wide = samples.astype(np.float64)
    stft = librosa.stft(wide, n_fft=frame, hop_length=hop, center=False, dtype=np.complex128)
    reference = np.abs(stft.T) ** 2
    for fft, (precision, bound) in itertools.product(FFTS, BOUNDS.items()):
        power = dsp.power_spectrogram(Signal(samples, 16000), frame, hop, fft, precision)
        assert power.shape == reference.shape and power.dtype == np.float32
        worst = np.abs(power - reference).max()
        assert worst <= bound * reference.max(), (fft.name, precision)


def test_too_few_samples_have_no_power() -> None:
    for fft, precision in itertools.product(FFTS, BOUNDS):
        power = dsp.power_spectrogram(Signal(noise(9), 16000), 400, 7, fft, precision)
        assert power.shape == (0, 201), (fft.name, precision)


def test_a_spectrum_is_computed_once_per_signal_and_cannot_be_changed() -> None:
    calls = []
    fft = dsp.Fft("counting", lambda x: calls.append(len(x)) or np.fft.rfft(x), np.fft.irfft)
    signal = Signal(noise(5000), 16000)
    first = dsp.power_spectrogram(signal, 512, 256, fft)
    assert dsp.power_spectrogram(signal, 512, 256, fft) is first
    assert sum(calls) == len(first) == 18
    dsp.power_spectrogram(signal, 512, 128, fft)
    assert sum(calls) == 18 + 36
    with pytest.raises(ValueError, match="read-only"):
        first[0, 0] = 1


def test_the_fft_is_numpys_where_scipy_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert dsp.best_fft().name == "scipy"
    monkeypatch.setitem(sys.modules, "scipy.fft", None)
    assert dsp.best_fft.__wrapped__() == dsp.numpy_fft()


def test_fast_length_is_the_smallest_even_number_of_small_factors() -> None:
    for n in (1, 2, 7, 1291, 1297, 2048, 4099):
        even = range(n + n % 2, 2 * n + 2, 2)
        smallest = next(m for m in even if scipy.fft.next_fast_len(m, real=True) == m)
        assert dsp.fast_length(n) == smallest, n


SCALES: tuple[dsp.MelScale, ...] = ("slaney", "htk")
NORMS: dict[dsp.MelNorm, Literal["slaney", 1] | None] = {
    "slaney": "slaney",
    "unit_sum": 1,
    "none": None,
}


def test_mel_scale_is_librosas_both_ways() -> None:
    hz = np.linspace(0, 24000, 1001)
    for scale in SCALES:
        mel = dsp.hz_to_mel(hz, scale)
        np.testing.assert_allclose(mel, librosa.hz_to_mel(hz, htk=scale == "htk"), atol=1e-9)
        np.testing.assert_allclose(dsp.mel_to_hz(mel, scale), hz, atol=1e-8)


@pytest.mark.parametrize(
    ("rate_hz", "n_fft", "n_mels", "ends_hz"),
    [
        (16000, 512, 64, (50.0, 8000.0)),
        (22050, 2048, 128, (0.0, 11025.0)),
        (8000, 400, 17, (99.0, 3500.0)),
    ],
)
def test_mel_filters_are_librosas(
    rate_hz: int, n_fft: int, n_mels: int, ends_hz: tuple[float, float]
) -> None:
    for scale, (norm, theirs) in itertools.product(SCALES, NORMS.items()):
        weights = dsp.mel_weights(dsp.MelParams(rate_hz, n_fft, n_mels, *ends_hz, scale, norm))
        reference = librosa.filters.mel(
            sr=rate_hz,
            n_fft=n_fft,
            n_mels=n_mels,
            fmin=ends_hz[0],
            fmax=ends_hz[1],
            htk=scale == "htk",
            norm=theirs,
            dtype=np.float64,
        )
        assert weights.dtype == np.float32
        worst = np.abs(weights - reference).max()
        assert worst <= 1e-6 * reference.max(), (scale, norm)


def test_banded_bank_equals_the_dense_product() -> None:
    power = noise(257 * 9).reshape(9, 257) ** 2
    for n_mels in (1, 15, 16, 17, 64, 128):
        params = dsp.MelParams(16000, 512, n_mels, 0.0, 8000.0, "slaney", "slaney")
        dense = power.astype(np.float64) @ dsp.mel_weights(params).T.astype(np.float64)
        banded = dsp.mel_bank(params).apply(power)
        assert np.abs(banded - dense).max() <= 1e-6 * dense.max(), n_mels
        assert dsp.mel_bank(params).apply(power[:0]).shape == (0, n_mels)


def test_a_filter_without_bins_gives_zero() -> None:
    weights = np.zeros((3, 10), np.float32)
    weights[1, 4:6] = 2
    got = dsp.banded(weights).apply(np.ones((2, 10), np.float32))
    np.testing.assert_array_equal(got, [[0, 4, 0], [0, 4, 0]])


@given(
    n_fft=st.sampled_from([64, 100, 256, 512]),
    n_mels=st.integers(1, 128),
    fmin_hz=st.floats(0, 3000),
    scale=st.sampled_from(["slaney", "htk"]),
)
def test_empty_filters_are_counted_without_building_the_bank(
    n_fft: int, n_mels: int, fmin_hz: float, scale: dsp.MelScale
) -> None:
    params = dsp.MelParams(16000, n_fft, n_mels, fmin_hz, 8000.0, scale, "none")
    peaks = dsp.mel_weights(params).max(axis=1)
    surely, perhaps = int((peaks <= 1e-9).sum()), int((peaks <= 1e-3).sum())
    assert surely <= params.empty_filters() <= perhaps


def test_dct_is_scipys_orthonormal_dct_2() -> None:
    for n_out, n_in in ((1, 1), (20, 128), (13, 40), (64, 64)):
        columns = scipy.fft.dct(np.eye(n_in), type=2, norm="ortho", axis=0)
        np.testing.assert_allclose(dsp.dct_matrix(n_out, n_in), columns[:n_out], atol=1e-7)


def test_decibels_are_librosas_without_a_clip_maximum() -> None:
    power = np.array([[0, 1e-12, 1e-10, 1e-3, 1, 4e4]], np.float32)
    reference = librosa.power_to_db(power, amin=1e-10, top_db=None)
    assert relative_error(np.ravel(dsp.power_to_db(power, 1e-10)), np.ravel(reference)) <= 1e-6
    assert power[0, 0] == 0


def test_slope_weights_are_savitzky_golay() -> None:
    for width, order in ((3, 1), (9, 1), (9, 2), (11, 3)):
        reference = scipy.signal.savgol_coeffs(width, order, deriv=order, use="dot")
        np.testing.assert_allclose(dsp.slope_weights(width, order), reference, atol=1e-12)


def of_power(power: np.ndarray) -> dict[str, float]:
    values = describe(power[None].astype(np.float32), 16000)[0]
    return dict(zip(DESCRIPTORS, values.tolist(), strict=True))


def test_shapes_of_known_spectra() -> None:
    hz = np.arange(513) * 16000 / 1024
    bell = np.exp(-(((hz - 3000) / 400) ** 2))
    frames = of_power(bell * 1e6)
    # The amplitude of exp(-(f / 400)^2) is a Gaussian with a deviation of 400 Hz.
    assert frames["centroid_hz"] == pytest.approx(3000, abs=2)
    assert frames["spread_hz"] == pytest.approx(400, rel=0.01)
    assert frames["skewness"] == pytest.approx(0, abs=0.02)
    assert frames["kurtosis"] == pytest.approx(3, abs=0.1)
    flat = of_power(np.full(513, 3.0))
    assert flat["flatness_db"] == pytest.approx(0, abs=1e-9)
    assert flat["entropy"] == pytest.approx(1)
    assert flat["slope_db_per_khz"] == pytest.approx(0, abs=1e-9)
