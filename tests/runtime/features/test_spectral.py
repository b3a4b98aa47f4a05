"""Every feature against librosa and formulas, on both FFTs."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import soxr
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features import dsp
from ser_toolkit.runtime.features.base import Signal, Stack
from ser_toolkit.runtime.features.spectral import Deltas, Feature, LogMel, Mfcc, Pitch, Rms, Zcr

RATE_HZ = 16000
Array = np.ndarray
GRID = {"frame_length": 512, "hop_length": 256, "center": False}
ALL = [
    Zcr(),
    Rms(),
    LogMel(),
    LogMel(log="db", norm="unit_sum", mel_scale="slaney", precision="single"),
    Mfcc(),
    Pitch(),
    Pitch(scale="gated"),
    Deltas(),
    Deltas(Deltas(Rms(), width=3), width=5, order=2),
    Stack((Zcr(), Rms(), LogMel(), Mfcc(), Pitch(), Deltas())),
]
FFTS = (dsp.best_fft(), dsp.numpy_fft())


def label(value: object) -> str:
    return str(getattr(value, "name", getattr(value, "__name__", value)))


def on(feature: Feature, fft: dsp.Fft) -> Feature:
    """Return the same feature with another FFT."""
    kind = type(feature)
    values = {field.name: getattr(feature, field.name) for field in dataclasses.fields(feature)}
    return type(kind.__name__, (kind,), {"fft": lambda self: fft})(**values)


def synthetic() -> Array:
    """Return a rising tone in noise, a voice-like buzz, silence, faint noise."""
    rng = np.random.default_rng(7)
    time_s = np.arange(RATE_HZ) / RATE_HZ
    chirp = 0.4 * np.sin(2 * np.pi * (90 * time_s + 1500 * time_s**2))
    buzz = sum(np.sin(2 * np.pi * k * 130 * time_s) / k for k in range(1, 20))
    parts = [chirp, 0.2 * np.asarray(buzz), np.zeros(8000), np.zeros(8000)]
    levels = [1e-2, 3e-3, 0, 1e-3]
    noisy = [p + a * rng.standard_normal(len(p)) for p, a in zip(parts, levels, strict=True)]
    return np.concatenate(noisy).astype(np.float32)


def read(path: Path) -> Array:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    mono = samples.mean(axis=1)
    return mono if rate_hz == RATE_HZ else soxr.resample(mono, rate_hz, RATE_HZ)


@pytest.fixture(scope="module", params=["synthetic", "emodb", "tess", "ravdess"])
def clips(request: pytest.FixtureRequest) -> list[Array]:
    """Return some seconds of audio at 16 kHz: made here, or of each corpus."""
    if request.param == "synthetic":
        return [synthetic()]
    folder = request.getfixturevalue("data_dir") / request.param
    found = sorted(folder.rglob("*.wav"))
    assert len(found) >= 20
    return [read(path) for path in found[:: max(1, len(found) // 8)]]


def librosa_power(y: Array, **mel: object) -> Array:
    return librosa.feature.melspectrogram(
        y=y, sr=RATE_HZ, n_fft=512, hop_length=256, center=False, **mel
    )


def librosa_log_mel(y: Array) -> Array:
    power = librosa_power(y, n_mels=64, fmin=50, fmax=8000, htk=True, norm=None)
    return np.log(power + 1e-7).T


def librosa_mfcc(y: Array) -> Array:
    level_db = librosa.power_to_db(librosa_power(y), top_db=None)
    return librosa.feature.mfcc(S=level_db, n_mfcc=20).T


def librosa_f0(y: Array) -> Array:
    wide = y.astype(np.float64)
    f0_hz = librosa.yin(
        wide, fmin=60, fmax=500, sr=RATE_HZ, frame_length=1024, hop_length=256, center=False
    )
    return f0_hz[:, None]


REFERENCES: list[tuple[Feature, Callable[[Array], Array]]] = [
    (Zcr(), lambda y: librosa.feature.zero_crossing_rate(y, **GRID).T),
    (Rms(), lambda y: librosa.feature.rms(y=y, **GRID).T),
    (LogMel(), librosa_log_mel),
    (Mfcc(), librosa_mfcc),
    (Pitch(), librosa_f0),
]


def worst(ours: Array, reference: Array) -> float:
    assert ours.shape == reference.shape and ours.dtype == np.float32
    return float(np.abs(ours - reference).max() / np.abs(reference).max())


@pytest.mark.parametrize(("feature", "reference"), REFERENCES, ids=label)
def test_agrees_with_librosa(
    clips: list[Array], feature: Feature, reference: Callable[[Array], Array]
) -> None:
    for samples in clips:
        expected = reference(samples)
        for fft in FFTS:
            frames = on(feature, fft).frames(Signal(samples, RATE_HZ))
            assert worst(frames[:, : expected.shape[1]], expected) <= 1e-5, fft.name


def test_both_ffts_give_the_same_features() -> None:
    signal = Signal(synthetic(), RATE_HZ)
    for feature in (part for part in ALL if isinstance(part, Feature)):
        ours, numpys = (on(feature, fft).frames(signal) for fft in FFTS)
        # The logarithm of a weak band shows the rounding of an FFT in single precision.
        rounded = isinstance(feature, LogMel) and feature.precision == "single"
        assert worst(ours, numpys) <= (1e-5 if rounded else 1e-6), feature


def test_notebook_sized_mfcc_agrees_with_librosa() -> None:
    samples = np.random.default_rng(1).standard_normal(55125).astype(np.float32)
    padded = np.pad(samples, 1024)
    mfcc = Mfcc(rate_hz=22050, frame_length=2048, hop_length=512, fmax_hz=11025.0)
    power = librosa.feature.melspectrogram(y=samples, sr=22050, pad_mode="constant")
    reference = librosa.feature.mfcc(S=librosa.power_to_db(power, top_db=None), n_mfcc=20)
    frames = mfcc.frames(Signal(padded, 22050))
    assert frames.shape == (108, 20)
    assert worst(frames, reference.T) <= 1e-5


def test_zero_crossings_and_level_agree_on_any_grid() -> None:
    y = synthetic()
    for frame, hop in ((400, 160), (401, 160), (256, 512), (512, 512)):
        grid = {"frame_length": frame, "hop_length": hop}
        zcr = librosa.feature.zero_crossing_rate(y, **grid, center=False).T
        rms = librosa.feature.rms(y=y, **grid, center=False).T
        assert worst(Zcr(**grid).frames(Signal(y, RATE_HZ)), zcr) <= 1e-6, grid
        assert worst(Rms(**grid).frames(Signal(y, RATE_HZ)), rms) <= 1e-6, grid


def test_deltas_are_librosas_delayed_by_half_a_width() -> None:
    signal = Signal(synthetic(), RATE_HZ)
    of = Mfcc()
    cepstrum = of.frames(signal)
    for width, order in ((9, 1), (9, 2), (3, 1), (5, 2)):
        led = np.concatenate([np.repeat(cepstrum[:1], width // 2, axis=0), cepstrum])
        reference = librosa.feature.delta(
            led.T.astype(np.float64), width=width, order=order, mode="nearest"
        ).T[: len(cepstrum)]
        deltas = Deltas(of, width, order)
        assert worst(deltas.frames(signal), reference) <= 1e-5, deltas
        assert deltas.warmup_frames == width - 1


def test_decibel_mel_and_unit_sum_follow_their_formulas() -> None:
    y = synthetic()
    level = LogMel(log="db", floor=1e-9, norm="unit_sum", mel_scale="slaney", n_mels=40)
    power = librosa_power(y, n_mels=40, fmin=50, fmax=8000, norm=1).T
    reference = 10 * np.log10(np.maximum(power, 1e-9))
    assert worst(level.frames(Signal(y, RATE_HZ)), reference) <= 1e-5


def test_pitch_of_a_voice_like_buzz() -> None:
    time_s = np.arange(RATE_HZ) / RATE_HZ
    for f0_hz in (75.0, 131.3, 220.0, 441.7):
        harmonics = range(1, int(4000 / f0_hz))
        buzz = 0.1 * sum(np.sin(2 * np.pi * k * f0_hz * time_s + k) for k in harmonics)
        frames = Pitch().frames(Signal(np.asarray(buzz), RATE_HZ))
        np.testing.assert_allclose(frames[:, 0], f0_hz, rtol=0.01)
        assert frames[:, 1].min() > 0.7, f0_hz


def test_noise_is_hardly_voiced() -> None:
    noise = np.random.default_rng(3).standard_normal(RATE_HZ)
    assert Pitch().frames(Signal(0.1 * noise, RATE_HZ))[:, 1].max() < 0.5


def test_gated_pitch_follows_its_formula_and_fades_out_where_unvoiced() -> None:
    signal = Signal(synthetic(), RATE_HZ)
    f0_hz, voicing = Pitch().frames(signal).T.astype(np.float64)
    gate = 1 / (1 + np.exp(-20 * (voicing - 0.5)))
    expected = gate * (12 * np.log2(f0_hz / 55) - 20) / 8
    gated = Pitch(scale="gated").frames(signal)
    np.testing.assert_allclose(gated[:, 0], expected, atol=1e-5)
    np.testing.assert_array_equal(gated[:, 1], voicing.astype(np.float32))
    assert np.abs(gated[voicing < 0.1, 0]).max() < 1e-3 < np.abs(gated[:, 0]).max()


def test_an_impulse_and_denormal_numbers_give_finite_frames() -> None:
    for extractor in ALL:
        for samples in (np.eye(1, 3000, 1500)[0], np.full(3000, 1e-40)):
            assert np.isfinite(extractor.frames(Signal(samples, RATE_HZ))).all(), extractor


def test_silence_and_direct_current_are_unvoiced_and_have_known_values() -> None:
    for level in (0.0, 0.5):
        signal = Signal(np.full(4000, level), RATE_HZ)
        assert (Zcr().frames(signal) == 0).all()
        np.testing.assert_allclose(Rms().frames(signal), level, atol=1e-7)
        assert (Pitch().frames(signal)[:, 1] == 0).all()
        np.testing.assert_allclose(Deltas(Rms()).frames(signal), 0, atol=1e-9)
    silence = Signal(np.zeros(4000), RATE_HZ)
    np.testing.assert_allclose(LogMel().frames(silence), np.log(1e-7), rtol=1e-6)
    np.testing.assert_allclose(Mfcc().frames(silence)[:, 0], -100 * np.sqrt(128), rtol=1e-5)
    np.testing.assert_allclose(Mfcc().frames(silence)[:, 1:], 0, atol=1e-3)


@given(arrays(np.float32, st.integers(1024, 1600), elements=st.floats(-1, 1, width=32)))
def test_any_audio_gives_finite_frames_in_range(samples: Array) -> None:
    signal = Signal(samples, RATE_HZ)
    frames = Stack((Zcr(), Rms(), Pitch(), LogMel(), Mfcc())).frames(signal)
    zcr, rms, f0_hz, voicing = frames[:, :4].T
    assert np.isfinite(frames).all()
    assert ((zcr >= 0) & (zcr < 1)).all() and ((rms >= 0) & (rms <= 1.0001)).all()
    assert ((f0_hz > 55) & (f0_hz < 520)).all() and ((voicing >= 0) & (voicing <= 1)).all()


def test_another_rate_is_refused_by_name() -> None:
    for extractor in ALL:
        with pytest.raises(SertkError, match=r"16000 Hz, received 22050 Hz\. Resample"):
            extractor.frames(Signal(synthetic(), 22050))


WRONG = [
    (Zcr(), {"hop_length": 0}, "hop_length of at least 1"),
    (Rms(), {"frame_length": -1}, "frame_length of at least 1"),
    (LogMel(), {"fmax_hz": 9000.0}, "8000 Hz .* received 50 and 9000"),
    (LogMel(), {"fmin_hz": 8000.0}, "fmin_hz < fmax_hz"),
    (LogMel(), {"n_mels": 0}, "n_mels of at least 1"),
    (LogMel(), {"floor": 0.0}, "floor above 0"),
    (LogMel(), {"log": "log2"}, "one of ln, db"),
    (Mfcc(), {"frame_length": 256}, "mel filters fall between two FFT bins"),
    (Mfcc(), {"n_mfcc": 129}, "n_mfcc from 1 to 128 expected, received 129"),
    (Mfcc(), {"amin": 0.0}, "amin above 0"),
    (Pitch(), {"f0_min_hz": 600.0}, "f0_min_hz < f0_max_hz"),
    (Pitch(), {"f0_min_hz": 10.0}, "frame_length above 1600"),
    (Pitch(), {"f0_min_hz": 495.0}, "three lags"),
    (Deltas(), {"width": 8}, "odd width"),
    (Deltas(), {"order": 9}, "order from 1 to 8"),
    (Deltas(), {"of": 3}, "FrameExtractor"),
]


def test_a_wrong_parameter_is_refused() -> None:
    for extractor, params, message in WRONG:
        with pytest.raises(SertkError, match=message):
            configure(extractor, params)


def test_features_on_one_grid_share_one_stft() -> None:
    rows: list[int] = []

    def rfft(frames: Array, *size: int) -> Array:
        rows.append(len(frames))
        return np.fft.rfft(frames, *size)

    fft = dsp.Fft("counting", rfft, np.fft.irfft)
    mfcc = on(Mfcc(), fft)
    parts = (mfcc, on(LogMel(precision="single"), fft), Deltas(mfcc), Deltas(mfcc, order=2))
    count = len(Stack(parts).frames(Signal(synthetic(), RATE_HZ)))
    assert sum(rows) == count
    longer = Stack((*parts, Rms(frame_length=1024)))
    rows.clear()
    assert sum(rows) == 0 and len(longer.frames(Signal(synthetic(), RATE_HZ))) == sum(rows)


def test_columns_say_what_they_hold() -> None:
    stack = Stack((Zcr(), Pitch(scale="gated"), Deltas(Rms()), Deltas(Rms(), order=2)))
    assert stack.columns == ("zcr", "pitch", "voicing", "delta_rms", "delta2_rms")
    assert Mfcc(n_mfcc=2).columns == ("mfcc_0", "mfcc_1")
    assert LogMel().columns[-1] == "log_mel_63"
    assert Deltas().edge_ready and stack.edge_ready


def test_a_signal_is_mono_and_of_full_scale_1() -> None:
    for samples, part in (
        (
            np.zeros((2, 16000), np.float32),
            r"mono samples \(N,\) expected, received .*\(2, 16000\)",
        ),
        (np.zeros(16000, np.int16), "float samples of full scale 1 expected, received int16"),
    ):
        with pytest.raises(SertkError, match=part):
            Signal(samples, RATE_HZ)
