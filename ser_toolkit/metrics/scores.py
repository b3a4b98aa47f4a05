"""Score every system by one function, whatever computes its probabilities."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..contracts.components import Utterance
from ..runtime.features.base import F32
from ..runtime.inference.inputs import utterance_score
from .calibration import F64, I64, SMALLEST, calibration_error

RESAMPLES = 2000
BATCH = 64
GROUP = 128


@dataclass(frozen=True)
class Scores:
    """Truth (N,) and probabilities (N, n) of N utterances."""

    utterances: tuple[Utterance, ...]
    labels: tuple[str, ...]
    truth: I64
    probabilities: F32

    @property
    def predicted(self) -> I64:
        """Return the most probable class of each utterance, int64 (N,)."""
        prediction: I64 = self.probabilities.argmax(axis=1)
        return prediction

    @property
    def confusion(self) -> I64:
        """Return (n, n) counts: row = truth, column = prediction."""
        return confusion(self.truth, self.predicted, len(self.labels))

    @property
    def losses(self) -> F32:
        """Return the cross-entropy of each utterance in nat, (N,)."""
        chosen = self.probabilities[np.arange(len(self.truth)), self.truth]
        result: F32 = -np.log(np.maximum(chosen, SMALLEST))
        return result

    @property
    def loss(self) -> float:
        """Return the mean cross-entropy in nat."""
        return float(self.losses.mean())

    @property
    def loss_se(self) -> float:
        """Return the standard error of `loss` over utterances; 0 where there is only one."""
        n = len(self.truth)
        return float(self.losses.std(ddof=1) / np.sqrt(n)) if n > 1 else 0.0

    @property
    def accuracy(self) -> float:
        """Return the share of correct predictions (WA)."""
        return float((self.predicted == self.truth).mean())


def network_probabilities(network: Any, inputs: Iterable[Mapping[str, F32]]) -> list[F32]:
    """Return window probabilities (W, n) per utterance, from (W, …) float32 per input name.

    `inputs` is read some utterances at a time.
    """
    remaining = iter(inputs)
    probabilities: list[F32] = []
    while group := list(itertools.islice(remaining, GROUP)):
        probabilities += _group_probabilities(network, group)
    return probabilities


def _group_probabilities(network: Any, inputs: Sequence[Mapping[str, F32]]) -> list[F32]:
    """Predict several utterances, whose windows share batches."""
    counts = [len(next(iter(item.values()))) for item in inputs]
    joined = {name: np.concatenate([item[name] for item in inputs]) for name in inputs[0]}
    parts = []
    for start in range(0, sum(counts), BATCH):
        batch = {name: values[start : start + BATCH] for name, values in joined.items()}
        parts.append(_predict_batch(network, batch))
    return np.split(np.concatenate(parts), np.cumsum(counts)[:-1])


def _predict_batch(network: Any, batch: dict[str, F32]) -> F32:
    """Predict a batch, filled up to one size: another shape would trace the graph again."""
    size = len(next(iter(batch.values())))
    full = {
        name: np.concatenate([values, np.repeat(values[:1], BATCH - size, axis=0)])
        for name, values in batch.items()
    }
    result: F32 = np.asarray(network.predict_on_batch(network_input(full)))[:size]
    return result


def network_input(inputs: dict[str, F32]) -> Any:
    """Return inputs as Keras expects them: a network with one input takes the array itself."""
    return next(iter(inputs.values())) if len(inputs) == 1 else inputs


def network_scores(
    network: Any,
    inputs: Iterable[Mapping[str, F32]],
    utterances: Sequence[Utterance],
    labels: tuple[str, ...],
) -> Scores:
    """Score a Keras network.

    Args:
        network: A Keras network.
        inputs: Its inputs per utterance, float32 (W, …) by name.
        utterances: Which utterances they are.
        labels: The emotions, in the order of the outputs.
    """
    return utterance_scores(network_probabilities(network, inputs), utterances, labels)


def utterance_scores(
    windows: Iterable[F32], utterances: Sequence[Utterance], labels: tuple[str, ...]
) -> Scores:
    """Score any system; the probabilities of an utterance are the mean over its windows.

    Args:
        windows: Window probabilities float32 (W, n) per utterance.
        utterances: Which utterances they are.
        labels: The emotions, in the order of the columns.
    """
    probabilities = np.stack([utterance_score(p) for p in windows])
    truth = np.array([labels.index(item.emotion) for item in utterances], np.int64)
    return Scores(tuple(utterances), labels, truth, probabilities)


def confusion(truth: I64, predicted: I64, n: int) -> I64:
    """Return the confusion matrix, int64 (n, n): row = truth, column = prediction.

    Args:
        truth: True classes, int64 (N,).
        predicted: Predicted classes, int64 (N,).
        n: Number of classes.
    """
    return np.bincount(truth * n + predicted, minlength=n * n).reshape(n, n)


def recalls(counts: NDArray[Any]) -> F64:
    """Return recall per class (…, n) of confusions (…, n, n); NaN where a class does not occur."""
    support = counts.sum(axis=-1)
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    result: F64 = np.divide(hits, support, out=np.full(support.shape, np.nan), where=support > 0)
    return result


def uar(counts: NDArray[Any]) -> float:
    """Return the unweighted average recall over the classes that occur."""
    return float(np.nanmean(recalls(counts)))


def _f1(counts: NDArray[Any]) -> F64:
    hits = np.diagonal(counts, axis1=-2, axis2=-1)
    total = counts.sum(axis=-1) + counts.sum(axis=-2)
    result: F64 = np.divide(2 * hits, total, out=np.full(hits.shape, np.nan), where=total > 0)
    return result


def macro_f1(counts: NDArray[Any]) -> float:
    """Return the mean F1 over the classes that occur or are predicted."""
    return float(np.nanmean(_f1(counts)))


def compute_metrics(scores: Scores, seed: int = 0) -> dict[str, Any]:
    """Return all metrics of a set of utterances, with the keys of metrics.json."""
    counts = scores.confusion
    per_class = _per_class(counts, scores.labels)
    return {
        "uar": uar(counts),
        "wa": scores.accuracy,
        "loss": scores.loss,
        "macro_f1": macro_f1(counts),
        "macro": _macro(counts, per_class),
        "weighted": _weighted(per_class, counts.sum(axis=1)),
        "per_class": per_class,
        "confusion": counts.tolist(),
        "labels": list(scores.labels),
        "calibration_error": calibration_error(scores.probabilities, scores.truth),
        "ci95": intervals(scores, seed),
        "per_speaker": _per(scores, [item.speaker or "unknown" for item in scores.utterances]),
        "per_corpus": _per(scores, [item.clip.corpus for item in scores.utterances]),
        "clips": len(scores.truth),
    }


def _per_class(counts: I64, labels: Sequence[str]) -> dict[str, dict[str, float | None]]:
    """Return the metrics of each class; None where a class lacks the clips for one."""
    predicted, support, hits = counts.sum(axis=0), counts.sum(axis=1), np.diagonal(counts)
    precision = np.divide(hits, predicted, out=np.zeros(len(hits)), where=predicted > 0)
    precision[(predicted == 0) & (support == 0)] = np.nan
    columns = {"precision": precision, "recall": recalls(counts), "f1": _f1(counts)}
    return {
        label: {
            **{
                key: None if np.isnan(values[i]) else float(values[i])
                for key, values in columns.items()
            },
            "support": int(support[i]),
        }
        for i, label in enumerate(labels)
    }


def _macro(counts: I64, per_class: Mapping[str, Mapping[str, float | None]]) -> dict[str, float]:
    """Average over classes; one that neither occurs nor is predicted does not count."""
    precision = [row["precision"] for row in per_class.values() if row["precision"] is not None]
    return {
        "precision": float(np.mean(precision)),
        "recall": uar(counts),
        "f1": macro_f1(counts),
    }


def _weighted(
    per_class: Mapping[str, Mapping[str, float | None]], support: I64
) -> dict[str, float]:
    return {
        key: float(np.average([row[key] or 0.0 for row in per_class.values()], weights=support))
        for key in ("precision", "recall", "f1")
    }


def _per(scores: Scores, names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Return UAR, WA and number of clips for each name, of which every utterance has one."""
    return {
        name: {
            "uar": uar(counts),
            "wa": float(np.trace(counts) / counts.sum()),
            "clips": int(counts.sum()),
        }
        for name, counts in _confusions(scores, names).items()
    }


