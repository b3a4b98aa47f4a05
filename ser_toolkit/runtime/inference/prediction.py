"""What a network predicts for a clip and for each of its windows, in the form that is shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..audio.decode import Audio
from ..errors import AudioError
from ..features.base import F32
from .classifier import Classifier
from .inputs import utterance_score


@dataclass(frozen=True)
class TimedPrediction:
    """The prediction for one window of a clip.

    Attributes:
        start_s: Where it begins, in seconds.
        end_s: Where it ends.
        label: The most probable emotion, even where that is uncertain.
        probabilities: Of every emotion.
        uncertain: Whether none is probable enough.
    """

    start_s: float
    end_s: float
    label: str
    probabilities: Mapping[str, float]
    uncertain: bool

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values, times in milliseconds' accuracy."""
        return {
            "start_s": round(self.start_s, 3),
            "end_s": round(self.end_s, 3),
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "uncertain": self.uncertain,
        }


@dataclass(frozen=True)
class Prediction:
    """The prediction for a clip: the mean over its windows.

    Attributes:
        label: The most probable emotion, even where that is uncertain.
        probabilities: Of every emotion.
        uncertain: Whether none is probable enough.
        windows: The prediction for each window, in order.
        file: Where the clip is; None for samples in memory.
        warning: What a damaged file lacks, '' for nothing.
    """

    label: str
    probabilities: Mapping[str, float]
    uncertain: bool
    windows: tuple[TimedPrediction, ...] = ()
    file: str | None = None
    warning: str = ""

    def to_dict(self, windows: bool = True) -> dict[str, Any]:
        """Return JSON values, those of the windows only where wanted."""
        return {
            **({} if self.file is None else {"file": self.file}),
            "label": self.label,
            "probabilities": dict(self.probabilities),
            "uncertain": self.uncertain,
            **({"warning": self.warning} if self.warning else {}),
            **({"windows": [window.to_dict() for window in self.windows]} if windows else {}),
        }


@dataclass(frozen=True)
class FailedPrediction:
    """A file that cannot be used, in the place of its prediction.

    Attributes:
        file: Where it is; None for samples in memory.
        problem: What is wrong, in one line.
        todo: What can be done about it, where anything can.
    """

    file: str | None
    problem: str
    todo: str = ""

    @property
    def error(self) -> str:
        """Return problem and remedy in one line."""
        return str(self.exception)

    @property
    def exception(self) -> AudioError:
        """Return what is raised where failures are not wanted as values."""
        return AudioError(self.problem, self.todo)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values."""
        return {**({} if self.file is None else {"file": self.file}), "error": self.error}


def predict_clip(
    classifier: Classifier, audio: Audio, shown: str = "the audio", file: str | None = None
) -> Prediction:
    """Predict a whole clip, and each window of it.

    Args:
        classifier: What predicts.
        audio: The clip.
        shown: How errors name it.
        file: Where it is, for the prediction.
    """
    rows = classifier.window_probabilities(audio, shown)
    timed = [
        TimedPrediction(start_s, end_s, *_decided(classifier, row))
        for (start_s, end_s), row in zip(classifier.times(audio), rows, strict=True)
    ]
    decided = _decided(classifier, utterance_score(rows))
    return Prediction(*decided, tuple(timed), file, audio.warning)


def _decided(classifier: Classifier, probabilities: F32) -> tuple[str, dict[str, float], bool]:
    """Return the most probable label, the probability of each, and whether that is too little."""
    labels: Sequence[str] = classifier.labels
    shares = {label: float(p) for label, p in zip(labels, probabilities, strict=True)}
    return labels[int(probabilities.argmax())], shares, classifier.uncertain(probabilities)
