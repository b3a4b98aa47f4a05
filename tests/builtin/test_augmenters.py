"""Built-in augmenters against direct formulas, measurements and slow references."""

from __future__ import annotations

import librosa
import numpy as np
import pytest
from scipy.signal import welch

from ser_toolkit.builtin import augmenters
from ser_toolkit.builtin.augmenters import (
    Equalise,
    Gain,
    Mask,
    Noise,
    NotebookNoise,
    Shift,
    Speed,
    Tempo,
)
from ser_toolkit.builtin.synthetic import SpokenSentence, SyntheticReader
from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError

RATE_HZ = 16_000
AUDIO = [Noise(), NotebookNoise(), Shift(), Gain(), Speed(), Equalise()]


def tone(f0_hz: float = 200.0, n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    """A harmonic sound, quiet at its ends."""
    phase = 2 * np.pi * f0_hz * np.arange(n_samples) / RATE_HZ
    waves = sum(np.sin(k * phase) / k for k in range(1, 6))
    return (0.2 * waves * np.hanning(n_samples) ** 0.2).astype(np.float32)


def f0_hz(samples: np.ndarray) -> float:
    found = librosa.yin(samples, fmin=60, fmax=600, sr=RATE_HZ, frame_length=2048)
    return float(np.median(found[4:-4]))


SPEECH = SyntheticReader().samples(SpokenSentence(1, "anger", 1, 1))
PRIME = tone(n_samples=15991)


def test_another_generator_gives_other_audio_as_long_as_before() -> None:
    for augmenter in AUDIO:
        outs = [augmenter.augment(PRIME, RATE_HZ, np.random.default_rng(s)) for s in range(3)]
        assert len({out.tobytes() for out in outs}) == 3, augmenter
        same = [len(out) == len(PRIME) for out in outs]
        assert not any(same) if augmenter.name == "speed" else all(same), augmenter


def test_few_samples_stay_as_many_and_silence_stays_silence() -> None:
    for augmenter in AUDIO:
        for samples in (np.zeros(0), np.array([0.25, -0.25]), np.zeros(8000)):
            given = samples.astype(np.float32)
            out = augmenter.augment(given, RATE_HZ, np.random.default_rng(0))
            assert out.dtype == np.float32 and np.isfinite(out).all(), augmenter
            assert (len(out) > 0) == (len(given) > 0), augmenter
            assert augmenter.name == "speed" or len(out) == len(given), augmenter
            assert given.any() or not out.any(), augmenter


def test_noise_has_the_ratio_that_was_drawn() -> None:
    for seed in range(5):
        out = Noise().augment(SPEECH, RATE_HZ, np.random.default_rng(seed))
        noise = out.astype(np.float64) - SPEECH
        measured = 10 * np.log10(np.mean(SPEECH.astype(np.float64) ** 2) / np.mean(noise**2))
        drawn = np.random.default_rng(seed).uniform(5, 40)
        assert measured == pytest.approx(drawn, abs=0.02), seed


def test_drawn_ratios_fill_the_range() -> None:
    drawn = []
    for seed in range(100):
        out = Noise(10, 20).augment(PRIME, RATE_HZ, np.random.default_rng(seed))
        noise = out - PRIME
        drawn.append(10 * np.log10(np.mean(PRIME**2) / np.mean(noise**2)))
    assert 9.9 < min(drawn) < 10.7 and 19.3 < max(drawn) < 20.1


def test_noise_has_the_slope_that_was_asked_for() -> None:
    for slope in (-6.0, -3.0, 0.0, 3.0):
        noise = augmenters.coloured_noise(30 * RATE_HZ, slope, np.random.default_rng(0))
        hz, power = welch(noise, RATE_HZ, nperseg=4096)
        band = (hz > 100) & (hz < 7000)
        fitted = np.polyfit(np.log2(hz[band]), 10 * np.log10(power[band]), 1)[0]
        assert fitted == pytest.approx(slope, abs=0.1)


def test_notebook_noise_is_the_notebooks_formula() -> None:
    for x in (SPEECH, -np.abs(PRIME), np.sign(PRIME)):
        out = NotebookNoise().augment(x, RATE_HZ, np.random.default_rng(7))
        rng = np.random.default_rng(7)
        wanted = x + 0.035 * rng.uniform() * np.amax(x) * rng.normal(size=x.shape[0])
        assert np.allclose(out, wanted, atol=1e-7)


def test_shift_rotates_within_its_bounds() -> None:
    ramp = np.arange(20_000, dtype=np.float32)
    offsets = set()
    for seed in range(200):
        out = Shift(max_samples=3).augment(ramp, RATE_HZ, np.random.default_rng(seed))
        offset = int(np.argmin(out))
        offsets.add(offset if offset < 10_000 else offset - 20_000)
        assert np.array_equal(out, np.roll(ramp, offset))
    assert offsets == {-3, -2, -1, 0, 1, 2, 3}


def test_gain_is_one_factor_within_its_bounds() -> None:
    x = PRIME
    drawn = []
    for seed in range(100):
        out = Gain(-6, 6).augment(x, RATE_HZ, np.random.default_rng(seed))
        factor = float(out @ x / (x @ x))
        assert np.allclose(out, factor * x, atol=1e-6)
        drawn.append(20 * np.log10(factor))
    assert -6.001 < min(drawn) < -5.5 and 5.5 < max(drawn) < 6.001


def test_speed_changes_tempo_and_pitch_by_the_factor() -> None:
    x = tone(200.0)
    for rate in (0.85, 1.0, 1.15):
        out = Speed(rate, rate).augment(x, RATE_HZ, np.random.default_rng(0))
        assert len(out) == pytest.approx(len(x) / rate, abs=2)
        assert f0_hz(out) == pytest.approx(200.0 * rate, rel=0.005)


def test_equaliser_has_the_curve_that_was_drawn() -> None:
    impulse = np.zeros(RATE_HZ, np.float32)
    impulse[RATE_HZ // 2] = 1
    hz = np.fft.rfftfreq(RATE_HZ, 1 / RATE_HZ)
    for seed in range(4):
        out = Equalise().augment(impulse, RATE_HZ, np.random.default_rng(seed))
        measured = 20 * np.log10(np.abs(np.fft.rfft(out.astype(np.float64))))
        wanted = Equalise().curve_db(hz, np.random.default_rng(seed))
        assert np.abs(measured - wanted)[100:].max() < 0.2, seed
        assert np.argmax(np.abs(out)) == RATE_HZ // 2, seed


def test_equaliser_keeps_within_its_bounds() -> None:
    hz = np.fft.rfftfreq(RATE_HZ, 1 / RATE_HZ)
    octaves = np.abs(np.log2(np.maximum(hz, 50) / 1000))
    flat = [Equalise(db=0).curve_db(hz, np.random.default_rng(seed)) for seed in range(50)]
    curved = [
        Equalise(tilt_db_per_octave=0).curve_db(hz, np.random.default_rng(seed))
        for seed in range(50)
    ]
    assert all((np.abs(curve) <= 1.5 * octaves + 1e-9).all() for curve in flat)
    assert 2.0 < np.abs(curved).max() <= 6.0
    assert np.allclose([curve[1000] for curve in flat + curved], 0)


def test_another_generator_gives_other_frames() -> None:
    frames = np.random.default_rng(0).normal(size=(188, 66)).astype(np.float32)
    for augmenter in (Mask(), Tempo()):
        outs = [augmenter.augment_frames(frames, np.random.default_rng(s)) for s in range(10)]
        assert len({out.tobytes() for out in outs}) == 10, augmenter


def runs_of(flags: np.ndarray) -> list[int]:
    """Lengths of the runs of True."""
    edges = np.flatnonzero(np.diff(np.r_[0, flags.astype(int), 0]))
    return list(edges[1::2] - edges[::2])


def test_masks_are_bands_and_spans_of_zeros() -> None:
    widest_column, widest_frame = 0, 0
    for seed in range(200):
        frames = np.random.default_rng(0).uniform(1, 2, (188, 64)).astype(np.float32)
        out = Mask(n_frequency=1, n_time=1).augment_frames(frames, np.random.default_rng(seed))
        columns, spans = runs_of((out == 0).all(0)), runs_of((out == 0).all(1))
        blank = (out == 0).all(0)[None, :] | (out == 0).all(1)[:, None]
        assert np.array_equal(out, np.where(blank, 0, frames))
        assert len(columns) <= 1 and len(spans) <= 1
        widest_column = max([widest_column, *columns])
        widest_frame = max([widest_frame, *spans])
    assert (widest_column, widest_frame) == (8, 20)


def test_a_mask_never_blanks_more_than_half_of_a_short_window() -> None:
    frames = np.ones((6, 4), np.float32)
    for seed in range(50):
        out = Mask(1, 8, 1, 20).augment_frames(frames, np.random.default_rng(seed))
        assert (out == 0).all(1).sum() <= 3 and (out == 0).all(0).sum() <= 2


def test_tempo_is_linear_interpolation() -> None:
    count = 60
    frames = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    for seed in range(12):
        out = Tempo(0.4).augment_frames(frames, np.random.default_rng(seed))
        rng = np.random.default_rng(seed)
        length = round(count * np.exp(rng.uniform(-0.4, 0.4)))
        start = int(rng.integers(0, max(0, length - count) + 1))
        grid = np.linspace(0, count - 1, length)
        stretched = np.stack([np.interp(grid, np.arange(count), column) for column in frames.T], 1)
        wanted = np.tile(stretched, (3, 1))[start : start + count]
        assert np.allclose(out, wanted, atol=1e-5), seed


def test_tempo_draws_both_slower_and_faster() -> None:
    ramp = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    steps = [
        float(np.median(np.diff(Tempo().augment_frames(ramp, np.random.default_rng(s))[:, 0])))
        for s in range(100)
    ]
    assert min(steps) == pytest.approx(np.exp(-0.2) / 99, rel=0.04)
    assert max(steps) == pytest.approx(np.exp(0.2) / 99, rel=0.04)


def test_impossible_fields_are_user_errors() -> None:
    for augmenter, field, value in (
        (Noise(), "snr_db_min", 50.0),
        (Noise(), "slope_db_per_octave_min", 1.0),
        (Shift(), "max_samples", -1),
        (Gain(), "db_min", 7.0),
        (Speed(), "rate_min", 0.0),
        (Speed(), "rate_min", 1.5),
        (Equalise(), "db", -1.0),
        (Mask(), "max_frames", -1),
        (Tempo(), "max_log", -0.1),
    ):
        with pytest.raises(SertkError, match=field):
            configure(augmenter, {field: value})


def test_fast_lengths_are_no_shorter_and_not_much_longer() -> None:
    for n_samples in (*range(400), 15_991, 48_000, 960_001):
        size = augmenters._fast_length(n_samples)
        assert n_samples <= size <= max(16, 1.125 * n_samples)
        while size % 2 == 0:
            size //= 2
        assert size <= 16
