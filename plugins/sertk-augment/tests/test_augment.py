"""Stretch and pitch: the factor is measured, the result is librosa's own."""

from __future__ import annotations

import subprocess
import sys

import librosa
import numpy as np
import pluggy
import pytest

import sertk_augment
from ser_toolkit import SertkError, configure, from_spec, hookspecs, to_spec
from sertk_augment import NotebookPitch, Pitch, Stretch

RATE_HZ = 16_000
ALL = [Stretch(), Pitch(), Stretch(rate_min=0.8, rate_max=1.25), NotebookPitch()]


def tone(f0_hz: float = 200.0, n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    phase = 2 * np.pi * f0_hz * np.arange(n_samples) / RATE_HZ
    return (0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)


def f0_hz(samples: np.ndarray) -> float:
    found = librosa.yin(samples, fmin=60, fmax=600, sr=RATE_HZ, frame_length=2048)
    return float(np.median(found[4:-4]))


SIGNALS = {
    "tone": tone(),
    "silence": np.zeros(8000, np.float32),
    "dc": np.full(8000, 0.5, np.float32),
    "full scale": np.sign(np.sin(np.arange(8000) / 20)).astype(np.float32),
    "one sample": np.array([0.25], np.float32),
    "short": tone(n_samples=500),
}


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("augmenter", ALL, ids=str)
def test_any_signal_gives_finite_float32_and_is_left_alone(augmenter, signal: str) -> None:
    samples = SIGNALS[signal].copy()
    samples.flags.writeable = False
    out = augmenter.augment(samples, RATE_HZ, np.random.default_rng(0))
    again = augmenter.augment(samples, RATE_HZ, np.random.default_rng(0))
    assert out.dtype == np.float32 and out.ndim == 1 and len(out) > 0
    assert np.isfinite(out).all()
    assert out.tobytes() == again.tobytes()
    assert not np.shares_memory(out, samples)
    assert np.array_equal(samples, SIGNALS[signal])


@pytest.mark.parametrize("augmenter", [Stretch(rate_max=1.25), Pitch()], ids=str)
def test_another_generator_gives_other_audio(augmenter) -> None:
    outs = [augmenter.augment(tone(), RATE_HZ, np.random.default_rng(s)) for s in (1, 2)]
    assert not np.array_equal(*outs)


@pytest.mark.parametrize("rate", [0.8, 1.0, 1.25])
def test_stretch_changes_tempo_and_keeps_pitch(rate: float) -> None:
    x = tone()
    out = Stretch(rate_min=rate, rate_max=rate).augment(x, RATE_HZ, np.random.default_rng(0))
    assert len(out) == pytest.approx(len(x) / rate, abs=1)
    assert f0_hz(out) == pytest.approx(200.0, rel=0.01)


@pytest.mark.parametrize("semitones", [-3.0, 0.7, 4.0])
def test_pitch_changes_pitch_and_keeps_tempo(semitones: float) -> None:
    x = tone()
    out = NotebookPitch(semitones).augment(x, RATE_HZ, np.random.default_rng(0))
    assert len(out) == len(x)
    assert f0_hz(out) == pytest.approx(200.0 * 2 ** (semitones / 12), rel=0.01)


def test_pitch_draws_within_its_bounds() -> None:
    x = tone(n_samples=12_000)
    steps = [
        12 * np.log2(f0_hz(Pitch(2.0).augment(x, RATE_HZ, np.random.default_rng(s))) / 200)
        for s in range(15)
    ]
    assert -2.2 < min(steps) < -0.7 and 0.7 < max(steps) < 2.2


def test_the_notebooks_forms_are_librosas() -> None:
    x, rng = tone(), np.random.default_rng(0)
    assert np.array_equal(
        Stretch().augment(x, RATE_HZ, rng), librosa.effects.time_stretch(x, rate=0.8)
    )
    assert np.array_equal(
        NotebookPitch().augment(x, RATE_HZ, rng),
        librosa.effects.pitch_shift(x, sr=RATE_HZ, n_steps=0.7),
    )


@pytest.mark.parametrize("rates", [(0.0, 1.0), (1.2, 0.8)])
def test_impossible_rates_are_user_errors(rates: tuple[float, float]) -> None:
    with pytest.raises(SertkError, match="rate_min"):
        configure(Stretch(), {"rate_min": rates[0], "rate_max": rates[1]})


@pytest.mark.parametrize("augmenter", ALL, ids=str)
def test_fields_are_the_whole_state(augmenter) -> None:
    half = configure(augmenter, {"p": 0.5})
    assert from_spec(to_spec(half), lambda name: augmenter) == half


def test_the_host_gets_all() -> None:
    host = pluggy.PluginManager(hookspecs.GROUP)
    host.add_hookspecs(hookspecs)
    host.register(sertk_augment)
    host.check_pending()
    offered = [augmenter.name for offer in host.hook.sertk_augmenters() for augmenter in offer]
    assert offered == ["stretch", "pitch", "notebook_pitch"]


def test_importing_the_plugin_does_not_import_librosa() -> None:
    code = "import sertk_augment, sys; print([m for m in ('librosa', 'scipy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
