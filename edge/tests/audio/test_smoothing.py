"""Averages, hysteresis, minimum duration, refractory time, uncertainty, ends."""

from __future__ import annotations

import math

import numpy as np
import pytest

from sertk_edge.audio.smoothing import Smoother, StateChange, WindowPrediction
from sertk_edge.settings import SmoothingSettings

LABELS = ("anger", "joy", "sadness")
SHARP = {"tau_s": 0.0, "hysteresis": 0.0, "min_duration_s": 0.0, "refractory_s": 0.0}


def smoother(**settings: float) -> Smoother:
    return Smoother(LABELS, SmoothingSettings(**{**SHARP, **settings}), 0.4)


def update(one: Smoother, end_s: float, *p: float, length_s: float = 3.0) -> StateChange | None:
    start_s = max(0.0, end_s - length_s)
    return one.update(WindowPrediction(start_s, end_s, np.array(p, np.float32), -20.0))


def brief(change: StateChange | None) -> tuple[str, str] | None:
    return None if change is None else (change.kind, change.label)


def test_the_first_judgement_starts_an_emotion() -> None:
    one = smoother()
    change = update(one, 3, 0.7, 0.2, 0.1)
    assert change is not None and brief(change) == ("started", "anger")
    assert (change.offset_s, change.level_dbfs, one.label) == (3, -20, "anger")
    assert update(one, 3.5, 0.7, 0.2, 0.1) is None


def test_another_emotion_is_a_change() -> None:
    one = smoother()
    update(one, 3, 0.7, 0.2, 0.1)
    assert brief(update(one, 3.5, 0.2, 0.7, 0.1)) == ("changed", "joy")


def test_too_little_confidence_is_uncertain() -> None:
    one = smoother()
    assert brief(update(one, 3, 0.35, 0.33, 0.32)) == ("started", "uncertain")
    assert brief(update(one, 4, 0.1, 0.8, 0.1)) == ("changed", "joy")
    assert brief(update(one, 5, 0.35, 0.33, 0.32)) == ("changed", "uncertain")


def test_own_threshold_goes_before_that_of_the_bundle() -> None:
    assert brief(update(smoother(uncertain_below=0.9), 3, 0.8, 0.1, 0.1)) == (
        "started",
        "uncertain",
    )
    assert brief(update(smoother(uncertain_below=0.0), 3, 0.34, 0.33, 0.33)) == (
        "started",
        "anger",
    )


def test_hysteresis_keeps_what_is_there() -> None:
    one = smoother(hysteresis=0.1)
    update(one, 3, 0.55, 0.40, 0.05)
    assert update(one, 4, 0.46, 0.50, 0.04) is None
    assert brief(update(one, 5, 0.40, 0.55, 0.05)) == ("changed", "joy")


def test_hysteresis_keeps_a_label_that_sinks_a_little() -> None:
    one = smoother(hysteresis=0.1)
    update(one, 3, 0.45, 0.30, 0.25)
    assert update(one, 4, 0.35, 0.33, 0.32) is None
    assert brief(update(one, 5, 0.29, 0.36, 0.35)) == ("changed", "uncertain")


def test_the_average_is_exponential_in_time() -> None:
    one = smoother(tau_s=2.0)
    update(one, 3, 1, 0, 0)
    update(one, 4.5, 0, 1, 0)
    assert one.probabilities is not None
    expected = math.exp(-1.5 / 2)
    assert one.probabilities.tolist() == pytest.approx([expected, 1 - expected, 0])


def test_steps_of_any_length_average_alike() -> None:
    coarse, fine = smoother(tau_s=2.0), smoother(tau_s=2.0)
    for one, step in ((coarse, 1.0), (fine, 0.25)):
        update(one, 3, 1, 0, 0)
        for index in range(1, round(2 / step) + 1):
            update(one, 3 + index * step, 0, 1, 0)
    assert coarse.probabilities is not None and fine.probabilities is not None
    assert coarse.probabilities == pytest.approx(fine.probabilities)


def test_a_label_must_last() -> None:
    one = smoother(min_duration_s=1.0)
    assert update(one, 0.6, 0.9, 0.1, 0) is None
    assert brief(update(one, 1.1, 0.9, 0.1, 0)) == ("started", "anger")
    assert update(one, 1.6, 0.1, 0.9, 0) is None
    assert update(one, 2.1, 0.9, 0.1, 0) is None
    assert update(one, 2.6, 0.1, 0.9, 0) is None
    assert brief(update(one, 3.1, 0.1, 0.9, 0)) == ("changed", "joy")


def test_overlap_speaks_once() -> None:
    one = smoother(min_duration_s=3.2)
    assert update(one, 3.0, 0.9, 0.1, 0) is None
    assert update(one, 3.1, 0.9, 0.1, 0) is None
    assert brief(update(one, 3.3, 0.9, 0.1, 0)) == ("started", "anger")


def test_after_a_change_there_is_rest() -> None:
    one = smoother(refractory_s=2.0)
    update(one, 3, 0.9, 0.1, 0)
    assert update(one, 4, 0.1, 0.9, 0) is None
    assert brief(update(one, 5, 0.1, 0.9, 0)) == ("changed", "joy")


def test_silence_ends_an_emotion_once() -> None:
    one = smoother(end_after_s=2.0)
    update(one, 3, 0.9, 0.1, 0)
    assert one.silence(4.9) is None
    ended = one.silence(5.0)
    assert ended is not None and (ended.kind, ended.label, ended.offset_s) == ("ended", "anger", 5)
    assert ended.probabilities.tolist() == pytest.approx([0.9, 0.1, 0])
    assert one.silence(6.0) is None and one.label is None and one.probabilities is None


def test_what_was_predicted_before_a_silence_is_forgotten_after_it() -> None:
    one = smoother(tau_s=100.0)
    update(one, 3, 1, 0, 0)
    one.silence(9)
    assert brief(update(one, 12, 0, 1, 0)) == ("started", "joy")


def test_the_end_ends_it_too() -> None:
    one = smoother()
    assert one.finish(1.0) is None
    update(one, 3, 0.9, 0.1, 0)
    assert brief(one.finish(3.2)) == ("ended", "anger")
