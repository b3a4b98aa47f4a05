"""Metrics against scikit-learn and slow direct formulas."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics as reference

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.metrics.calibration import calibration_error, fit_temperature
from ser_toolkit.metrics.scores import (
    Scores,
    compute_metrics,
    intervals,
    macro_f1,
    recalls,
    uar,
)

LABELS = ("anger", "fear", "neutral", "sadness")


def make_scores(n: int = 120, speakers: int = 5, seed: int = 0) -> Scores:
    rng = np.random.default_rng(seed)
    truth = rng.integers(len(LABELS), size=n)
    logits = rng.normal(size=(n, len(LABELS))) + 1.5 * np.eye(len(LABELS))[truth]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    utterances = tuple(
        Utterance(Clip(Path("x"), f"{i}.wav", "c", LABELS[t], f"s{i % speakers}"), f"{i:064x}", 1.0)
        for i, t in enumerate(truth)
    )
    return Scores(utterances, LABELS, truth, probabilities.astype(np.float32))


def test_metrics_equal_scikit_learn() -> None:
    scores = make_scores()
    metrics = compute_metrics(scores)
    truth, prediction = scores.truth, scores.predicted
    assert metrics["uar"] == pytest.approx(reference.balanced_accuracy_score(truth, prediction))
    assert metrics["wa"] == pytest.approx(reference.accuracy_score(truth, prediction))
    assert metrics["macro_f1"] == pytest.approx(
        reference.f1_score(truth, prediction, average="macro")
    )
    assert metrics["loss"] == pytest.approx(
        reference.log_loss(truth, scores.probabilities), rel=1e-5
    )
    assert metrics["confusion"] == reference.confusion_matrix(truth, prediction).tolist()
    table = reference.classification_report(
        truth, prediction, target_names=LABELS, output_dict=True
    )
    for label in LABELS:
        for ours, theirs in (("precision",) * 2, ("recall",) * 2, ("f1", "f1-score")):
            assert metrics["per_class"][label][ours] == pytest.approx(table[label][theirs])
    for key in ("precision", "recall"):
        assert metrics["weighted"][key] == pytest.approx(table["weighted avg"][key])
        assert metrics["macro"][key] == pytest.approx(table["macro avg"][key])


def test_a_class_that_never_occurs_does_not_count() -> None:
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    assert uar(counts) == pytest.approx((0.75 + 1.0) / 2)
    assert np.isnan(recalls(counts)[2])
    assert macro_f1(counts) == pytest.approx((2 * 3 / 7 + 2 * 4 / 9) / 2)


def test_calibration_error_by_hand() -> None:
    probabilities = np.array([[0.95, 0.05], [0.95, 0.05], [0.65, 0.35], [0.35, 0.65]], np.float32)
    truth = np.array([0, 1, 0, 0])
    expected = 0.5 * abs(0.5 - 0.95) + 0.5 * abs(0.5 - 0.65)
    assert calibration_error(probabilities, truth) == pytest.approx(expected, abs=1e-6)


def test_intervals_draw_speakers_as_a_slow_loop_does() -> None:
    scores = make_scores(n=200, speakers=6)
    found = intervals(scores, seed=3)
    assert found["clusters"] == "speaker" and found["groups"] == 6
    rng = np.random.default_rng(9)
    names = np.array([item.speaker for item in scores.utterances])
    draws = []
    for _ in range(2000):
        picked = rng.choice(np.unique(names), 6)
        index = np.concatenate([np.flatnonzero(names == name) for name in picked])
        draws.append(
            reference.balanced_accuracy_score(scores.truth[index], scores.predicted[index])
        )
    assert found["uar"] == pytest.approx(np.quantile(draws, (0.025, 0.975)), abs=0.02)
    assert found["uar"][0] <= compute_metrics(scores)["uar"] <= found["uar"][1]


def test_one_speaker_gives_intervals_over_clips_and_says_so() -> None:
    found = intervals(make_scores(n=60, speakers=1))
    assert found["clusters"] == "clip" and found["groups"] == 60
    assert found["uar"][0] < found["uar"][1]


def test_the_temperature_minimises_the_loss() -> None:
    scores = make_scores(n=300)
    sharp = np.log(scores.probabilities) * 2.5
    sharp = np.exp(sharp) / np.exp(sharp).sum(1, keepdims=True)
    windows = [row[None].astype(np.float32) for row in sharp]
    found = fit_temperature(windows, scores.truth)

    def loss(temperature: float) -> float:
        cooled = np.exp(np.log(sharp) / temperature)
        cooled /= cooled.sum(1, keepdims=True)
        return float(reference.log_loss(scores.truth, cooled))

    grid = np.exp(np.linspace(np.log(0.25), np.log(4), 400))
    best = grid[np.argmin([loss(temperature) for temperature in grid])]
    assert found == pytest.approx(best, rel=0.02)
    assert loss(found) < loss(1.0)


def test_each_corpus_of_several_has_its_own_uar() -> None:
    scores = make_scores()
    names = np.array(["c", "d", "d"] * 40)
    pooled = tuple(
        replace(u, clip=replace(u.clip, corpus=name))
        for u, name in zip(scores.utterances, names, strict=True)
    )
    found = compute_metrics(replace(scores, utterances=pooled))["per_corpus"]
    assert list(found) == ["c", "d"]
    for name, row in found.items():
        own = names == name
        truth, prediction = scores.truth[own], scores.predicted[own]
        assert row["uar"] == pytest.approx(reference.balanced_accuracy_score(truth, prediction))
        assert row["wa"] == pytest.approx(reference.accuracy_score(truth, prediction))
        assert row["clips"] == own.sum()