def _confusions(scores: Scores, names: Sequence[str]) -> dict[str, I64]:
    of_utterance, n = np.array(names), len(scores.labels)
    return {
        str(name): confusion(scores.truth[own], scores.predicted[own], n)
        for name in np.unique(of_utterance)
        for own in [of_utterance == name]
    }


def intervals(scores: Scores, seed: int = 0, resamples: int = RESAMPLES) -> dict[str, Any]:
    """Return 95 % bootstrap intervals of UAR, accuracy and macro-F1.

    Speakers are drawn, not clips, where there are two or more: clips of one speaker are alike, so
    drawing clips would give too narrow an interval.

    Args:
        scores: Truth and probabilities of a set of utterances.
        seed: Seed of the draws.
        resamples: Number of draws.
    """
    rng = np.random.default_rng(seed)
    speakers = [item.speaker or "unknown" for item in scores.utterances]
    groups = list(_confusions(scores, speakers).values())
    clusters = "speaker"
    if len(groups) < 2:
        clusters, n = "clip", len(scores.labels)
        pairs = zip(scores.truth, scores.predicted, strict=True)
        groups = [confusion(np.array([t]), np.array([p]), n) for t, p in pairs]
    stacked = np.stack(groups)
    draws = rng.multinomial(len(groups), np.full(len(groups), 1 / len(groups)), resamples)
    counts = np.tensordot(draws, stacked, axes=1)
    metrics: dict[str, Callable[[NDArray[Any]], F64]] = {
        "uar": lambda c: np.nanmean(recalls(c), axis=-1),
        "wa": lambda c: np.trace(c, axis1=-2, axis2=-1) / c.sum(axis=(-2, -1)),
        "macro_f1": lambda c: np.nanmean(_f1(c), axis=-1),
    }
    bounds = {
        key: [float(edge) for edge in np.quantile(metric(counts), (0.025, 0.975))]
        for key, metric in metrics.items()
    }
    return {**bounds, "clusters": clusters, "groups": len(groups)}
