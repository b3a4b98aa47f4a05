"""The daemon: source, ear, spool, sinks and HTTP, wired together and kept running.

source ─▶ inbox ─▶ ear (its thread) ─▶ spool ─▶ couriers (a thread per sink)
                              │
                              └─▶ hub, dashboard, metrics ─▶ HTTP
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from ser_toolkit.runtime.events import Device

from .attention import Attention, End, Lull, Orders, Outcome
from .background import Worker
from .config import Settings
from .dashboard import Dashboard
from .delivery import Delivery
from .desk import Desk
from .gate import Detector
from .http.metrics import Metrics
from .inbox import Inbox, Order, seconds
from .logs import log
from .notify import Supervisor
from .recorder import Recorder
from .services import Hub
from .sources.base import Chunk, Gap, Source
from .spool import Spool
from .swap import Live, Rejected, Watch

TICK_S = 0.2
STUCK_S = 30.0
# With the pauses in main.py less than a second, however many things hang.
END_S = 0.3
# Sound may come in pieces; none for so long is more than a pause between two.
LULL_S = 2.0
STDOUT = ("console", "json_lines")


@dataclass(frozen=True, eq=False)
class Parts:
    """What was made before the daemon runs."""

    settings: Settings
    device: Callable[[Live], Device]
    live: Live
    watch: Watch
    spool: Spool
    delivery: Delivery
    source: Source
    detector: Callable[[], Detector]
    metrics: Metrics
    system: Supervisor


class Daemon:
    """Runs until the source ends, a part breaks, or it is cancelled."""

    def __init__(self, parts: Parts) -> None:
        settings = parts.settings
        self._parts = parts
        self._settings = settings
        self._source = parts.source
        self._inbox: Inbox[Orders] = Inbox(parts.source.realtime)
        self._worker = Worker("ear")
        self._attention = Attention(parts.live, settings, parts.detector, parts.spool)
        self._recorder = Recorder(d) if (d := settings.debug.audio_dir) else None
        self._busy_since: float | None = None
        self._idle_since = time.monotonic()
        self._shown = any(name in STDOUT for name, _ in settings.sinks)
        self.hub = Hub()
        self.dashboard = Dashboard(
            settings, parts.live, parts.source, parts.delivery.statuses, lambda: parts.spool.problem
        )
        self.desk = Desk(parts.live, settings, parts.detector)
        parts.metrics.model(parts.live.classifier.manifest.name, parts.live.sha256)

    async def run(self) -> None:
        """Listen until the source ends. Raises what breaks a part."""
        attending = asyncio.create_task(self._attend(), name="ear")
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
            await _first_to_break(attending, others)
        finally:
            for task in (attending, *others):
                task.cancel()
            await asyncio.gather(attending, *others, return_exceptions=True)

    async def _start(self) -> None:
        """Say that we serve once it is known how the source is, lost ones included.

        A service that is called started then answers /readyz as it will go on answering.
        """
        while self._source.status.state == "starting":
            await asyncio.sleep(TICK_S / 10)
        self._parts.system.ready()
        await asyncio.Event().wait()

    async def finish(self) -> None:
        """End what goes on, and tell it; then hear no more."""
        await self._source.close()
        try:
            await asyncio.wait_for(self._take(Order(End())), END_S)
        except asyncio.TimeoutError:
            log("ear").error("it is stuck, and left behind")
        self._worker.close()
        self.desk.close()
        if self._recorder is not None:
            self._recorder.close()

    async def _pump(self) -> None:
        """Audio from the source to the inbox."""
        async for item in self._source:
            await self._inbox.put(item)
        await self._inbox.put(Order(End()))
        # The ear says when the daemon ends: there is audio to be heard yet.
        await asyncio.Event().wait()

    async def _attend(self) -> None:
        """From the inbox to the ear, one item at a time, until the end."""
        while True:
            item = await self._inbox.get()
            if isinstance(item, Gap):
                self._count(item)
            await self._take(item)
            if isinstance(item, Order) and isinstance(item.what, End):
                return

    async def _take(self, item: Chunk | Gap | Order[Orders]) -> None:
        self._busy_since = time.monotonic()
        outcome = await self._worker.run(lambda: self._listen(item))
        self._busy_since, self._idle_since = None, time.monotonic()
        if isinstance(item, Order) and isinstance(item.what, Live):
            self._install(item.what)
        self._tell(item, outcome)

    def _listen(self, item: Chunk | Gap | Order[Orders]) -> Outcome:
        """In the thread of the ear."""
        if self._recorder is not None and isinstance(item, Chunk):
            try:
                self._recorder.write(item)
            except (OSError, RuntimeError) as error:
                log("recorder").warning("the recording fails", error=str(error))
        return self._attention.take(item)

    def _tell(self, item: Chunk | Gap | Order[Orders], outcome: Outcome) -> None:
        self.dashboard.mood, self.dashboard.meter = outcome.mood, outcome.meter
        audio_s = seconds(item) if isinstance(item, Chunk) else 0.0
        self._parts.metrics.heard(audio_s, outcome.windows, outcome.utterances, outcome.seconds)
        self._parts.metrics.lag(self._inbox.held_s)
        # What standard output shows already is not said twice.
        say = log("ear").debug if self._shown else log("ear").info
        for event in outcome.events:
            say(
                f"{event.kind} {event.label}",
                sequence=event.sequence,
                offset_s=event.offset_s,
                probability=max(event.probabilities.values(), default=0.0),
            )
            self._parts.metrics.event(event)
            self.hub.event(event)

    def _count(self, gap: Gap) -> None:
        # Without a loss it is only where one utterance ends and another begins.
        if gap.lost_s != 0:
            self._parts.metrics.gap(gap.reason, gap.lost_s or 0.0)
            log("source").warning("audio is missing", reason=gap.reason, lost_s=gap.lost_s)

    async def _follow(self) -> None:
        """Bundles that are dropped in."""
        async for found in self._parts.watch.changes():
            self.dashboard.rejected = found if isinstance(found, Rejected) else None
            if found is not None:
                self._parts.metrics.swap(isinstance(found, Live))
            if isinstance(found, Live):
                await self._inbox.put(Order(found))
            if isinstance(found, Rejected):
                log("bundle").warning("not taken", file=found.file, reason=found.reason)

    def _install(self, live: Live) -> None:
        """What listens by now is also what tells of itself and answers requests."""
        self.dashboard.live = live
        self.desk.exchange(live)
        self._parts.delivery.reopen(self._parts.device(live))
        self._parts.metrics.model(live.classifier.manifest.name, live.sha256)
        name = live.classifier.manifest.name
        log("bundle").info("in use", name=name, sha256=live.sha256[:12])

    async def _tick(self) -> None:
        """Five times a second: the live state, changes of the source, the watchdog."""
        told, ping_s, ping_at = "", self._parts.system.ping_s, 0.0
        while True:
            if self.hub.listeners:
                self.hub.live(self.dashboard.state())
            told = self._tell_source(told)
            self._parts.metrics.spool(not self._parts.spool.failing)
            self._parts.delivery.check()
            if self._is_lull():
                await self._inbox.put(Order(Lull()))
            if ping_s and self._alive() and time.monotonic() >= ping_at:
                self._parts.system.watchdog()
                ping_at = time.monotonic() + ping_s
            await asyncio.sleep(TICK_S)

    def _is_lull(self) -> bool:
        """Whether an emotion goes on though no sound comes: who spoke has gone, or the device."""
        if self.dashboard.mood.label is None or self._busy_since is not None:
            return False
        lull_s = max(LULL_S, self._settings.smoothing.end_after_s)
        # A file that is read slowly is still the same sound.
        return self._source.kind != "file" and time.monotonic() - self._idle_since > lull_s

    def _tell_source(self, told: str) -> str:
        """Say how the source is, where that is new; progress is not."""
        status = self._source.status
        detail = f" ({status.detail})" if status.detail and status.state != "ok" else ""
        line = f"{status.name}: {status.state}{detail}"
        if line != told:
            self._parts.metrics.source(status.state, self._source.up)
            self._parts.system.status(line)
            say = log("source").warning if status.state == "lost" else log("source").info
            say(line)
        return line

    def _alive(self) -> bool:
        """Whether the ear is at work: a network that hangs must not look well to systemd."""
        since = self._busy_since
        return since is None or time.monotonic() - since < STUCK_S


async def _first_to_break(attending: asyncio.Task[None], others: list[asyncio.Task[None]]) -> None:
    done, _ = await asyncio.wait({attending, *others}, return_when=asyncio.FIRST_COMPLETED)
    for task in done:
        task.result()
