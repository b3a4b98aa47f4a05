"""The ear at work in a thread of its own: audio in, events out, stored before they are told."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from ser_toolkit.runtime.events import Event
from ser_toolkit.runtime.extractor import F32

from .config import Settings
from .ear import Ear, Heard
from .gate import Detector
from .inbox import Order
from .smoothing import Change
from .sources.base import Chunk, Gap
from .spool import Draft, Spool
from .state import Meter, Mood
from .swap import Live


@dataclass(frozen=True)
class End:
    """The source has ended."""


@dataclass(frozen=True)
class Lull:
    """No sound has come for a while, not even silence."""


Orders = Live | End | Lull


@dataclass(frozen=True, eq=False)
class Outcome:
    """What an item brought: events that are stored, the mood, the meter, and what it cost."""

    mood: Mood
    meter: Meter
    events: list[Event] = field(default_factory=list)
    windows: int = 0
    utterances: int = 0
    seconds: float = 0.0


class Attention:
    """Listens with the bundle that is live. Its methods run one at a time."""

    def __init__(
        self, live: Live, settings: Settings, detector: Callable[[], Detector], spool: Spool
    ) -> None:
        self._settings = settings
        self._detector = detector
        self._spool = spool
        self._ear = self._new_ear(live)
        self._mood = Mood()
        self._meter = Meter()
        self._clock = _Clock()

    def take(self, item: Chunk | Gap | Order[Orders]) -> Outcome:
        """Listen to a chunk, or do what comes between two."""
        begun = time.perf_counter()
        heard = self._heard(item)
        # With the labels of the bundle that judged, which is not the next one's.
        events = [self._store(change) for change in heard.changes]
        if isinstance(item, Order) and isinstance(item.what, Live):
            self._ear = self._new_ear(item.what, self._ear.offset_s)
        self._mood = self._mood.after(
            self._ear.offset_s,
            self._ear.speech,
            self._ear.label,
            self._named(self._ear.probabilities),
        )
        return Outcome(
            self._mood,
            self._meter,
            events,
            len(heard.judgements),
            len(heard.utterances),
            time.perf_counter() - begun,
        )

    def _heard(self, item: Chunk | Gap | Order[Orders]) -> Heard:
        if isinstance(item, Chunk):
            heard = self._ear.push(item.samples, item.rate_hz)
            self._meter = self._meter.after(item)
            # A file is heard faster than it was spoken: only the moment of judgement means much.
            self._clock = _Clock(item.time_s if self._settings.live else None, self._ear.offset_s)
            return heard
        if isinstance(item, Gap):
            return self._ear.gap(item.lost_s or 0.0)
        return self._ear.finish()

    def _new_ear(self, live: Live, start_s: float = 0.0) -> Ear:
        settings = self._settings
        return Ear(live.classifier, settings.stream, settings.smoothing, self._detector, start_s)

    def _store(self, change: Change) -> Event:
        probabilities = self._named(change.probabilities) or {}
        draft = Draft(
            kind=change.kind,
            time_s=self._clock.time_of(change.offset_s),
            offset_s=round(change.offset_s, 3),
            label=change.label,
            probabilities=probabilities,
            level_dbfs=round(change.level_dbfs, 1),
        )
        return self._spool.append(draft)

    def _named(self, probabilities: F32 | None) -> dict[str, float] | None:
        if probabilities is None:
            return None
        labels = self._ear.classifier.labels
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
