"""The ear at work in a thread of its own: audio in, events out, stored before they are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ser_toolkit.runtime.events import Event
from ser_toolkit.runtime.extractor import F32

from .audio.audio_queue import Command
from .audio.live_state import CurrentEmotion, LevelMeter
from .audio.smoothing import StateChange
from .audio.stream_classifier import StreamClassifier, StreamResult
from .audio.vad import SpeechDetector
from .bundle.watcher import LoadedBundle
from .delivery.event_queue import EventQueue
from .events import EventDraft
from .settings import Settings
from .sources.base import Chunk, Gap


@dataclass(frozen=True)
class SourceEnded:
    """The source has ended."""


@dataclass(frozen=True)
class SilenceTimeout:
    """No sound has come for a while, not even silence."""


CommandKind = LoadedBundle | SourceEnded | SilenceTimeout


@dataclass(frozen=True, eq=False)
class StepResult:
    """What an item brought: events that are stored, the mood, the meter, and what it cost."""

    emotion: CurrentEmotion
    meter: LevelMeter
    events: list[Event] = field(default_factory=list)
    windows: int = 0
    utterances: int = 0
    seconds: float = 0.0


class RecognizerThread:
    """Listens with the bundle that is live. Its methods run one at a time."""

    def __init__(
        self,
        live: LoadedBundle,
        settings: Settings,
        detector: Callable[[], SpeechDetector],
        event_queue: EventQueue,
    ) -> None:
        self._settings = settings
        self._detector = detector
        self._event_queue = event_queue
        self._stream_classifier = self._new_ear(live)
        self._emotion = CurrentEmotion()
        self._meter = LevelMeter()
        self._clock = _Clock()

    def take(self, item: Chunk | Gap | Command[CommandKind]) -> StepResult:
        """Listen to a chunk, or do what comes between two."""
        begun = time.perf_counter()
        heard = self._heard(item)
        # With the labels of the bundle that judged, which is not the next one's.
        events = [self._store(change) for change in heard.changes]
        if isinstance(item, Command) and isinstance(item.what, LoadedBundle):
            self._stream_classifier = self._new_ear(item.what, self._stream_classifier.offset_s)
        self._emotion = self._emotion.after(
            self._stream_classifier.offset_s,
            self._stream_classifier.speech,
            self._stream_classifier.label,
            self._named(self._stream_classifier.probabilities),
        )
        return StepResult(
            self._emotion,
            self._meter,
            events,
            len(heard.predictions),
            len(heard.utterances),
            time.perf_counter() - begun,
        )

    def _heard(self, item: Chunk | Gap | Command[CommandKind]) -> StreamResult:
        if isinstance(item, Chunk):
            heard = self._stream_classifier.push(item.samples, item.rate_hz)
            self._meter = self._meter.after(item)
            # A file is heard faster than it was spoken: only the moment of judgement means much.
            self._clock = _Clock(
                item.time_s if self._settings.live else None, self._stream_classifier.offset_s
            )
            return heard
        if isinstance(item, Gap):
            return self._stream_classifier.gap(item.lost_s or 0.0)
        return self._stream_classifier.finish()

    def _new_ear(self, live: LoadedBundle, start_s: float = 0.0) -> StreamClassifier:
        settings = self._settings
        return StreamClassifier(
            live.classifier, settings.stream, settings.smoothing, self._detector, start_s
        )

    def _store(self, change: StateChange) -> Event:
        probabilities = self._named(change.probabilities) or {}
        draft = EventDraft(
            kind=change.kind,
            time_s=self._clock.time_of(change.offset_s),
            offset_s=round(change.offset_s, 3),
            label=change.label,
            probabilities=probabilities,
            level_dbfs=round(change.level_dbfs, 1),
        )
        return self._event_queue.append(draft)

    def _named(self, probabilities: F32 | None) -> dict[str, float] | None:
        if probabilities is None:
            return None
        labels = self._stream_classifier.classifier.labels
        pairs = zip(labels, probabilities, strict=True)
        return {label: round(float(p), 4) for label, p in pairs}


@dataclass(frozen=True)
class _Clock:
    """When a moment of audio was heard, by the last chunk."""

    time_s: float | None = None
    offset_s: float = 0.0

    def time_of(self, offset_s: float) -> float:
        if self.time_s is None:
            return round(time.time(), 3)
        return round(self.time_s - (self.offset_s - offset_s), 3)
