"""The level of speech: that of the frames that are no pause."""

from __future__ import annotations

import math

import numpy as np
import pytest

from ser_toolkit.runtime.audio.level import speech_level

RATE_HZ = 16_000


def tone(seconds: float, amplitude: float) -> np.ndarray:
    times = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    return (amplitude * np.sin(2 * np.pi * 250 * times)).astype(np.float32)


def test_pauses_do_not_count() -> None:
    expected = 20 * math.log10(0.2 / math.sqrt(2))
    for pause_s in (0.0, 0.5, 4.0, 20.0):
        quiet = tone(pause_s, 0.001)
        samples = np.concatenate([quiet, tone(1.0, 0.2), quiet])
        assert speech_level(samples, RATE_HZ) == pytest.approx(expected, abs=0.5), pause_s


def test_it_follows_the_gain_and_has_a_floor() -> None:
    samples = np.concatenate([tone(0.7, 0.3), tone(0.4, 0.15)])
    loud = speech_level(samples, RATE_HZ)
    for gain_db in (-40.0, -6.0, 6.0):
        scaled = samples * np.float32(10 ** (gain_db / 20))
        assert speech_level(scaled, RATE_HZ) == pytest.approx(loud + gain_db, abs=0.01)
    for nothing in (np.zeros(0), np.zeros(3), np.zeros(RATE_HZ)):
        assert speech_level(nothing.astype(np.float32), RATE_HZ) == -90
    assert speech_level(tone(0.01, 0.5), RATE_HZ) > -12
