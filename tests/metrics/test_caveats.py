"""Few and absent test clips are said, and an absent class has no recall."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.metrics.caveats import caveats_of
from ser_toolkit.metrics.paired import compare
from ser_toolkit.metrics.scores import Scores, compute_metrics

LABELS = ("anger", "fear", "neutral", "sadness")


def clips(numbers: dict[str, int], speakers: int = 6) -> list[Utterance]:
    emotions = [emotion for emotion, number in numbers.items() for _ in range(number)]
    return [
        Utterance(Clip(Path("x"), f"{n}.wav", "c", emotion, f"s{n % speakers}"), f"{n:064x}", 1.0)
        for n, emotion in enumerate(emotions)
    ]


def test_enough_clips_have_no_caveat() -> None:
    assert caveats_of(clips(dict.fromkeys(LABELS, 8)), LABELS) == []


def test_an_absent_class_is_named_first() -> None:
    absent, small = caveats_of(clips({"fear": 8, "neutral": 30, "sadness": 4}, 3), LABELS)
    assert absent == "anger has no test clip: UAR is over 3 of 4 classes"
    assert "(3 speakers, 4 of sadness)" in small
    (both,) = caveats_of(clips({"fear": 20, "neutral": 20}), LABELS)
    assert both == "anger and sadness have no test clip: UAR is over 2 of 4 classes"


def test_one_test_clip_is_few() -> None:
    tested = clips({"fear": 1}, 1)
    assert "(1 clips, 1 speaker, 1 of fear)" in caveats_of(tested, ("fear",))[0]


def scores(truth: list[int], predicted: list[int]) -> Scores:
    tested = clips({"fear": len(truth)})
    return Scores(tuple(tested), LABELS, np.array(truth), np.eye(4, dtype=np.float32)[predicted])


def test_an_absent_class_has_no_recall() -> None:
    metrics = compute_metrics(scores([1, 1, 2, 2], [1, 0, 2, 2]))
    classes = metrics["per_class"]
    # Predicted once, wrongly: a precision, and no recall.
    assert classes["anger"] == {"precision": 0.0, "recall": None, "f1": 0.0, "support": 0}
    assert classes["sadness"] == {"precision": None, "recall": None, "f1": None, "support": 0}
    assert classes["fear"]["recall"] == 0.5
    assert metrics["uar"] == pytest.approx(0.75)
    assert metrics["macro"]["precision"] == pytest.approx(2 / 3)
    assert metrics["weighted"]["recall"] == pytest.approx(0.75)


def test_a_comparison_has_no_difference_of_an_absent_class() -> None:
    found = compare(scores([1, 1, 2], [1, 0, 2]), scores([1, 1, 2], [1, 1, 2]))
    assert np.isnan(found["difference"]["recall"]["anger"])
    assert found["difference"]["recall"]["fear"] == 0.5
