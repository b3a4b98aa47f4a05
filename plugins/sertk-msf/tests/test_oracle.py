"""The features against slow, direct formulas: scipy's filters, an explicit loop over frames."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import hilbert, lfilter, sosfilt, sosfreqz

from ser_toolkit import Signal
from ser_toolkit.dsp import resample
from sertk_msf import Msf

PAPER = Msf()
GRID_16 = Msf(rate_hz=16000, frame_length=4096, hop_length=256)
VARIANTS = {
    "paper": PAPER,
    "16 kHz": GRID_16,
    "wide band": Msf(rate_hz=16000, frame_length=4096, hop_length=1024, high_hz=8000.0),
    "odd": Msf(
        rate_hz=11000,
        frame_length=11 * 250,
        hop_length=11 * 15,
        low_hz=90.0,
        high_hz=5000.0,
        n_acoustic=6,
        n_modulation=3,
        modulation_low_hz=2.0,
        modulation_high_hz=100.0,
        q=1.5,
        floor=1e-9,
    ),
}
CLIPS = ("03a01Fa", "08b01Fd", "13a05Wa", "16b10Wb")


def erb_hz(frequency_hz):
    return frequency_hz / 9.26449 + 24.7


def one_pole_envelope(samples, centre_hz, rate_hz):
    width = 2 * np.pi * 1.019 * erb_hz(centre_hz)
    pole = np.exp((-width + 2j * np.pi * centre_hz) / rate_hz)
    output = samples.astype(np.complex128)
    for _ in range(4):
        output = lfilter([1 - abs(pole)], [1, -pole], output)
    return 2 * np.abs(output)


def slaney_envelope(samples, centre_hz, rate_hz):
    """Four biquads with a real output (Apple technical report 35), then the Hilbert envelope."""
    step = 1 / rate_hz
    width = 2 * np.pi * 1.019 * erb_hz(centre_hz)
    cos, sin = np.cos(2 * np.pi * centre_hz * step), np.sin(2 * np.pi * centre_hz * step)
    decay = np.exp(-width * step)
    roots = [sign * np.sqrt(3 + inner * 2**1.5) for inner in (1, -1) for sign in (1, -1)]
    poles = [1, -2 * cos * decay, decay**2]
    stages = np.array([[step, -step * decay * (cos + root * sin), 0, *poles] for root in roots])
    stages[0, :3] /= np.abs(sosfreqz(stages, [centre_hz], fs=rate_hz)[1][0])
    return np.abs(hilbert(sosfilt(stages, samples)))


def modulation_band(envelope, frequency_hz, q):
    warped = np.tan(np.pi * frequency_hz / 1000)
    width = warped / q
    feedback = [1 + width + warped**2, 2 * warped**2 - 2, 1 - width + warped**2]
    return lfilter([width, 0, -width], feedback, envelope)


def reference(samples, msf, envelope_of=one_pole_envelope):
    """log(E + floor), (T, F), by the formulas of the paper."""
    per_ms = msf.rate_hz // 1000
    length, hop = msf.frame_length // per_ms, msf.hop_length // per_ms
    window = 0.54 - 0.46 * np.cos(2 * np.pi * np.arange(length) / length)
    ratio = msf.modulation_high_hz / msf.modulation_low_hz
    columns = []
    for centre_hz in msf.centre_hz:
        envelope = envelope_of(samples, centre_hz, msf.rate_hz)
        envelope = envelope[: len(envelope) // per_ms * per_ms].reshape(-1, per_ms).mean(axis=1)
        for j in range(msf.n_modulation):
            frequency_hz = msf.modulation_low_hz * ratio ** (j / (msf.n_modulation - 1))
            band = modulation_band(envelope, frequency_hz, msf.q)
            starts = range(0, len(band) - length + 1, hop)
            columns.append([np.sum((window * band[s : s + length]) ** 2) for s in starts])
    return np.log(np.array(columns).T + msf.floor)


def assert_agrees(frames, expected):
    assert frames.shape == expected.shape
    assert np.abs(frames - expected).max() <= 1e-5 * np.abs(expected).max()


def clip(data_dir: Path, name: str, rate_hz: int):
    samples, found_hz = soundfile.read(data_dir / "emodb" / "wav" / f"{name}.wav", dtype="float32")
    return resample(samples, found_hz, rate_hz)


def sounds(rate_hz):
    rng = np.random.default_rng(5)
    time_s = np.arange(int(1.7 * rate_hz) + 3) / rate_hz
    yield "noise", 0.1 * rng.standard_normal(len(time_s))
    yield "tone", np.sin(2 * np.pi * 1000 * time_s)
    yield "quiet", 1e-4 * rng.standard_normal(len(time_s))
    yield "clicks", (np.arange(len(time_s)) % 777 == 0).astype(float)
    yield "sweep", 0.5 * np.sin(2 * np.pi * 900 * time_s**2) * (time_s > 0.3)


@pytest.mark.parametrize("name", VARIANTS)
def test_synthetic_sound_agrees_with_direct_filters(name):
    msf = VARIANTS[name]
    for _, samples in sounds(msf.rate_hz):
        samples = samples.astype(np.float32)
        assert_agrees(msf.frames(Signal(samples, msf.rate_hz)), reference(samples, msf))


@pytest.mark.parametrize("msf", [PAPER, GRID_16], ids=["paper", "16 kHz"])
@pytest.mark.parametrize("name", CLIPS)
def test_speech_agrees_with_direct_filters(data_dir, name, msf):
    samples = clip(data_dir, name, msf.rate_hz)
    assert_agrees(msf.frames(Signal(samples, msf.rate_hz)), reference(samples, msf))


@pytest.mark.parametrize("name", ["paper", "16 kHz", "wide band"])
def test_envelopes_have_the_energy_of_slaneys_gammatone(name):
    from sertk_msf.filters import BlockFilter, gammatone

    msf = VARIANTS[name]
    samples = np.random.default_rng(6).standard_normal(4 * msf.rate_hz)
    bank = BlockFilter.build(gammatone(msf.centre_hz, msf.rate_hz), 16)
    outputs, _ = bank.apply(samples, bank.rest(), bank.room(len(samples) // 16))
    ours = np.square(outputs).sum(axis=(1, 2))
    theirs = [np.sum(slaney_envelope(samples, f, msf.rate_hz) ** 2) for f in msf.centre_hz]
    assert np.abs(10 * np.log10(ours / theirs)).max() < 0.25


@pytest.mark.parametrize("name", CLIPS[:2])
def test_speech_agrees_with_slaneys_gammatone_and_hilbert_envelope(data_dir, name):
    samples = clip(data_dir, name, PAPER.rate_hz)
    frames = PAPER.frames(Signal(samples, PAPER.rate_hz))
    expected = reference(samples, PAPER, slaney_envelope)
    difference_db = 10 / np.log(10) * (frames - expected)
    assert np.abs(difference_db.mean(axis=0)).max() < 0.5
    assert np.median(np.abs(difference_db)) < 0.01
