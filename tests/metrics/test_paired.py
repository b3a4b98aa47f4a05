"""Paired differences, and the threshold below which an answer is uncertain."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.metrics.calibration import calibration_error, chow_threshold
from ser_toolkit.metrics.paired import compare, headline_metrics, paired_intervals
from ser_toolkit.metrics.scores import Scores

LABELS = ("anger", "fear", "joy")


def scores(seed: int, n: int = 90, speakers: int = 6, spread: float = 1.0) -> Scores:
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % len(LABELS)
    logits = spread * rng.standard_normal((n, 3)) + np.eye(3)[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    clips = tuple(
        Utterance(
            Clip(Path(), f"{i}.wav", "c", LABELS[truth[i]], f"s{i % speakers}"), f"{i:064x}", 1
        )
        for i in range(n)
    )
    return Scores(clips, LABELS, truth, probabilities.astype(np.float32))


def test_metrics_equal_scikit_learn() -> None:
    from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

    some = scores(0)
    found = headline_metrics(some)
    assert found["uar"] == pytest.approx(balanced_accuracy_score(some.truth, some.predicted))
    assert found["wa"] == pytest.approx(accuracy_score(some.truth, some.predicted))
    recall = recall_score(some.truth, some.predicted, average=None)
    assert list(found["recall"].values()) == pytest.approx(recall)


def test_a_system_differs_from_itself_by_nothing() -> None:
    found = compare(scores(1), scores(1))
    assert found["agreement"] == 1
    assert found["difference"]["uar"] == found["difference"]["calibration_error"] == 0
    for key in ("uar", "wa", "calibration_error"):
        assert found["ci95"][key] == [0, 0]


@pytest.mark.parametrize("speakers", [6, 1])
def test_intervals_equal_a_bootstrap_written_out(speakers: int) -> None:
    """Speakers (or the clips of a single one) are drawn, and both systems scored on the draw."""
    old, new = scores(2, speakers=speakers), scores(3, speakers=speakers)
    names = np.array([item.speaker for item in old.utterances])
    groups = [np.flatnonzero(names == name) for name in np.unique(names)]
    if len(groups) == 1:
        groups = [np.array([i]) for i in range(len(names))]
    rng = np.random.default_rng(5)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), 300)
    wanted: dict[str, list[float]] = {"uar": [], "wa": [], "calibration_error": []}
    for draw in draws:
        chosen = np.concatenate(
            [np.repeat(g, times) for g, times in zip(groups, draw, strict=True)]
        )
        pair = [
            Scores(
                tuple(one.utterances[i] for i in chosen),
                LABELS,
                one.truth[chosen],
                one.probabilities[chosen],
            )
            for one in (old, new)
        ]
        for key in ("uar", "wa"):
            wanted[key].append(headline_metrics(pair[1])[key] - headline_metrics(pair[0])[key])
        errors = [calibration_error(one.probabilities, one.truth) for one in pair]
        wanted["calibration_error"].append(errors[1] - errors[0])
    found = paired_intervals(old, new, seed=5, resamples=300)
    assert found["clusters"] == ("speaker" if speakers > 1 else "clip")
    for key, values in wanted.items():
        assert found[key] == pytest.approx(np.quantile(values, (0.025, 0.975)), abs=1e-6)


def test_a_class_that_does_not_occur_has_no_recall() -> None:
    old, new = scores(6), scores(7)
    here = np.flatnonzero(old.truth != 1)
    some = [
        Scores(tuple(s.utterances[i] for i in here), LABELS, s.truth[here], s.probabilities[here])
        for s in (old, new)
    ]
    found = compare(*some)
    assert np.isnan(found["recall"]["fear"]) and np.isnan(found["ci95"]["recall"]["fear"]).all()
    assert np.isfinite(found["ci95"]["uar"]).all()


def test_a_worse_system_is_shown_to_be_worse() -> None:
    good, bad = scores(4, n=600, spread=0.3), scores(4, n=600, spread=3.0)
    found = compare(good, bad)
    assert found["difference"]["uar"] < -0.2
    assert found["ci95"]["uar"][1] < 0


def _errors(some: Scores, threshold: float) -> int:
    confidence, right = some.probabilities.max(axis=1), some.predicted == some.truth
    given = confidence >= threshold
    return int((given & ~right).sum() + (~given & right).sum())


@pytest.mark.parametrize("seed", range(5))
def test_no_other_threshold_makes_fewer_errors(seed: int) -> None:
    some = scores(seed, spread=2.0)
    threshold = chow_threshold(some.probabilities, some.truth)
    assert 0 <= threshold <= 0.9
    others = np.linspace(0, 0.9, 400)
    assert _errors(some, threshold) <= min(_errors(some, float(t)) for t in others)


def test_a_perfect_system_is_never_uncertain() -> None:
    some: Any = scores(0)
    perfect = Scores(some.utterances, LABELS, some.truth, np.eye(3, dtype=np.float32)[some.truth])
    assert chow_threshold(perfect.probabilities, perfect.truth) == 0
