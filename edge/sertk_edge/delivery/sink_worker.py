"""A thread for each sink: takes events from the queue, in order, and does not give up."""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from math import inf
from typing import Literal, TypeVar

from ser_toolkit.runtime.events import Device, DeviceStatus, Event, Outlet, Sink

from ..events import age_s
from ..service.error_text import error_text
from ..sinks.base import ContendedError, StdoutClosedError
from .event_queue import EventQueue

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 30.0
DRAIN_PAUSE_S = 0.1
SLOW_S = 5.0
IDLE_S = 1.0
T = TypeVar("T")
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class SinkStatus:
    """How a sink does: `waiting` before it is open and while it is slow, `failing` after an error.

    `pending` events wait for it, `delivered` and `failures` count since the start, `dropped` were
    lost at the queue's bound, `expired` were too old for the sink. `detail` is one line, empty when
    all is well.
    """

    name: str
    state: Literal["ok", "waiting", "failing"]
    pending: int
    delivered: int
    failures: int
    dropped: int
    expired: int
    detail: str


class SinkWorker:
    """Carries the events of a queue to one sink: open, deliver, commit; after a failure, again.

    An event is committed after it was delivered, so it is delivered again when the process ends
    between the two, with the same id. The pause after a failure doubles up to LONGEST_PAUSE_S, with
    jitter, until the sink has worked for so long; it is a long one at once where another client
    takes the sink's place. While there is no event, the sink is asked each IDLE_S whether all is
    well. The sink is a plugin's code: whatever it raises is contained, and where it hangs, only its
    own thread does. When standard output has no reader any more, the worker calls `closed`, in its
    own thread, and ends; `check` raises then. The queue has its place under `key`.
    """

    def __init__(
        self,
        name: str,
        sink: Sink,
        device: Device,
        event_queue: EventQueue,
        closed: Callable[[], None] | None = None,
        jitter: Callable[[], float] = random.random,
        key: str = "",
    ) -> None:
        self.name, self._key = name, key or name
        event_queue.register(self._key, sink.durable)
        self._sink = sink
        self._device = device
        self._event_queue = event_queue
        self._closed = closed
        self._jitter = jitter
        self._thread = threading.Thread(target=self._run, name=f"sink {name}", daemon=True)
        self._stopping = self._draining = self._reopening = False
        self._nudge = threading.Event()
        self._state: Literal["ok", "waiting", "failing"] = "waiting"
        self._detail = "not open yet"
        self._busy_since = inf
        self._delivered = self._expired = self._failures = self._in_a_row = 0
        self._problem, self._reported = "no sound has arrived yet", ""
        self._ended_by: StdoutClosedError | None = None

    @property
    def status(self) -> SinkStatus:
        """Return how the sink does; costs nothing and never waits."""
        state, detail = self._state, self._detail
        busy_s = time.monotonic() - self._busy_since
        if busy_s > SLOW_S:
            state = "waiting" if state == "ok" else state
            detail = f"no answer for {busy_s:.0f} s" + (f"; before: {detail}" if detail else "")
        return SinkStatus(
            self.name,
            state,
            self._event_queue.pending(self._key),
            self._delivered,
            self._failures,
            self._event_queue.dropped.get(self._key, 0),
            self._expired,
            detail,
        )

    def start(self) -> None:
        """Open the sink and begin to deliver."""
        self._thread.start()

    def reopen(self, device: Device) -> None:
        """Open the sink anew, because what it introduced has changed."""
        self._device = device
        self._reopening = True
        self._interrupt()

    def report(self, problem: str) -> None:
        """Let the sink show why no sound arrives; empty: it does."""
        if problem != self._problem:
            self._problem = problem
            self._event_queue.wake()

    def drain(self, timeout_s: float) -> bool:
        """Deliver what waits, without long pauses; False where that took too long."""
        self._draining = True
        self._interrupt()
        try:
            self._event_queue.wait_for(
                lambda: self._is_drained or not self._thread.is_alive(), timeout_s
            )
            return self._is_drained
        finally:
            self._draining = False

    def stop(self, timeout_s: float = 1.0) -> bool:
        """Close the sink; False where it does not return, then its thread ends with the process."""
        self._stopping = True
        self._interrupt()
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def check(self) -> None:
        """Raise StdoutClosedError where that ended the worker."""
        if self._ended_by is not None:
            raise self._ended_by

    @property
    def _is_drained(self) -> bool:
        return self._event_queue.pending(self._key) == 0

    def _interrupt(self) -> None:
        self._nudge.set()
        self._event_queue.wake()

    def _run(self) -> None:
        while not self._stopping:
            began = time.monotonic()
            try:
                self._session()
            except StdoutClosedError as error:
                self._ended_by = error
                self._tell("failing", error_text(error))
                if self._closed is not None:
                    self._closed()
                return
            # A plugin may call sys.exit(), and must not end the worker by it.
            except BaseException as error:
                if time.monotonic() - began > LONGEST_PAUSE_S:
                    self._in_a_row = 0
                self._failed(error)
                self._pause(isinstance(error, ContendedError))

    def _session(self) -> None:
        """Open the sink, deliver, and close it because of stop, reopen or an error."""
        self._reopening = False
        outlet = self._timed(lambda: self._sink.open(self._device))
        try:
            self._refresh(outlet)
            if not self._in_a_row or not self._event_queue.pending(self._key):
                self._tell("ok", "")
            while not self._stopping and not self._reopening:
                self._step(outlet)
        finally:
            self._timed(lambda: _close(outlet))

    def _step(self, outlet: Outlet) -> None:
        waits = self._event_queue.wait(self._key, IDLE_S, self._has_news)
        if self._is_interrupted():
            return
        event = self._event_queue.next(self._key) if waits else None
        self._refresh(outlet)
        if event is not None:
            self._deliver(outlet, event)
        elif waits:
            # There is an event that the disk does not give; `problem` has why.
            self._nudge.wait(FIRST_PAUSE_S)
            self._nudge.clear()

    def _is_interrupted(self) -> bool:
        return self._stopping or self._reopening

    def _has_news(self) -> bool:
        return self._is_interrupted() or self._problem != self._reported

    def _refresh(self, outlet: Outlet) -> None:
        status = DeviceStatus(self._event_queue.newest, self._problem)
        self._timed(lambda: outlet.refresh(status))
        self._reported = status.problem

    def _deliver(self, outlet: Outlet, event: Event) -> None:
        if 0 < self._sink.max_age_s < age_s(event):
            self._expire()
        else:
            self._timed(lambda: outlet.deliver(event))
            self._delivered += 1
        self._event_queue.commit(self._key, event.sequence)
        self._tell("ok", "")

    def _expire(self) -> None:
        self._expired += 1
        oldest = f"{self._sink.max_age_s:g} s"
        LOG.warning("sink %s: events older than %s are not delivered", self.name, oldest)

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self._in_a_row += 1
        self._tell("failing", error_text(error))

    def _pause(self, long: bool) -> None:
        pause_s = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(self._in_a_row - 1, 10))
        pause_s = LONGEST_PAUSE_S if long else pause_s
        pause_s *= 0.5 + self._jitter() / 2
        self._nudge.wait(DRAIN_PAUSE_S if self._draining else pause_s)
        self._nudge.clear()

    def _timed(self, step: Callable[[], T]) -> T:
        """Do something that may take long, and let `status` see that."""
        self._busy_since = time.monotonic()
        try:
            return step()
        finally:
            self._busy_since = inf

    def _tell(self, state: Literal["ok", "waiting", "failing"], detail: str) -> None:
        """Log what has changed, not each attempt."""
        if (state, detail) == (self._state, self._detail):
            return
        was, self._state, self._detail = self._state, state, detail
        if state == "failing":
            waiting = self._event_queue.pending(self._key)
            events = "event waits" if waiting == 1 else "events wait"
            LOG.warning("sink %s: %s (%d %s)", self.name, detail, waiting, events)
        elif was == "failing":
            LOG.info("sink %s works again", self.name)


def _close(outlet: Outlet) -> None:
    try:
        outlet.close()
    except BaseException as error:
        LOG.debug("closing failed: %s", error_text(error))
