"""What the features mean, their bands, their edges and their parameters."""

from __future__ import annotations

import dataclasses
import tracemalloc

import numpy as np
import pytest

from ser_toolkit import SertkError, Signal, from_spec
from ser_toolkit.testing import relative_error
from sertk_msf import Msf

PAPER = Msf()
GRID_16 = Msf(rate_hz=16000, frame_length=4096, hop_length=256)
BOTH = pytest.mark.parametrize("msf", [PAPER, GRID_16], ids=["paper", "16 kHz"])

CENTRES_HZ = [125, 174, 231, 295, 368, 451, 546, 654, 777, 917]
CENTRES_HZ += [1077, 1259, 1467, 1703, 1973, 2280, 2629, 3028, 3482]


def frames_of(msf, samples):
    return msf.frames(Signal(np.asarray(samples, np.float32), msf.rate_hz))


def energies_of(msf, samples):
    """(T, 19, 5)"""
    frames = frames_of(msf, samples).astype(np.float64)
    return (np.exp(frames) - msf.floor).reshape(-1, msf.n_acoustic, msf.n_modulation)


def noise(msf, seconds, level=0.1, seed=1):
    return level * np.random.default_rng(seed).standard_normal(int(seconds * msf.rate_hz))


@BOTH
def test_bands_are_those_of_the_paper(msf):
    assert np.abs(msf.centre_hz - CENTRES_HZ).max() <= 0.5
    assert msf.bandwidth_hz[[0, -1]] == pytest.approx([38.2, 400.6], abs=0.05)
    assert msf.modulation_hz == pytest.approx([4, 8, 16, 32, 64])


def test_wide_band_reaches_higher():
    wide = Msf(rate_hz=16000, frame_length=4096, hop_length=1024, high_hz=8000.0)
    assert wide.centre_hz[0] == pytest.approx(125)
    assert 6600 < wide.centre_hz[-1] < 6800


def test_one_modulation_band_lies_at_the_low_end():
    assert Msf(n_modulation=1).modulation_hz == pytest.approx([4])
    assert frames_of(Msf(n_modulation=1), noise(PAPER, 1)).shape == (12, 19)


def test_columns_are_acoustic_major():
    assert len(PAPER.columns) == 95
    assert PAPER.columns[:6] == tuple(
        f"msf_{band}" for band in ("a01_m1", "a01_m2", "a01_m3", "a01_m4", "a01_m5", "a02_m1")
    )
    assert PAPER.columns[-1] == "msf_a19_m5"


@BOTH
def test_modulated_tone_peaks_in_its_band(msf):
    time_s = np.arange(3 * msf.rate_hz) / msf.rate_hz
    for carrier_hz, beat_hz, acoustic, band in (
        (1077, 8, 11, 2),
        (368, 4, 5, 1),
        (2280, 32, 16, 4),
        (3482, 64, 19, 5),
        (654, 16, 8, 3),
    ):
        carrier = np.sin(2 * np.pi * carrier_hz * time_s)
        tone = 0.3 * (1 + 0.8 * np.cos(2 * np.pi * beat_hz * time_s)) * carrier
        settled = energies_of(msf, tone)[msf.warmup_frames :]
        assert len(settled) > 5
        peak = settled.reshape(len(settled), -1).argmax(axis=1)
        assert set(peak) == {(acoustic - 1) * msf.n_modulation + band - 1}, carrier_hz


@BOTH
def test_white_noise_fills_every_band(msf):
    energies = energies_of(msf, noise(msf, 8))[msf.warmup_frames :].mean(axis=0)
    flatness = np.exp(np.log(energies).mean(axis=0)) / energies.mean(axis=0)
    time_s = np.arange(8 * msf.rate_hz) / msf.rate_hz
    tone = np.sin(2 * np.pi * 1077 * time_s) * (1 + np.cos(2 * np.pi * 8 * time_s))
    peaked = energies_of(msf, tone)[msf.warmup_frames :].mean(axis=0)[:, 1]
    assert flatness.min() > 0.6
    assert np.exp(np.log(peaked).mean()) / peaked.mean() < 0.1


@BOTH
def test_gain_shifts_every_log_energy_alike(msf):
    samples = noise(msf, 1.5)
    plain = frames_of(msf, samples).astype(np.float64)
    for gain in (0.2, 0.5, 7.0):
        loud = frames_of(msf, gain * samples).astype(np.float64)
        above = np.minimum(loud, plain) > np.log(1e4 * msf.floor)
        assert above.mean() > 0.8, gain
        assert (loud - plain)[above] == pytest.approx(2 * np.log(gain), abs=3e-4)


@BOTH
def test_gain_leaves_normalised_energies_unchanged(msf):
    msf, samples = dataclasses.replace(msf, floor=1e-30), noise(msf, 1.5)
    loud, plain = (energies_of(msf, g * samples) for g in (0.02, 1))
    loud, plain = (e / e.sum(axis=(1, 2), keepdims=True) for e in (loud, plain))
    assert relative_error(loud, plain) <= 1e-5


@BOTH
def test_delay_by_a_hop_shifts_frames_by_one(msf):
    samples = noise(msf, 1.5)
    later = np.concatenate([np.zeros(msf.hop_length), samples])
    frames, shifted = frames_of(msf, samples), frames_of(msf, later)
    assert len(shifted) == len(frames) + 1
    assert relative_error(shifted[1:], frames) <= 1e-5


def test_warmup_is_that_of_the_slowest_filter():
    assert PAPER.warmup_frames == 18
    assert GRID_16.warmup_frames == 69
    assert Msf(modulation_low_hz=8.0).warmup_frames == 9


@BOTH
def test_silence_lies_on_the_floor(msf):
    frames = frames_of(msf, np.zeros(msf.rate_hz))
    assert np.all(frames == np.float32(np.log(msf.floor)))


