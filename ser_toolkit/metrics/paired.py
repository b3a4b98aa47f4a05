"""Compare two systems on the same clips: paired differences with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from .calibration import BINS, F64, I64, calibration_error, confidence_bins
from .scores import RESAMPLES, Scores, confusion, recalls, uar


def headline_metrics(scores: Scores) -> dict[str, Any]:
    """Return UAR, accuracy, recalls and calibration error of one system."""
    recall = recalls(scores.confusion)
    return {
        "uar": uar(scores.confusion),
        "wa": scores.accuracy,
        "loss": scores.loss,
        "calibration_error": calibration_error(scores.probabilities, scores.truth),
        "recall": dict(zip(scores.labels, map(float, recall), strict=True)),
        "clips": len(scores.truth),
    }


def compare(reference: Scores, other: Scores, seed: int = 0) -> dict[str, Any]:
    """Return the metrics of `other`, and its differences to `reference` with 95 % intervals.

    Args:
        reference: Scores to compare with.
        other: Scores of the same utterances.
        seed: Seed of the bootstrap.
    """
    old, new = headline_metrics(reference), headline_metrics(other)
    keys = ("uar", "wa", "calibration_error")
    return {
        **new,
        "agreement": float((reference.predicted == other.predicted).mean()),
        "difference": {key: new[key] - old[key] for key in keys}
        | {"recall": {k: new["recall"][k] - old["recall"][k] for k in new["recall"]}},
        "ci95": paired_intervals(reference, other, seed),
    }


def paired_intervals(
    reference: Scores, other: Scores, seed: int = 0, resamples: int = RESAMPLES
) -> dict[str, Any]:
    """Return 95 % bootstrap intervals of the differences of UAR, accuracy, ECE and recalls.

    Both systems are drawn together, by speaker where there are two or more and else by clip: a
    speaker who is hard for both does not count as a difference.

    Args:
        reference: Scores to compare with.
        other: Scores of the same utterances.
        seed: Seed of the draws.
        resamples: Number of draws.
    """
    rng = np.random.default_rng(seed)
    groups, clusters = _groups(reference)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), resamples)
    old, new = (_sums(scores, groups, draws) for scores in (reference, other))
    bounds = {key: _bounds(new[key] - old[key]) for key in ("uar", "wa", "calibration_error")}
    recall = new["recall"] - old["recall"]
    per_class = {label: _bounds(recall[:, i]) for i, label in enumerate(reference.labels)}
    return {**bounds, "recall": per_class, "clusters": clusters, "groups": len(groups)}


def _groups(scores: Scores) -> tuple[list[I64], str]:
    """Return the indices of the clips that are drawn together, and what they have in common."""
    speakers = np.array([item.speaker or "unknown" for item in scores.utterances])
    names = np.unique(speakers)
    if len(names) > 1:
        return [np.flatnonzero(speakers == name) for name in names], "speaker"
    return [np.array([index]) for index in range(len(speakers))], "clip"


def _sums(scores: Scores, groups: list[I64], draws: Any) -> Mapping[str, F64]:
    """Return the metrics (resamples, …) of each draw of groups."""
    n = len(scores.labels)
    counts = np.stack([confusion(scores.truth[g], scores.predicted[g], n) for g in groups])
    drawn = np.tensordot(draws, counts, axes=1)
    clips = drawn.sum(axis=(-2, -1))
    return {
        "uar": np.nanmean(recalls(drawn), axis=-1),
        "wa": np.trace(drawn, axis1=-2, axis2=-1) / clips,
        "recall": recalls(drawn),
        "calibration_error": _calibration(scores, groups, draws) / clips,
    }


def _calibration(scores: Scores, groups: list[I64], draws: Any) -> F64:
    """Sum |hits - confidence| over the bins: the calibration error of each draw times its clips."""
    confidence = scores.probabilities.max(axis=1).astype(np.float64)
    correct = (scores.predicted == scores.truth).astype(np.float64)
    bins = confidence_bins(confidence)
    gaps = np.stack([np.bincount(bins[g], (correct - confidence)[g], BINS) for g in groups])
    total: F64 = np.abs(draws @ gaps).sum(axis=-1)
    return total


def _bounds(values: F64) -> list[float]:
    """Return the 2.5 % and 97.5 % quantiles; NaN where a class occurs in no draw."""
    if np.isnan(values).all():
        return [float("nan")] * 2
    return [float(edge) for edge in np.nanquantile(values, (0.025, 0.975))]
