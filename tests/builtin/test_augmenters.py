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
from ser_toolkit.runtime.component import configure, from_spec, to_spec
from ser_toolkit.runtime.errors import SertkError

RATE_HZ = 16_000
AUDIO = [Noise(), NotebookNoise(), Shift(), Gain(), Speed(), Equalise()]
FRAMES = [Mask(), Tempo()]


def by_name(value: object) -> str:
    return str(getattr(value, "name", value))


def tone(f0_hz: float = 200.0, n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    """A harmonic sound, quiet at its ends."""
    phase = 2 * np.pi * f0_hz * np.arange(n_samples) / RATE_HZ
    waves = sum(np.sin(k * phase) / k for k in range(1, 6))
    return (0.2 * waves * np.hanning(n_samples) ** 0.2).astype(np.float32)


def f0_hz(samples: np.ndarray) -> float:
    found = librosa.yin(samples, fmin=60, fmax=600, sr=RATE_HZ, frame_length=2048)
    return float(np.median(found[4:-4]))


SIGNALS = {
    "speech": SyntheticReader().samples(SpokenSentence(1, "anger", 1, 1)),
    "silence": np.zeros(8000, np.float32),
    "dc": np.full(8000, 0.5, np.float32),
    "full scale": np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32),
    "negative": -np.abs(tone(n_samples=8000)),
    "one sample": np.array([0.25], np.float32),
    "two samples": np.array([0.25, -0.25], np.float32),
    "empty": np.zeros(0, np.float32),
    "prime length": tone(n_samples=15991),
    "long": tone(n_samples=60 * RATE_HZ),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("augmenter", AUDIO, ids=by_name)
def test_any_signal_gives_finite_float32_and_is_left_alone(augmenter, signal: str) -> None:
    samples = SIGNALS[signal].copy()
    samples.flags.writeable = False
    for seed in range(3):
        out = augmenter.augment(samples, RATE_HZ, np.random.default_rng(seed))
        assert out.dtype == np.float32 and out.ndim == 1
        assert np.isfinite(out).all()
        assert not np.shares_memory(out, samples)
        assert (len(out) > 0) == (len(samples) > 0)
        if augmenter.name != "speed":
            assert len(out) == len(samples)
    assert np.array_equal(samples, SIGNALS[signal])


@pytest.mark.parametrize("augmenter", AUDIO, ids=by_name)
def test_silence_stays_silence(augmenter) -> None:
    out = augmenter.augment(SIGNALS["silence"], RATE_HZ, np.random.default_rng(0))
    assert not out.any()


@pytest.mark.parametrize("augmenter", AUDIO, ids=by_name)
def test_same_generator_same_bytes(augmenter) -> None:
    def run(seed: int) -> bytes:
        return augmenter.augment(SIGNALS["speech"], RATE_HZ, np.random.default_rng(seed)).tobytes()

    assert run(1) == run(1)
    assert run(1) != run(2)


@pytest.mark.parametrize("augmenter", AUDIO + FRAMES, ids=by_name)
def test_fields_are_the_whole_state(augmenter) -> None:
    half = configure(augmenter, {"p": 0.5})
    assert from_spec(to_spec(half), lambda name: augmenter) == half
    assert augmenter.p == 1.0 and half.p == 0.5


@pytest.mark.parametrize("seed", range(5))
def test_noise_has_the_ratio_that_was_drawn(seed: int) -> None:
    samples = SIGNALS["speech"]
    out = Noise().augment(samples, RATE_HZ, np.random.default_rng(seed))
    noise = out.astype(np.float64) - samples
    measured = 10 * np.log10(np.mean(samples.astype(np.float64) ** 2) / np.mean(noise**2))
    assert measured == pytest.approx(np.random.default_rng(seed).uniform(5, 40), abs=0.02)


def test_drawn_ratios_fill_the_range() -> None:
    drawn = []
    for seed in range(100):
        out = Noise(10, 20).augment(SIGNALS["prime length"], RATE_HZ, np.random.default_rng(seed))
        noise = out - SIGNALS["prime length"]
        drawn.append(10 * np.log10(np.mean(SIGNALS["prime length"] ** 2) / np.mean(noise**2)))
    assert 9.9 < min(drawn) < 10.7 and 19.3 < max(drawn) < 20.1


@pytest.mark.parametrize("slope", [-6.0, -3.0, 0.0, 3.0])
def test_noise_has_the_slope_that_was_asked_for(slope: float) -> None:
    noise = augmenters.coloured_noise(30 * RATE_HZ, slope, np.random.default_rng(0))
    hz, power = welch(noise, RATE_HZ, nperseg=4096)
    band = (hz > 100) & (hz < 7000)
    fitted = np.polyfit(np.log2(hz[band]), 10 * np.log10(power[band]), 1)[0]
    assert fitted == pytest.approx(slope, abs=0.1)


@pytest.mark.parametrize("signal", ["speech", "negative", "full scale"])
def test_notebook_noise_is_the_notebooks_formula(signal: str) -> None:
    x = SIGNALS[signal]
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
    x = SIGNALS["prime length"]
    drawn = []
    for seed in range(100):
        out = Gain(-6, 6).augment(x, RATE_HZ, np.random.default_rng(seed))
        factor = float(out @ x / (x @ x))
        assert np.allclose(out, factor * x, atol=1e-6)
        drawn.append(20 * np.log10(factor))
    assert -6.001 < min(drawn) < -5.5 and 5.5 < max(drawn) < 6.001


@pytest.mark.parametrize("rate", [0.85, 1.0, 1.15])
def test_speed_changes_tempo_and_pitch_by_the_factor(rate: float) -> None:
    x = tone(200.0)
    out = Speed(rate, rate).augment(x, RATE_HZ, np.random.default_rng(0))
    assert len(out) == pytest.approx(len(x) / rate, abs=2)
    assert f0_hz(out) == pytest.approx(200.0 * rate, rel=0.005)


@pytest.mark.parametrize("seed", range(4))
def test_equaliser_has_the_curve_that_was_drawn(seed: int) -> None:
    impulse = np.zeros(RATE_HZ, np.float32)
    impulse[RATE_HZ // 2] = 1
    out = Equalise().augment(impulse, RATE_HZ, np.random.default_rng(seed))
    measured = 20 * np.log10(np.abs(np.fft.rfft(out.astype(np.float64))))
    hz = np.fft.rfftfreq(RATE_HZ, 1 / RATE_HZ)
    wanted = Equalise().curve_db(hz, np.random.default_rng(seed))
    assert np.abs(measured - wanted)[100:].max() < 0.2
    assert np.argmax(np.abs(out)) == RATE_HZ // 2


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


@pytest.mark.parametrize("augmenter", FRAMES, ids=by_name)
@pytest.mark.parametrize("shape", [(188, 66), (1, 5), (2, 1), (40, 1)])
def test_frames_keep_shape_and_type_and_are_left_alone(augmenter, shape: tuple[int, int]) -> None:
    frames = np.random.default_rng(0).normal(size=shape).astype(np.float32)
    frames.flags.writeable = False
    for seed in range(20):
        out = augmenter.augment_frames(frames, np.random.default_rng(seed))
        again = augmenter.augment_frames(frames, np.random.default_rng(seed))
        assert out.shape == shape and out.dtype == np.float32 and np.isfinite(out).all()
        assert out.tobytes() == again.tobytes()
        assert not np.shares_memory(out, frames)


@pytest.mark.parametrize("augmenter", FRAMES, ids=by_name)
def test_another_generator_gives_other_frames(augmenter) -> None:
    frames = np.random.default_rng(0).normal(size=(188, 66)).astype(np.float32)
    outs = {augmenter.augment_frames(frames, np.random.default_rng(s)).tobytes() for s in range(10)}
    assert len(outs) == 10


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


@pytest.mark.parametrize("seed", range(12))
def test_tempo_is_linear_interpolation(seed: int) -> None:
    count = 60
    frames = np.random.default_rng(0).normal(size=(count, 3)).astype(np.float32)
    out = Tempo(0.4).augment_frames(frames, np.random.default_rng(seed))
    rng = np.random.default_rng(seed)
    length = round(count * np.exp(rng.uniform(-0.4, 0.4)))
    start = int(rng.integers(0, max(0, length - count) + 1))
    grid = np.linspace(0, count - 1, length)
    stretched = np.stack([np.interp(grid, np.arange(count), column) for column in frames.T], 1)
    wanted = np.tile(stretched, (3, 1))[start : start + count]
    assert np.allclose(out, wanted, atol=1e-5)


def test_tempo_draws_both_slower_and_faster() -> None:
    ramp = np.linspace(0, 1, 100, dtype=np.float32)[:, None]
    steps = [
        float(np.median(np.diff(Tempo().augment_frames(ramp, np.random.default_rng(s))[:, 0])))
        for s in range(100)
    ]
    assert min(steps) == pytest.approx(np.exp(-0.2) / 99, rel=0.04)
    assert max(steps) == pytest.approx(np.exp(0.2) / 99, rel=0.04)


@pytest.mark.parametrize(
    ("augmenter", "params"),
    [
        (Noise(), {"snr_db_min": 50.0}),
        (Noise(), {"slope_db_per_octave_min": 1.0}),
        (Shift(), {"max_samples": -1}),
        (Gain(), {"db_min": 7.0}),
        (Speed(), {"rate_min": 0.0}),
        (Speed(), {"rate_min": 1.5}),
        (Equalise(), {"db": -1.0}),
        (Mask(), {"max_frames": -1}),
        (Tempo(), {"max_log": -0.1}),
    ],
)
def test_impossible_fields_are_user_errors(augmenter, params) -> None:
    with pytest.raises(SertkError, match=next(iter(params))):
        configure(augmenter, params)


def test_fast_lengths_are_no_shorter_and_not_much_longer() -> None:
    for n_samples in (*range(400), 15_991, 48_000, 960_001):
        size = augmenters._fast_length(n_samples)
        assert n_samples <= size <= max(16, 1.125 * n_samples)
        while size % 2 == 0:
            size //= 2
        assert size <= 16
