"""The daemon: source, recognizer, events, sinks and HTTP, wired together and kept running.

source ─▶ audio queue ─▶ recognizer (its thread) ─▶ event queue ─▶ sinks (a thread each)
                                    │
                                    └─▶ hub, status, metrics ─▶ HTTP
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from ser_toolkit.runtime.events import Device

from .audio.audio_queue import AudioQueue, Command, seconds
from .audio.level_range import LEVEL_REASONS
from .audio.vad import SpeechDetector
from .bundle.loader import LoadedBundle
from .bundle.watcher import BundleWatcher, RejectedBundle
from .delivery.dispatcher import Dispatcher
from .delivery.event_queue import EventQueue
from .http.backend import EventHub
from .http.daemon_status import DaemonStatus
from .http.metrics import Metrics
from .http.request_handlers import RequestHandlers
from .recognizer import CommandKind, Item, RecognizerThread, SilenceTimeout, SourceEnded, StepResult
from .service.logs import log
from .service.systemd_notify import SystemdNotifier
from .settings import Settings
from .sources.base import Chunk, Gap, Source

TICK_S = 0.2
STUCK_S = 30.0
# With the pauses in main.py less than a second, however many things hang.
END_S = 0.3
# Sound may come in pieces; none for so long is more than a pause between two.
SILENCE_S = 2.0
STDOUT = ("console", "json_lines")


@dataclass(frozen=True, eq=False)
class Parts:
    """What was made before the daemon runs."""

    settings: Settings
    device: Callable[[LoadedBundle], Device]
    live: LoadedBundle
    watcher: BundleWatcher
    event_queue: EventQueue
    delivery: Dispatcher
    source: Source
    detector: Callable[[], SpeechDetector]
    metrics: Metrics
    system: SystemdNotifier


class Daemon:
    """Runs until the source ends, a part breaks, or it is cancelled."""

    def __init__(self, parts: Parts) -> None:
        settings = parts.settings
        self._parts = parts
        self._settings = settings
        self._source = parts.source
        self._audio_queue: AudioQueue[CommandKind] = AudioQueue(parts.source.realtime)
        self._recognizer = RecognizerThread(parts.live, settings, parts.detector, parts.event_queue)
        self._shown = any(name in STDOUT for name, _ in settings.sinks)
        self.hub = EventHub()
        self.daemon_status = DaemonStatus(
            settings,
            parts.live,
            parts.source,
            parts.delivery.statuses,
            lambda: parts.event_queue.problem,
        )
        self.handlers = RequestHandlers(parts.live, settings, parts.detector)
        parts.metrics.model(parts.live.classifier.manifest.name, parts.live.sha256)
        self._reject(parts.watcher.rejected)

    async def run(self) -> None:
        """Listen until the source ends. Raises what breaks a part."""
        recognizing = asyncio.create_task(self._recognize(), name="recognizer")
        others = [
            asyncio.create_task(work, name=name)
            for name, work in (
                ("start", self._start()),
                ("source", self._pump()),
                ("bundle", self._follow()),
                ("tick", self._tick()),
            )
        ]
        try:
            await _first_to_break(recognizing, others)
        finally:
            for task in (recognizing, *others):
                task.cancel()
            await asyncio.gather(recognizing, *others, return_exceptions=True)

    async def _start(self) -> None:
        """Say that we serve once it is known how the source is, lost ones included.

        A service that is called started then answers /readyz as it will go on answering.
        """
        while self._source.status.state == "starting":
            await asyncio.sleep(TICK_S / 10)
        self._parts.system.ready()
        await asyncio.Event().wait()

    async def finish(self) -> None:
        """End what goes on, publish that, and take no more audio."""
        await self._source.close()
        try:
            await asyncio.wait_for(self._process(Command(SourceEnded())), END_S)
        except asyncio.TimeoutError:
            log("recognizer").error("it is stuck, and left behind")
        self._recognizer.close()
        self.handlers.close()

    async def _pump(self) -> None:
        """Put audio of the source into the queue."""
        async for item in self._source:
            await self._audio_queue.put(item)
        await self._audio_queue.put(Command(SourceEnded()))
        # The recognizer says when the daemon ends: audio may wait yet.
        await asyncio.Event().wait()

    async def _recognize(self) -> None:
        """Process the queue, one item at a time, until the source has ended."""
        while True:
            item = await self._audio_queue.get()
            if isinstance(item, Gap):
                self._count(item)
            await self._process(item)
            if isinstance(item, Command) and isinstance(item.what, SourceEnded):
                return

    async def _process(self, item: Item) -> None:
        result = await self._recognizer.process(item)
        if isinstance(item, Command) and isinstance(item.what, LoadedBundle):
            self._install(item.what)
        self._publish(item, result)

    def _publish(self, item: Item, result: StepResult) -> None:
        """Show what an item brought: on the page, in the metrics, in the log."""
        self.daemon_status.emotion, self.daemon_status.meter = result.emotion, result.meter
        audio_s = seconds(item) if isinstance(item, Chunk) else 0.0
        self._parts.metrics.audio(audio_s, result.windows, result.utterances, result.seconds)
        self._parts.metrics.lag(self._audio_queue.held_s)
        # What standard output shows already is not logged too.
        shown, told = log("recognizer").debug, log("recognizer").info
        for event in result.events:
            why: dict[str, Any] = {"reason": event.reason} if event.reason else {}
            (shown if self._shown and event.reason not in LEVEL_REASONS else told)(
                f"{event.kind} {event.label}",
                sequence=event.sequence,
                offset_s=event.offset_s,
                probability=max(event.probabilities.values(), default=0.0),
                level_dbfs=event.level_dbfs,
                **why,
            )
            self._parts.metrics.event(event)
            self.hub.event(event)

    def _count(self, gap: Gap) -> None:
        # Without a loss it is only where one utterance ends and another begins.
        if gap.lost_s != 0:
            self._parts.metrics.gap(gap.cause, gap.lost_s or 0.0)
            log("source").warning("audio is missing", reason=gap.reason, lost_s=gap.lost_s)

    async def _follow(self) -> None:
        """Take over bundles that are dropped in."""
        async for found in self._parts.watcher.changes():
            self._reject(found if isinstance(found, RejectedBundle) else None)
            if found is None:
                log("bundle").debug("the file is the same as before")
            else:
                self._parts.metrics.swap(isinstance(found, LoadedBundle))
            if isinstance(found, LoadedBundle):
                await self._audio_queue.put(Command(found))

    def _reject(self, rejected: RejectedBundle | None) -> None:
        """Show and log a bundle that was not taken; None: there is none any more."""
        self.daemon_status.rejected = rejected
        if rejected is not None:
            log("bundle").warning("not taken", file=rejected.file, reason=rejected.reason)

    def _install(self, live: LoadedBundle) -> None:
        """Let the bundle that the recognizer has by now describe itself and answer requests."""
        self.daemon_status.live = live
        self.handlers.exchange(live)
        self._parts.delivery.reopen(self._parts.device(live))
        self._parts.metrics.model(live.classifier.manifest.name, live.sha256)
        name = live.classifier.manifest.name
        log("bundle").info("in use", name=name, sha256=live.sha256[:12])

    async def _tick(self) -> None:
        """Publish, five times a second, the live state, changes of the source, the watchdog."""
        reported, ping_s, ping_at = "", self._parts.system.ping_s, 0.0
        while True:
            if self.hub.listeners:
                self.hub.live(self.daemon_status.state())
            reported = self._report_source(reported)
            self._parts.metrics.event_queue(not self._parts.event_queue.failing)
            self._parts.delivery.check()
            if self._is_silent():
                await self._audio_queue.put(Command(SilenceTimeout()))
            if ping_s and self._alive() and time.monotonic() >= ping_at:
                self._parts.system.watchdog()
                ping_at = time.monotonic() + ping_s
            await asyncio.sleep(TICK_S)

    def _is_silent(self) -> bool:
        """Say whether an emotion goes on though no sound comes: the speaker or device has gone."""
        if self.daemon_status.emotion.label is None:
            return False
        timeout_s = max(SILENCE_S, self._settings.smoothing.end_after_s)
        # A file that is read slowly is still the same sound.
        return self._source.kind != "file" and self._recognizer.idle_s > timeout_s

    def _report_source(self, reported: str) -> str:
        """Report how the source is, where that is new; progress is not."""
        status = self._source.status
        detail = f" ({status.detail})" if status.detail and status.state != "ok" else ""
        line = f"{status.name}: {status.state}{detail}"
        self._parts.delivery.report("" if self.daemon_status.ready()["ready"] else line)
        if line != reported:
            self._parts.metrics.source(status.state, self._source.up)
            self._parts.system.status(line)
            say = log("source").warning if status.state == "lost" else log("source").info
            say(line)
        return line

    def _alive(self) -> bool:
        """Say whether the recognizer works: a network that hangs must not look well to systemd."""
        return self._recognizer.busy_s < STUCK_S


async def _first_to_break(
    recognizing: asyncio.Task[None], others: list[asyncio.Task[None]]
) -> None:
    done, _ = await asyncio.wait({recognizing, *others}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