@BOTH
def test_a_constant_ends_on_the_floor(msf):
    frames = frames_of(msf, np.full(6 * msf.rate_hz, 0.5))
    assert frames[-1] == pytest.approx(np.log(msf.floor), abs=0.01)


@BOTH
def test_silence_after_sound_ends_exactly_on_the_floor(msf):
    samples = np.concatenate([noise(msf, 1), np.zeros(40 * msf.rate_hz)])
    stream = msf.stream()
    last = [stream.push(chunk) for chunk in np.array_split(samples, 41)][-1]
    assert np.all(last == np.float32(np.log(msf.floor)))


def test_states_in_silence_hold_no_denormal_numbers():
    stream_state = PAPER.step(Signal(noise(PAPER, 0.256).astype(np.float32), 8000), None)[1]
    silence = Signal(np.zeros(PAPER.sample_count(40), np.float32), 8000)
    for _ in range(20):
        stream_state = PAPER.step(silence, stream_state)[1]
        filters = np.concatenate([stream_state.gammatone.ravel(), stream_state.modulation.ravel()])
        assert not np.any((filters != 0) & (np.abs(filters) < np.finfo(np.float64).tiny))
    assert not filters.any()


def test_audio_at_another_rate_is_refused():
    with pytest.raises(SertkError, match="expects audio at 8000 Hz, received 16000 Hz"):
        PAPER.frames(Signal(np.zeros(16000, np.float32), 16000))


@pytest.mark.parametrize(
    "msf",
    [
        Msf(frame_length=8 * 1200, hop_length=8 * 400),
        Msf(frame_length=8 * 7, hop_length=8 * 7),
        Msf(frame_length=8 * 256, hop_length=8 * 15),
        Msf(frame_length=8, hop_length=8, n_acoustic=1, n_modulation=1),
    ],
    ids=["frames beyond a piece", "no overlap", "one millisecond in common", "smallest"],
)
def test_unusual_grids_agree_with_a_loop_over_frames(msf):
    """Frames of 1 ms cut from the same filters add up, weighted, to frames of any length."""
    samples = noise(msf, 3)
    frame_ms, hop_ms = msf.frame_length // 8, msf.hop_length // 8
    fine = Msf(
        frame_length=8,
        hop_length=8,
        n_acoustic=msf.n_acoustic,
        n_modulation=msf.n_modulation,
        floor=1e-30,
    )
    squares = np.exp(frames_of(fine, samples).astype(np.float64)) / 0.08**2
    weights = np.hamming(frame_ms + 1)[:-1] ** 2
    expected = [
        np.log(weights @ squares[start : start + frame_ms] + msf.floor)
        for start in range(0, len(squares) - frame_ms + 1, hop_ms)
    ]
    assert relative_error(frames_of(msf, samples), np.array(expected)) <= 1e-4


WRONG = (
    ({"rate_hz": 11025}, "rate_hz must be a multiple of 1000, received 11025"),
    ({"rate_hz": 0}, "multiple of 1000"),
    ({"frame_length": 2047}, "frame_length must be whole milliseconds"),
    ({"hop_length": 100}, "hop_length must be whole milliseconds"),
    ({"hop_length": 0}, "hop_length must be whole milliseconds"),
    ({"hop_length": 4096}, "hop_length must not exceed frame_length"),
    ({"high_hz": 8000.0}, "high_hz must not exceed half the rate .4000 Hz., received 8000"),
    ({"low_hz": 0.0}, "low_hz must lie between 0 and high_hz"),
    ({"low_hz": 4000.0}, "low_hz must lie between 0 and high_hz"),
    ({"modulation_high_hz": 500.0}, "between 0 and 500 Hz"),
    ({"modulation_low_hz": 65.0}, "between 0 and 500 Hz"),
    ({"n_acoustic": 0}, "n_acoustic must be above 0"),
    ({"q": 0.0}, "q must be above 0"),
    ({"floor": 0.0}, "floor must be above 0"),
    ({"floor": float("nan")}, "floor must be above 0"),
)


def test_wrong_parameters_are_refused():
    for params, message in WRONG:
        with pytest.raises(ValueError, match=message):
            Msf(**params)
        with pytest.raises(SertkError, match=message):
            from_spec({"name": "msf", **params}, {"msf": PAPER}.__getitem__)


def test_step_looks_at_new_samples_alone():
    samples = noise(PAPER, 1.3).astype(np.float32)
    _, state = PAPER.step(Signal(samples[: PAPER.frame_length], PAPER.rate_hz), None)
    following = samples[PAPER.hop_length :][: PAPER.frame_length]
    expected, _ = PAPER.step(Signal(following, PAPER.rate_hz), state)
    spoilt = following.copy()
    spoilt[: PAPER.frame_length - PAPER.hop_length] = np.nan
    found, _ = PAPER.step(Signal(spoilt, PAPER.rate_hz), state)
    assert np.array_equal(found, expected)


def test_streams_do_not_disturb_each_other():
    samples = noise(PAPER, 1.3).astype(np.float32)
    expected = PAPER.frames(Signal(samples, PAPER.rate_hz))
    one, other = PAPER.stream(), PAPER.stream()
    found = []
    for start in range(0, len(samples), 700):
        found.append(one.push(samples[start : start + 700]))
        other.push(-3 * samples[start : start + 500])
    assert relative_error(np.vstack(found), expected) <= 1e-5


def test_long_audio_needs_little_memory():
    samples = noise(GRID_16, 60).astype(np.float32)
    GRID_16.frames(Signal(samples[:16000], 16000))
    tracemalloc.start()
    frames = GRID_16.frames(Signal(samples, 16000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6 + 4 * frames.nbytes
