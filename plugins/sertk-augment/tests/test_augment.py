"""Stretch and pitch: the factor is measured, the result is librosa's own."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from ser_toolkit import SertkError, configure
from sertk_augment import NotebookPitch, Pitch, Stretch

RATE_HZ = 16_000


def tone(f0_hz: float = 200.0, n_samples: int = 2 * RATE_HZ) -> np.ndarray:
    phase = 2 * np.pi * f0_hz * np.arange(n_samples) / RATE_HZ
    return (0.2 * sum(np.sin(k * phase) / k for k in range(1, 6))).astype(np.float32)


def f0_hz(samples: np.ndarray) -> float:
    found = librosa.yin(samples, fmin=60, fmax=600, sr=RATE_HZ, frame_length=2048)
    return float(np.median(found[4:-4]))


def test_another_generator_gives_other_audio() -> None:
    for augmenter in (Stretch(rate_max=1.25), Pitch()):
        outs = [augmenter.augment(tone(), RATE_HZ, np.random.default_rng(s)) for s in (1, 2)]
        assert not np.array_equal(*outs), augmenter


def test_stretch_changes_tempo_and_keeps_pitch() -> None:
    x = tone()
    for rate in (0.8, 1.0, 1.25):
        out = Stretch(rate_min=rate, rate_max=rate).augment(x, RATE_HZ, np.random.default_rng(0))
        assert len(out) == pytest.approx(len(x) / rate, abs=1)
        assert f0_hz(out) == pytest.approx(200.0, rel=0.01), rate


def test_pitch_changes_pitch_and_keeps_tempo() -> None:
    x = tone()
    for semitones in (-3.0, 0.7, 4.0):
        out = NotebookPitch(semitones).augment(x, RATE_HZ, np.random.default_rng(0))
        assert len(out) == len(x)
        assert f0_hz(out) == pytest.approx(200.0 * 2 ** (semitones / 12), rel=0.01), semitones


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


def test_impossible_rates_are_user_errors() -> None:
    for low, high in ((0.0, 1.0), (1.2, 0.8)):
        with pytest.raises(SertkError, match="rate_min"):
            configure(Stretch(), {"rate_min": low, "rate_max": high})
