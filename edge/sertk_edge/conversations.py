"""Audio that clients send to be judged: apart from the ear of the device itself."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from dataclasses import asdict

from ser_toolkit.runtime.audio import from_pcm16
from ser_toolkit.runtime.classifier import Classifier
from ser_toolkit.runtime.events import Event
from ser_toolkit.runtime.extractor import F32

from .background import Worker
from .config import Settings
from .ear import Ear, Heard
from .gate import Detector
from .services import Busy, Json
from .smoothing import Change

MOST = 2


class Conversations:
    """At most two at once, with one classifier in one thread, opened when the first one begins."""

    def __init__(
        self,
        open_classifier: Callable[[], Classifier],
        settings: Settings,
        detector: Callable[[], Detector],
    ) -> None:
        self._open_classifier = open_classifier
        self._settings = settings
        self._detector = detector
        self._worker = Worker("conversations")
        self._classifier: Classifier | None = None
        self._talking = 0
        self._closed = False

    def begin(self, rate_hz: int, channels: int) -> Talk:
        """A new conversation. Raises Busy where two are going on."""
        if self._talking >= MOST:
            raise Busy(f"{MOST} clients send audio already", "Try again later")
        self._talking += 1
        return Talk(self, rate_hz, channels)

    def close(self) -> None:
        """Begin no more; what goes on is heard to its end."""
        self._closed = True
        self._rest()

    def ended(self) -> None:
        """A conversation is over."""
        self._talking -= 1
        self._rest()

    async def run(self, work: Callable[[], Heard]) -> Heard:
        """Do some work in the thread."""
        return await self._worker.run(work)

    def ear(self) -> Ear:
        """A new ear; called in the thread."""
        if self._classifier is None:
            self._classifier = self._open_classifier()
        settings = self._settings
        return Ear(self._classifier, settings.stream, settings.smoothing, self._detector)

    def _rest(self) -> None:
        if self._closed and not self._talking:
            self._worker.close()


class Talk:
    """One conversation: int16 samples, little-endian, interleaved, come in pieces of any size."""

    def __init__(self, home: Conversations, rate_hz: int, channels: int) -> None:
        self._home = home
        self._rate_hz = rate_hz
        self._channels = channels
        self._rest = b""
        self._ear: Ear | None = None
        self._sequence = 0
        self._closed = False

    async def push(self, pcm: bytes) -> list[Json]:
        """Events that these samples complete."""
        pcm = self._rest + pcm
        whole = len(pcm) - len(pcm) % (2 * self._channels)
        self._rest = pcm[whole:]
        samples = from_pcm16(pcm[:whole], self._channels)
        return self._told(await self._home.run(lambda: self._listen(samples)))

    async def finish(self) -> list[Json]:
        """Events that come because the audio has ended."""
        if self._ear is None:
            return []
        return self._told(await self._home.run(self._ear.finish))

    def close(self) -> None:
        """Make room for another client."""
        if not self._closed:
            self._closed = True
            self._home.ended()

    def _listen(self, samples: F32) -> Heard:
        if self._ear is None:
            self._ear = self._home.ear()
        return self._ear.push(samples, self._rate_hz)

    def _told(self, heard: Heard) -> list[Json]:
        return [self._event(change) for change in heard.changes]

    def _event(self, change: Change) -> Json:
        assert self._ear is not None
        self._sequence += 1
        pairs = zip(self._ear.classifier.labels, change.probabilities, strict=True)
        event = Event(
            uuid.uuid4().hex,
            self._sequence,
            change.kind,
            round(time.time(), 3),
            round(change.offset_s, 3),
            change.label,
            {label: round(float(p), 4) for label, p in pairs},
            round(change.level_dbfs, 1),
        )
        return asdict(event)
