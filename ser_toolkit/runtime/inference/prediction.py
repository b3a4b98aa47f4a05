"""What a network says of a clip and of each of its windows, in the form that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audio.decode import Audio
from ..features.base import F32
from .classifier import Classifier
from .inputs import utterance_score


@dataclass(frozen=True)
class Prediction:
    """A label and the probabilities of all; `uncertain` says that none is probable enough."""

    label: str
    probabilities: Mapping[str, float]
    uncertain: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "uncertain": self.uncertain,
        }


@dataclass(frozen=True)
class TimedPrediction:
    """The prediction of one window, with its place in the clip in seconds."""

    start_s: float
    end_s: float
    prediction: Prediction

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, times in milliseconds' accuracy."""
        times = {"start_s": round(self.start_s, 3), "end_s": round(self.end_s, 3)}
        return {**times, **self.prediction.to_dict()}


def prediction_of(probabilities: F32, labels: Sequence[str], uncertain_below: float) -> Prediction:
    """Name the most probable label, even where that is too uncertain to act on.

    Args:
        probabilities: (n,) float32.
        labels: As many, in that order.
        uncertain_below: The confidence below which a prediction counts as uncertain.
    """
    pairs = zip(labels, probabilities, strict=True)
    return Prediction(
        labels[int(probabilities.argmax())],
        {label: float(p) for label, p in pairs},
        bool(probabilities.max() < uncertain_below),
    )


def predict_clip(classifier: Classifier, audio: Audio) -> tuple[Prediction, list[TimedPrediction]]:
    """Predict a whole clip, and each window of it."""
    rows, times = classifier.windows(audio), classifier.times(audio)
    bar = classifier.manifest.thresholds["uncertain"]
    timed = [
        TimedPrediction(start_s, end_s, prediction_of(row, classifier.labels, bar))
        for (start_s, end_s), row in zip(times, rows, strict=True)
    ]
    return prediction_of(utterance_score(rows), classifier.labels, bar), timed
