"""Turn predictions of windows into changes that are worth an event."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from ser_toolkit.runtime.events import Kind
from ser_toolkit.runtime.features.base import F32

from ..settings import SmoothingSettings

UNCERTAIN = "uncertain"
LOW_CONFIDENCE = "low_confidence"


@dataclass(frozen=True, eq=False)
class WindowPrediction:
    """The network's prediction for a window: times in seconds of audio, probabilities (n,).

    `reason` tells why it counts as `uncertain` whatever the probabilities are; else it is empty.
    """

    start_s: float
    end_s: float
    probabilities: F32
    level_dbfs: float
    reason: str = ""


@dataclass(frozen=True, eq=False)
class StateChange:
    """An emotion has started, given way to another, or ended; `reason` is that of `uncertain`."""

    kind: Kind
    offset_s: float
    label: str
    probabilities: F32
    level_dbfs: float
    reason: str = ""


class Smoother:
    """Exponential average, hysteresis, minimum duration, refractory time.

    The average forgets with the time constant `tau_s` of audio. An emotion gives way to one that
    is more probable by `hysteresis`, and to `uncertain` when it falls as far below the confidence
    that names one. A new label counts once it has led for `min_duration_s` of audio,
    and not within `refractory_s` of the change before. `end_after_s` without speech ends it.
    """

    def __init__(
        self, labels: Sequence[str], settings: SmoothingSettings, uncertain_below: float
    ) -> None:
        own = settings.uncertain_below
        self._bar = uncertain_below if own < 0 else own
        self._labels = tuple(labels)
        self._settings = settings
        self._last_end_s = 0.0
        self._changed_s = -math.inf
        self._candidate = ""
        self._evidence_s = 0.0
        self._level_dbfs = 0.0
        self._reason = ""
        self.label: str | None = None
        self.probabilities: F32 | None = None

    @property
    def reason(self) -> str:
        """Return why the label is `uncertain`; empty where it is an emotion, or there is none."""
        return self._reason if self.label == UNCERTAIN else ""

    def update(self, prediction: WindowPrediction) -> StateChange | None:
        """Take the next window of an utterance."""
        # Windows overlap: only what is new counts.
        new_s = max(0.0, prediction.end_s - max(prediction.start_s, self._last_end_s))
        self._last_end_s = max(self._last_end_s, prediction.end_s)
        self._level_dbfs = prediction.level_dbfs
        averaged = self._average(prediction.probabilities, new_s)
        self.probabilities = averaged
        preferred = UNCERTAIN if prediction.reason else self._preferred(averaged)
        if preferred == UNCERTAIN:
            self._reason = prediction.reason or LOW_CONFIDENCE
        return self._weigh(preferred, new_s, averaged)

    def silence(self, now_s: float) -> StateChange | None:
        """Note that nobody speaks at `now_s`."""
        if now_s - self._last_end_s < self._settings.end_after_s:
            return None
        return self.finish(now_s)

    def finish(self, now_s: float) -> StateChange | None:
        """End what goes on, because of silence or because nothing more will come."""
        ended = None
        if self.label is not None and self.probabilities is not None:
            last = (self.probabilities, self._level_dbfs, self.reason)
            ended = StateChange("ended", now_s, self.label, *last)
        self.label = self.probabilities = None
        self._candidate, self._evidence_s = "", 0.0
        return ended

    def _average(self, probabilities: F32, new_s: float) -> F32:
        if self.probabilities is None or self._settings.tau_s <= 0:
            return probabilities
        share = 1 - math.exp(-new_s / self._settings.tau_s)
        averaged: F32 = self.probabilities + (probabilities - self.probabilities) * share
        return averaged

    def _preferred(self, averaged: F32) -> str:
        top = int(averaged.argmax())
        margin = self._settings.hysteresis
        if self.label in self._labels:
            held = float(averaged[self._labels.index(self.label)])
            if averaged[top] - held < margin and held >= self._bar - margin:
                return self.label
        return self._labels[top] if averaged[top] >= self._bar else UNCERTAIN

    def _weigh(self, preferred: str, new_s: float, averaged: F32) -> StateChange | None:
        if preferred != self._candidate:
            self._candidate, self._evidence_s = preferred, 0.0
        self._evidence_s += new_s
        if preferred == self.label or self._evidence_s < self._settings.min_duration_s:
            return None
        if self.label and self._last_end_s - self._changed_s < self._settings.refractory_s:
            return None
        kind: Kind = "changed" if self.label else "started"
        self.label, self._changed_s = preferred, self._last_end_s
        last = (averaged, self._level_dbfs, self.reason)
        return StateChange(kind, self._last_end_s, preferred, *last)
