"""Every statistic against numpy, scipy or librosa applied to the features it is taken of."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from itertools import groupby
from pathlib import Path

import librosa
import numpy as np
import pytest
import scipy.signal
import scipy.stats
import soundfile
import soxr

from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features import dsp
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.runtime.features.functionals import Functionals
from ser_toolkit.runtime.features.spectral import Mfcc, Pitch, Rms, Zcr
from ser_toolkit.runtime.features.spectral_shape import DESCRIPTORS, POWER_FLOOR, describe
from ser_toolkit.testing import relative_error

RATE_HZ = 16000
HOP_S = 256 / RATE_HZ
GRID = {"frame_length": 1024, "hop_length": 256}
WHOLE = Functionals()
Array = np.ndarray

# The whole extractor where nothing but numpy is installed.
LIGHT = """
import sys
for heavy in ("scipy", "librosa", "sklearn", "tensorflow", "keras"):
    sys.modules[heavy] = None
import numpy as np
from ser_toolkit.runtime.features.dsp import best_fft
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.runtime.features.functionals import Functionals
assert best_fft().name == "numpy"
samples = np.frombuffer(sys.stdin.buffer.read(), np.float32)
np.save(sys.stdout.buffer, Functionals().arrays(Signal(samples, 16000))["functionals"])
"""


def named(samples: Array, extractor: Functionals = WHOLE) -> dict[str, float]:
    values = extractor.arrays(Signal(samples, extractor.rate_hz))["functionals"]
    assert values.dtype == np.float32
    return dict(zip(extractor.columns, values.tolist(), strict=True))


def voice(f0_hz: Array, seed: int = 0) -> Array:
    """Return a buzz with falling harmonics that follows `f0_hz`, one value per sample."""
    phase = 2 * np.pi * np.cumsum(f0_hz) / RATE_HZ
    buzz = sum(np.sin(k * phase) / k for k in range(1, 16))
    hiss = np.random.default_rng(seed).standard_normal(len(f0_hz))
    return (0.1 * np.asarray(buzz) + 1e-4 * hiss).astype(np.float32)


def speechlike() -> Array:
    """Return three voiced stretches of moving pitch and level, with hiss between them."""
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    buzz = voice(150 + 40 * np.sin(2 * np.pi * 0.9 * time_s))
    envelope = np.maximum(0, np.sin(2 * np.pi * time_s)) ** 0.5 * np.exp(-time_s / 3)
    hiss = 3e-3 * np.random.default_rng(5).standard_normal(len(time_s))
    return (buzz * envelope + hiss).astype(np.float32)


@pytest.fixture(scope="module", params=["speechlike", "noise", "emodb", "ravdess"])
def clip(request: pytest.FixtureRequest) -> Array:
    if request.param == "speechlike":
        return speechlike()
    if request.param == "noise":
        return np.random.default_rng(2).normal(0, 0.1, 20000).astype(np.float32)
    folder = request.getfixturevalue("data_dir") / request.param
    files = sorted(folder.rglob("*.wav"))
    return read(files[len(files) // 3])


def read(path: Path) -> Array:
    samples, rate_hz = soundfile.read(path, dtype="float32", always_2d=True)
    return soxr.resample(samples.mean(axis=1), rate_hz, RATE_HZ)[: 3 * RATE_HZ]


def six(values: Array, times_s: Array) -> dict[str, float]:
    return {
        "mean": np.mean(values),
        "std": np.std(values),
        **{f"p{share}": np.percentile(values, share) for share in (10, 50, 90)},
        "slope": scipy.stats.linregress(times_s, values).slope,
    }


def close(found: dict[str, float], expected: dict[str, float], **tolerance: float) -> None:
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, **tolerance), name


def test_460_columns_with_one_name_each() -> None:
    columns = WHOLE.columns
    assert len(columns) == len(set(columns)) == 23 + 360 + 77
    assert columns[:2] == ("f0_st_mean", "f0_st_std")
    assert columns[22:24] == ("zcr_mean", "mfcc_0_mean")
    assert columns[383] == "centroid_hz_mean"
    assert {"mfcc_3_delta_p90", "mfcc_19_delta2_slope", "alpha_db_change"} <= set(columns)


def test_level(clip: Array) -> None:
    rms = Rms(**GRID).frames(Signal(clip, RATE_HZ))[:, 0].astype(np.float64)
    level_db = np.maximum(20 * np.log10(np.maximum(rms, 1e-9)), -80)
    expected = six(level_db, np.arange(len(level_db)) * HOP_S)
    expected["range"] = level_db.max() - level_db.min()
    expected["change"] = np.mean(np.abs(level_db[1:] - level_db[:-1]))
    close(named(clip), {f"level_db_{k}": v for k, v in expected.items()}, rel=1e-4, abs=1e-4)


def test_pitch_of_voiced_frames(clip: Array) -> None:
    f0_hz, voicing = Pitch(**GRID).frames(Signal(clip, RATE_HZ)).astype(np.float64).T
    voiced = np.flatnonzero(voicing > 0.5)
    if len(voiced) < 3:
        voiced, f0_hz = np.arange(len(f0_hz)), np.full(len(f0_hz), np.sqrt(60 * 500))
    semitones = 12 * np.log2(f0_hz / 27.5)
    expected = six(semitones[voiced], voiced * HOP_S)
    expected["range"] = np.ptp(semitones[voiced])
    steps = [abs(semitones[t + 1] - semitones[t]) for t in voiced if t + 1 in voiced]
    expected["change"] = np.mean(steps)
    close(named(clip), {f"f0_st_{k}": v for k, v in expected.items()}, rel=1e-4, abs=1e-4)


def test_timing(clip: Array) -> None:
    voicing = Pitch(**GRID).frames(Signal(clip, RATE_HZ))[:, 1].astype(np.float64)
    runs = [(key, len(list(run)) * HOP_S) for key, run in groupby(voicing > 0.5)]
    voiced_s = [length for key, length in runs if key]
    unvoiced_s = [length for key, length in runs if not key]
    window_s = ((len(voicing) - 1) * 256 + 1024) / RATE_HZ
    expected = {
        "voicing_mean": voicing.mean(),
        "voicing_std": voicing.std(),
        "voiced_fraction": np.mean(voicing > 0.5),
        "voiced_segments_per_s": len(voiced_s) / window_s,
        "voiced_segment_s": np.mean(voiced_s or [0]),
        "unvoiced_segment_s": np.mean(unvoiced_s or [0]),
        "zcr_mean": Zcr(**GRID).frames(Signal(clip, RATE_HZ)).mean(),
    }
    close(named(clip), expected, rel=1e-4, abs=1e-6)


def test_cepstra_and_their_derivatives(clip: Array) -> None:
    static = Mfcc(**GRID, fmin_hz=50.0).frames(Signal(clip, RATE_HZ)).astype(np.float64)
    found = named(clip)
    for order, kind in enumerate(("", "_delta", "_delta2")):
        frames = (
            scipy.signal.savgol_filter(static, 9, order, deriv=order, axis=0, mode="nearest")
            if order
            else static
        )
        for number in range(20):
            expected = six(frames[:, number], np.arange(len(frames)) * HOP_S)
            prefix = f"mfcc_{number}{kind}"
            close(found, {f"{prefix}_{k}": v for k, v in expected.items()}, rel=1e-3, abs=1e-3)


def described(clip: Array) -> tuple[dict[str, Array], Array, Array]:
    """The descriptors, and the power from 50 Hz on that they describe with its frequencies."""
    power = dsp.power_spectrogram(Signal(clip, RATE_HZ), 1024, 256, dsp.best_fft())
    hz = np.arange(513) * RATE_HZ / 1024
    frames = dict(zip(DESCRIPTORS, describe(power, RATE_HZ).T, strict=True))
    results = hz >= 50
    return frames, power[:, results].astype(np.float64) + POWER_FLOOR, hz[results]


def test_descriptors_that_librosa_has(clip: Array) -> None:
    frames, power, hz = described(clip)
    amplitude = {"S": np.sqrt(power).T, "freq": hz}
    feature = librosa.feature
    centroid = feature.spectral_centroid(**amplitude)[0]
    np.testing.assert_allclose(frames["centroid_hz"], centroid, rtol=1e-6)
    spread = feature.spectral_bandwidth(**amplitude)[0]
    np.testing.assert_allclose(frames["spread_hz"], spread, rtol=1e-6)
    for share in (85, 25):
        rolloff = feature.spectral_rolloff(**amplitude, roll_percent=share / 100)[0]
        np.testing.assert_allclose(frames[f"rolloff_{share}_hz"], rolloff)
    flatness = feature.spectral_flatness(S=power.T, power=1.0, amin=1e-30)[0]
    np.testing.assert_allclose(frames["flatness_db"], 10 * np.log10(flatness), atol=1e-6)


def test_descriptors_of_each_frame_by_formula(clip: Array) -> None:
    frames, power, hz = described(clip)
    before = None
    for t, frame in enumerate(power):
        shares = np.sqrt(frame) / np.sqrt(frame).sum()
        centroid = np.average(hz, weights=shares)
        spread = np.average((hz - centroid) ** 2, weights=shares) ** 0.5
        level_db, inside = 10 * np.log10(frame), (hz >= 500) & (hz < 1500)
        expected = {
            "skewness": np.average(((hz - centroid) / spread) ** 3, weights=shares),
            "kurtosis": np.average(((hz - centroid) / spread) ** 4, weights=shares),
            "entropy": scipy.stats.entropy(frame) / np.log(len(frame)),
            "slope_db_per_khz": np.polyfit(hz[inside] / 1000, level_db[inside], 1)[0],
            "alpha_db": 10
            * np.log10(frame[hz < 1000].sum() / frame[(hz >= 1000) & (hz < 5000)].sum()),
        }
        if before is not None:
            expected["flux"] = np.linalg.norm(shares - before)
        before = shares
        close({name: values[t] for name, values in frames.items()}, expected, rel=1e-6, abs=1e-9)
    assert frames["flux"][0] == frames["flux"][1]


def test_spectral_statistics(clip: Array) -> None:
    found = named(clip)
    for name, frames in described(clip)[0].items():
        expected = six(frames, np.arange(len(frames)) * HOP_S)
        expected["change"] = np.mean(np.abs(np.diff(frames)))
        close(found, {f"{name}_{k}": v for k, v in expected.items()}, rel=1e-4, abs=1e-5)


def test_glide_of_one_octave_per_second() -> None:
    time_s = np.arange(2 * RATE_HZ) / RATE_HZ
    found = named(voice(100 * 2**time_s))
    low, high = 12 * np.log2(100 / 27.5), 12 * np.log2(400 / 27.5)
    assert found["voiced_fraction"] == 1
    assert found["f0_st_slope"] == pytest.approx(12, rel=0.01)
    assert found["f0_st_change"] == pytest.approx(12 * HOP_S, rel=0.05)
    assert found["f0_st_mean"] == pytest.approx((low + high) / 2, abs=0.3)
    assert found["f0_st_p90"] - found["f0_st_p10"] == pytest.approx(0.8 * 24, rel=0.05)
    assert (found["voiced_segments_per_s"], found["unvoiced_segment_s"]) == (pytest.approx(0.5), 0)


def test_voiced_segments_are_counted() -> None:
    time_s = np.arange(3 * RATE_HZ) / RATE_HZ
    found = named(voice(np.full(len(time_s), 140.0)) * (time_s % 1 < 0.4).astype(np.float32))
    assert found["voiced_segments_per_s"] == pytest.approx(1, abs=0.02)
    assert found["voiced_segment_s"] == pytest.approx(0.4, abs=0.08)
    assert found["unvoiced_segment_s"] == pytest.approx(0.6, abs=0.08)
    assert found["f0_st_p50"] == pytest.approx(12 * np.log2(140 / 27.5), abs=0.02)


def test_white_noise_has_no_pitch_and_a_flat_spectrum() -> None:
    found = named(np.random.default_rng(0).normal(0, 0.1, 3 * RATE_HZ))
    middle = 12 * np.log2(np.sqrt(60 * 500) / 27.5)
    assert found["voiced_fraction"] == found["voiced_segments_per_s"] == 0
    for name in ("mean", "p10", "p50", "p90"):
        assert found[f"f0_st_{name}"] == pytest.approx(middle)
    for name in ("std", "range", "slope", "change"):
        assert found[f"f0_st_{name}"] == pytest.approx(0, abs=1e-4)
    assert found["flatness_db_mean"] == pytest.approx(-2.5, abs=0.3)
    assert found["centroid_hz_mean"] == pytest.approx(4025, rel=0.02)
    assert found["slope_db_per_khz_mean"] == pytest.approx(0, abs=0.3)


def test_few_frames_a_click_and_tiny_numbers_give_finite_values() -> None:
    hiss = np.random.default_rng(1).normal(0, 0.1, 1280)
    for samples in (hiss[:1024], hiss, np.eye(1, 48128, 20000)[0], np.full(2048, 1e-38)):
        assert np.isfinite(list(named(samples).values())).all(), len(samples)


def test_one_frame_neither_spreads_nor_moves() -> None:
    for samples in (np.random.default_rng(1).normal(0, 0.1, 1024), np.zeros(1024)):
        found = named(samples)
        for name, value in found.items():
            if name.endswith(("_std", "_slope", "_range", "_change")):
                assert value == 0, name
        assert found["flux_mean"] == 0
        assert found["mfcc_1_p10"] == found["mfcc_1_mean"] == found["mfcc_1_p90"]


def test_gain_moves_only_what_measures_level() -> None:
    samples = speechlike()
    quiet, loud = named(samples * np.float32(0.5)), named(samples)
    moved = [name for name in loud if quiet[name] != pytest.approx(loud[name], rel=0.01, abs=0.01)]
    levels = {
        f"{what}_{k}" for what in ("level_db", "mfcc_0") for k in ("mean", "p10", "p50", "p90")
    }
    assert set(moved) == levels
    assert loud["level_db_mean"] - quiet["level_db_mean"] == pytest.approx(
        20 * np.log10(2), abs=0.01
    )


def test_offset_leaves_the_spectrum_alone() -> None:
    samples = speechlike()
    clean, shifted = named(samples), named(samples + np.float32(0.02))
    assert clean["centroid_hz_mean"] == pytest.approx(shifted["centroid_hz_mean"], rel=1e-3)
    assert clean["f0_st_p50"] == pytest.approx(shifted["f0_st_p50"], abs=0.01)


def test_same_on_numpy_alone() -> None:
    samples = speechlike()
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(
        [sys.executable, "-c", LIGHT],
        input=samples.tobytes(),
        capture_output=True,
        check=False,
        env=environment,
    )
    assert done.returncode == 0, done.stderr.decode()
    found, expected = np.load(io.BytesIO(done.stdout)), list(named(samples).values())
    assert dsp.best_fft().name == "scipy"
    for kind in {name.rsplit("_", 1)[0] for name in WHOLE.columns}:
        alike = [name.rsplit("_", 1)[0] == kind for name in WHOLE.columns]
        assert relative_error(found[alike], np.array(expected)[alike]) <= 1e-4, kind


def test_real_speech_is_plausible(data_dir: Path) -> None:
    files = sorted((data_dir / "emodb").rglob("*.wav"))[::60]
    table = np.array([list(named(read(path)).values()) for path in files])
    columns = dict(zip(WHOLE.columns, table.T, strict=True))
    assert np.isfinite(table).all()
    assert (table.std(axis=0) > 0).all()
    f0_hz = 27.5 * 2 ** (columns["f0_st_p50"] / 12)
    assert ((f0_hz > 70) & (f0_hz < 450)).all()
    assert ((columns["voiced_fraction"] > 0.2) & (columns["voiced_fraction"] < 0.95)).all()
    assert ((columns["voiced_segments_per_s"] > 0.5) & (columns["voiced_segments_per_s"] < 8)).all()
    assert (columns["alpha_db_mean"] > -10).all()


def test_what_fills_no_frame_does_not_count() -> None:
    samples = speechlike()
    longer = np.append(samples, np.full(100, 0.9, np.float32))
    assert WHOLE.frame_count(len(longer)) == WHOLE.frame_count(len(samples)) == 184
    assert named(longer) == named(samples)


def test_too_short_or_another_rate_is_refused() -> None:
    with pytest.raises(SertkError, match="1024 samples or more, received 1023"):
        WHOLE.arrays(Signal(np.zeros(1023), RATE_HZ))
    with pytest.raises(SertkError, match="16000 Hz"):
        WHOLE.arrays(Signal(np.zeros(4096), 8000))


def test_parameters() -> None:
    with pytest.raises(SertkError, match="rate_hz of at least 10000"):
        configure(WHOLE, {"rate_hz": 8000})
    with pytest.raises(SertkError, match="f0_min_hz"):
        configure(WHOLE, {"f0_min_hz": 600.0})
    other = configure(WHOLE, {"rate_hz": 22050, "n_mfcc": 13, "n_mels": 64})
    assert isinstance(other, Functionals)
    values = other.arrays(Signal(np.random.default_rng(0).normal(0, 0.1, 9000), 22050))
    assert values["functionals"].shape == (len(other.columns),) == (23 + 18 * 13 + 77,)
