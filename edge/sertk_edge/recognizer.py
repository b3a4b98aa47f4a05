"""The thread that turns audio into events, which are stored before anybody sees them."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from ser_toolkit.runtime.events import Event

from .audio.audio_queue import Command
from .audio.live_state import CurrentEmotion, LevelMeter
from .audio.smoothing import StateChange
from .audio.stream_classifier import StreamClassifier, StreamResult
from .audio.vad import SpeechDetector
from .audio.wav_recorder import WavRecorder
from .bundle.loader import LoadedBundle
from .delivery.event_queue import EventQueue
from .events import draft_of, named
from .service.logs import log
from .service.worker_thread import WorkerThread
from .settings import Settings
from .sources.base import Chunk, Gap


@dataclass(frozen=True)
class SourceEnded:
    """The source has ended."""


@dataclass(frozen=True)
class SilenceTimeout:
    """No sound has come for a while, not even silence."""


CommandKind = LoadedBundle | SourceEnded | SilenceTimeout
Item = Chunk | Gap | Command[CommandKind]


@dataclass(frozen=True, eq=False)
class StepResult:
    """What an item brought: events that are stored, the current emotion, the level, the cost."""

    emotion: CurrentEmotion
    meter: LevelMeter
    events: list[Event] = field(default_factory=list)
    windows: int = 0
    utterances: int = 0
    seconds: float = 0.0


class RecognizerThread:
    """Classifies one item after another with the loaded bundle, in a thread of its own."""

    def __init__(
        self,
        live: LoadedBundle,
        settings: Settings,
        detector: Callable[[], SpeechDetector],
        event_queue: EventQueue,
    ) -> None:
        """Begin with the bundle `live`; `detector` makes a voice activity detector per stream."""
        self._settings = settings
        self._detector = detector
        self._event_queue = event_queue
        self._gain = np.float32(10 ** (settings.stream.gain_db / 20))
        self._stream = self._new_stream(live)
        self._emotion = CurrentEmotion()
        self._meter = LevelMeter()
        self._clock = _Clock()
        self._recorder = WavRecorder(d) if (d := settings.debug.audio_dir) else None
        self._thread = WorkerThread("recognizer")
        self._busy_since: float | None = None
        self._idle_since = time.monotonic()

    @property
    def busy_s(self) -> float:
        """Return for how long it has been at work on one item; 0: it waits for the next."""
        since = self._busy_since
        return 0.0 if since is None else time.monotonic() - since

    @property
    def idle_s(self) -> float:
        """Return for how long it has waited for an item; 0: it is at work."""
        return 0.0 if self._busy_since is not None else time.monotonic() - self._idle_since

    async def process(self, item: Item) -> StepResult:
        """Do `step` in the thread, after what was asked for before."""
        self._busy_since = time.monotonic()
        result = await self._thread.run(lambda: self._record_and_step(item))
        self._busy_since, self._idle_since = None, time.monotonic()
        return result

    def step(self, item: Item) -> StepResult:
        """Classify a chunk, or do what comes between two. One call at a time."""
        begun = time.perf_counter()
        result = self._classified(item)
        # With the labels of the bundle that made them, which is not the next one's.
        events = [self._store(change) for change in result.changes]
        if isinstance(item, Command) and isinstance(item.what, LoadedBundle):
            self._stream = self._new_stream(item.what, self._stream.offset_s)
        stream, labels = self._stream, self._stream.classifier.labels
        averaged = stream.probabilities
        self._emotion = self._emotion.after(
            stream.offset_s,
            stream.speech,
            stream.label,
            None if averaged is None else named(labels, averaged),
            stream.reason,
        )
        return StepResult(
            self._emotion,
            self._meter,
            events,
            len(result.predictions),
            len(result.segments),
            time.perf_counter() - begun,
        )

    def close(self) -> None:
        """End the thread when it has done what was asked for, and complete the recording."""
        self._thread.close()
        if self._recorder is not None:
            self._recorder.close()

    def _record_and_step(self, item: Item) -> StepResult:
        if self._recorder is not None and isinstance(item, Chunk):
            try:
                self._recorder.write(item)
            except (OSError, RuntimeError) as error:
                log("recorder").warning("the recording fails", error=str(error))
        return self.step(item)

    def _classified(self, item: Item) -> StreamResult:
        if isinstance(item, Chunk):
            result = self._stream.push(item.samples * self._gain, item.rate_hz)
            self._meter = self._meter.after(item)
            # A file is read faster than it was spoken: only the time of the result means much.
            time_s = item.time_s if self._settings.live else None
            self._clock = _Clock(time_s, self._stream.offset_s)
            return result
        if isinstance(item, Gap):
            return self._stream.gap(item.lost_s or 0.0)
        return self._stream.finish()

    def _new_stream(self, live: LoadedBundle, start_s: float = 0.0) -> StreamClassifier:
        settings = self._settings
        return StreamClassifier(
            live.classifier, settings.stream, settings.smoothing, self._detector, start_s
        )

    def _store(self, change: StateChange) -> Event:
        labels, time_s = self._stream.classifier.labels, self._clock.time_of(change.offset_s)
        return self._event_queue.append(draft_of(change, labels, time_s))


@dataclass(frozen=True)
class _Clock:
    """When a moment of audio was spoken, by the last chunk."""

    time_s: float | None = None
    offset_s: float = 0.0

    def time_of(self, offset_s: float) -> float:
        """Return the Unix time of an offset; where the source has none, that of this moment."""
        if self.time_s is None:
            return time.time()
        return self.time_s - (self.offset_s - offset_s)
