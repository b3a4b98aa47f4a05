"""Calibrate probabilities: expected calibration error, temperature, threshold of uncertainty."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..runtime.features.base import F32
from ..runtime.inference.inputs import utterance_score

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]

BINS = 10
SMALLEST = 1e-7
TEMPERATURES = (0.25, 4.0)
HIGHEST_THRESHOLD = 0.9


def calibration_error(probabilities: F32, truth: I64) -> float:
    """Return the expected calibration error over 10 equal bins of confidence (Guo et al. 2017).

    Args:
        probabilities: Of N utterances, float32 (N, n).
        truth: Their classes, int64 (N,).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    bins = confidence_bins(confidence)
    gaps = [
        (bins == b).mean() * abs(correct[bins == b].mean() - confidence[bins == b].mean())
        for b in np.unique(bins)
    ]
    return float(sum(gaps))


def confidence_bins(confidence: NDArray[Any]) -> I64:
    """Return the bin of each confidence (N,), 0 to BINS - 1."""
    number: I64 = np.minimum((confidence * BINS).astype(int), BINS - 1)
    return number


def fit_temperature(windows: Sequence[F32], truth: I64) -> float:
    """Return the temperature that minimises the cross-entropy of utterances (Guo et al. 2017).

    A golden-section search over its logarithm, from 0.25 to 4.

    Args:
        windows: Window probabilities (W, n) of each utterance; their mean is scored, as everywhere.
        truth: The class of each utterance, int64 (N,).
    """
    logits = [np.log(np.maximum(p, SMALLEST)) for p in windows]

    def loss(log_t: float) -> float:
        means = [utterance_score(_softmax(item / math.exp(log_t))) for item in logits]
        likelihoods = [max(float(p[t]), SMALLEST) for p, t in zip(means, truth, strict=True)]
        return -float(np.mean(np.log(likelihoods)))

    return math.exp(_golden_section(loss, math.log(TEMPERATURES[0]), math.log(TEMPERATURES[1])))


def _softmax(logits: NDArray[Any]) -> F32:
    powers = np.exp(logits - logits.max(axis=-1, keepdims=True))
    result: F32 = powers / powers.sum(axis=-1, keepdims=True)
    return result


def _golden_section(loss: Callable[[float], float], low: float, high: float) -> float:
    ratio = (math.sqrt(5) - 1) / 2
    for _ in range(40):
        left, right = high - ratio * (high - low), low + ratio * (high - low)
        low, high = (low, right) if loss(left) < loss(right) else (left, high)
    return (low + high) / 2


def chow_threshold(probabilities: F32, truth: I64) -> float:
    """Return the confidence below which a prediction should rather be "uncertain".

    The threshold with the fewest errors on these clips, where a wrong prediction above it and a
    right one below it count alike; the lowest of equal ones (Chow, IEEE Trans. Information Theory
    16(1), 1970). Never more than 0.9, and 0 where no prediction should be withheld.

    Args:
        probabilities: Of N utterances, float32 (N, n).
        truth: Their classes, int64 (N,).
    """
    confidence = probabilities.max(axis=1)
    correct = probabilities.argmax(axis=1) == truth
    candidates = np.unique(confidence[confidence < HIGHEST_THRESHOLD]) + 1e-6
    thresholds = np.concatenate([[0.0], candidates])
    costs = [
        ((confidence >= t) & ~correct).sum() + ((confidence < t) & correct).sum()
        for t in thresholds
    ]
    return float(min(thresholds[int(np.argmin(costs))], HIGHEST_THRESHOLD))
