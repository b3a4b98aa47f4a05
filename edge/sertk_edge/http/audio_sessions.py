"""Audio that clients send to be classified, apart from the device's own."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict

from ser_toolkit.runtime.audio.decode import from_pcm16
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.runtime.inference.classifier import Classifier

from ..audio.smoothing import StateChange
from ..audio.stream_classifier import StreamClassifier, StreamResult
from ..audio.vad import SpeechDetector
from ..events import draft_of, numbered
from ..service.worker_thread import WorkerThread
from ..settings import Settings
from .backend import BusyError, Json

MOST = 2


class AudioSessions:
    """At most two at once, with one classifier in one thread, opened when the first one begins."""

    def __init__(
        self,
        open_classifier: Callable[[], Classifier],
        settings: Settings,
        detector: Callable[[], SpeechDetector],
    ) -> None:
        self._open_classifier = open_classifier
        self._settings = settings
        self._detector = detector
        self._worker = WorkerThread("sessions")
        self._classifier: Classifier | None = None
        self._open_sessions = 0
        self._closed = False

    def begin(self, rate_hz: int, channels: int) -> AudioSession:
        """Begin a session. Raises BusyError where two are going on."""
        if self._open_sessions >= MOST:
            raise BusyError(f"{MOST} clients send audio already", "Try again later")
        self._open_sessions += 1
        return AudioSession(self, rate_hz, channels)

    def close(self) -> None:
        """Begin no more; what goes on is classified to its end."""
        self._closed = True
        self._rest()

    def ended(self) -> None:
        """Note that a session is over."""
        self._open_sessions -= 1
        self._rest()

    async def run(self, work: Callable[[], StreamResult]) -> StreamResult:
        """Do some work in the thread."""
        return await self._worker.run(work)

    def new_stream(self) -> StreamClassifier:
        """Make a classifier of a stream; called in the thread."""
        if self._classifier is None:
            self._classifier = self._open_classifier()
        settings = self._settings
        return StreamClassifier(
            self._classifier, settings.stream, settings.smoothing, self._detector
        )

    def _rest(self) -> None:
        if self._closed and not self._open_sessions:
            self._worker.close()


class AudioSession:
    """One session: int16 samples, little-endian, interleaved, come in pieces of any size."""

    def __init__(self, home: AudioSessions, rate_hz: int, channels: int) -> None:
        self._home = home
        self._rate_hz = rate_hz
        self._channels = channels
        self._rest = b""
        self._stream: StreamClassifier | None = None
        self._sequence = 0
        self._closed = False

    async def push(self, pcm: bytes) -> list[Json]:
        """Return the events that these samples complete."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % (2 * self._channels)
        self._rest = pcm[whole:]
        samples = from_pcm16(pcm[:whole], self._channels)
        return self._events(await self._home.run(lambda: self._push(samples)))

    async def finish(self) -> list[Json]:
        """Return the events that come because the audio has ended."""
        if self._stream is None:
            return []
        return self._events(await self._home.run(self._stream.finish))

    def close(self) -> None:
        """Make room for another client."""
        if not self._closed:
            self._closed = True
            self._home.ended()

    def _push(self, samples: F32) -> StreamResult:
        if self._stream is None:
            self._stream = self._home.new_stream()
        return self._stream.push(samples, self._rate_hz)

    def _events(self, result: StreamResult) -> list[Json]:
        return [self._event(change) for change in result.changes]

    def _event(self, change: StateChange) -> Json:
        assert self._stream is not None
        self._sequence += 1
        draft = draft_of(change, self._stream.classifier.labels, time.time())
        return asdict(numbered(draft, self._sequence))
