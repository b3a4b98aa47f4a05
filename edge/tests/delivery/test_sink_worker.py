"""Couriers: every event arrives, in order, whatever the sink does and whenever the process dies."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.events import Device, DeviceStatus, Event, Outlet, Sink
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.events import EventDraft
from sertk_edge.sinks.base import StdoutClosedError

DEVICE = Device("pi", "Kitchen", ("anger", "joy"), "msf", "1")
SOON_S = 10.0


def draft(number: int) -> EventDraft:
    return EventDraft("started", 0.0, float(number), "anger", {"anger": 1.0}, -20.0)


@dataclass(frozen=True)
class Recorder(Sink):
    """Keeps what it is given, once `behave` has agreed."""

    name = "recorder"
    behave: Callable[[str, Any], None] = lambda step, subject: None
    taken: list[float] = field(default_factory=list)
    opened: list[Device] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)
    shown: list[DeviceStatus] = field(default_factory=list)

    def open(self, device: Device) -> Outlet:
        self.behave("open", device)
        self.opened.append(device)
        return RecorderOutlet(self)


class RecorderOutlet(Outlet):
    def __init__(self, sink: Recorder) -> None:
        self._sink = sink

    def deliver(self, event: Event) -> None:
        self._sink.behave("deliver", event)
        self._sink.taken.append(event.offset_s)

    def refresh(self, status: DeviceStatus) -> None:
        self._sink.shown.append(status)
        self._sink.behave("refresh", status)

    def close(self) -> None:
        self._sink.closed.append(True)
        self._sink.behave("close", None)


@pytest.fixture
def event_queue(tmp_path: Path) -> Iterator[EventQueue]:
    with closing(EventQueue(tmp_path / "state")) as event_queue:
        yield event_queue


@pytest.fixture
def carry(event_queue: EventQueue) -> Iterator[Callable[..., SinkWorker]]:
    """A worker that has started, with short pauses."""
    workers: list[SinkWorker] = []

    def start(sink: Sink, name: str = "sink", **more: Any) -> SinkWorker:
        worker = SinkWorker(name, sink, DEVICE, event_queue, jitter=lambda: 0.0, **more)
        workers.append(worker)
        worker.start()
        return worker

    yield start
    for worker in workers:
        worker.stop(0.0)


def until(event_queue: EventQueue, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not ready() and time.monotonic() < end:
        event_queue.wait_for(ready, 0.02)
    assert ready()


def fails(*steps: str, error: BaseException, times: int = 1) -> Callable[[str, Any], None]:
    left = [times]

    def behave(step: str, _subject: Any) -> None:
        if step in steps and left[0]:
            left[0] -= 1
            raise error

    return behave


def waits(ever: threading.Event) -> None:
    ever.wait(60.0)


def test_it_opens_before_there_is_anything(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    sink = Recorder()
    worker = carry(sink)
    until(event_queue, lambda: worker.status.state == "ok")
    assert sink.opened == [DEVICE]
    for number in range(5):
        event_queue.append(draft(number))
    assert worker.drain(SOON_S)
    assert sink.taken == [0, 1, 2, 3, 4]
    assert worker.stop(SOON_S)
    assert sink.closed == [True]
    status = worker.status
    assert (status.state, status.pending, status.delivered, status.detail) == ("ok", 0, 5, "")


class OddError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


RAISED = (
    (OSError(111, "Connection refused"), "Connection refused"),
    (ValueError("two\nlines \x1b[31m and <b>"), "ValueError: two lines [31m and <b>"),
    (SystemExit(3), "SystemExit: 3"),
    (KeyboardInterrupt(), "KeyboardInterrupt"),
    (GeneratorExit("x" * 999), "GeneratorExit: " + "x" * 185),
    (OddError(), "OddError"),
)


@pytest.mark.parametrize("where", ["open", "deliver", "close"])
def test_whatever_a_sink_raises(event_queue: EventQueue, where: str) -> None:
    for error, told in RAISED:
        details = []
        behaves = fails(where, "deliver" if where == "close" else where, error=error, times=2)

        def behave(step: str, subject: Any) -> None:
            details.append(worker.status.detail)  # noqa: B023
            behaves(step, subject)  # noqa: B023

        worker = SinkWorker(told, Recorder(behave), DEVICE, event_queue, jitter=lambda: 0.0)
        for number in range(3):
            event_queue.append(draft(number))
        worker.start()
        assert worker.drain(SOON_S)
        assert worker.stop(SOON_S)
        assert told in details
        assert (worker.status.state, worker.status.delivered) == ("ok", 3), told


def test_after_a_failure_the_same_event_comes_again(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    tried: list[str] = []

    def behave(step: str, subject: Any) -> None:
        if step == "deliver":
            tried.append(subject.id)
            if len(tried) in (2, 3):
                raise ConnectionResetError

    sink = Recorder(behave)
    event_queue.register("sink")
    ids = [event_queue.append(draft(number)).id for number in range(3)]
    worker = carry(sink)
    assert worker.drain(SOON_S)
    assert tried == [ids[0], ids[1], ids[1], ids[1], ids[2]]
    assert sink.taken == [0, 1, 2]
    assert len(sink.opened) == 3
    assert worker.status.failures == 2


def test_pauses_grow_and_only_changes_are_logged(
    event_queue: EventQueue, carry: Callable[..., SinkWorker], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    attempts: list[float] = []

    def behave(step: str, _subject: Any) -> None:
        if step == "open":
            attempts.append(time.monotonic())
        if len(attempts) < 5:
            raise ConnectionRefusedError(111, "Connection refused")

    worker = carry(Recorder(behave))
    until(event_queue, lambda: worker.status.state == "ok")
    pauses = [b - a for a, b in pairwise(attempts)]
    # At least: half of 0.5, 1, 2, 4 seconds, where jitter is least.
    assert all(p >= least for p, least in zip(pauses, (0.25, 0.5, 1, 2), strict=True))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "sink sink: Connection refused (0 events wait)",
        "sink sink works again",
    ]


def test_pauses_grow_where_a_sink_takes_an_event_and_breaks(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    """So it is where two devices of one name take the connection from each other."""
    opened: list[float] = []
    taken: list[float] = []

    def behave(step: str, _subject: Any) -> None:
        if step == "open":
            opened.append(time.monotonic())
        if step == "refresh" and len(taken) >= len(opened) < 5:
            raise ConnectionResetError

    carry(Recorder(behave, taken))
    for number in range(9):
        event_queue.append(draft(number))
    until(event_queue, lambda: len(taken) == 9)
    pauses = [b - a for a, b in pairwise(opened)]
    assert all(p >= least for p, least in zip(pauses, (0.25, 0.5, 1, 2), strict=True))


def test_one_event_waits_and_two_wait(
    event_queue: EventQueue, carry: Callable[..., SinkWorker], caplog: pytest.LogCaptureFixture
) -> None:
    event_queue.register("two")
    event_queue.append(draft(0))
    event_queue.register("one")
    event_queue.append(draft(1))
    for name, output in (("one", "1 event waits"), ("two", "2 events wait")):
        carry(Recorder(fails("open", error=OSError("gone"), times=99)), name)
        until(event_queue, lambda output=output: f"gone ({output})" in caplog.text)


def test_a_dead_sink_does_not_hold_up_another(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    ever = threading.Event()
    good, bad = Recorder(), Recorder(fails("open", error=OSError(), times=99))
    hangs = Recorder(lambda *_: waits(ever))
    workers = [carry(good, "good"), carry(bad, "bad"), carry(hangs, "hangs")]
    for number in range(20):
        event_queue.append(draft(number))
    assert workers[0].drain(SOON_S)
    assert good.taken == list(range(20))
    assert [worker.status.pending for worker in workers] == [0, 20, 20]
    assert not workers[1].drain(0.1)
    ever.set()


@pytest.mark.parametrize("where", ["open", "deliver", "close"])
def test_a_sink_that_hangs_does_not_hold_up_the_end(
    event_queue: EventQueue, carry: Callable[..., SinkWorker], where: str
) -> None:
    ever, hangs = threading.Event(), threading.Event()

    def behave(step: str, _subject: Any) -> None:
        if step == where:
            hangs.set()
            ever.wait(60.0)

    worker = carry(Recorder(behave))
    event_queue.append(draft(0))
    if where == "close":
        assert worker.drain(SOON_S)
        threading.Timer(0.1, worker.stop, (0.0,)).start()
    assert hangs.wait(SOON_S)
    assert not worker.stop(0.1)
    event_queue.close()
    ever.set()
    assert worker.stop(SOON_S)


def test_stopping_ends_a_long_pause(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    worker = carry(Recorder(fails("open", error=OSError(), times=99)))
    until(event_queue, lambda: worker.status.failures >= 3)
    assert worker.stop(SOON_S)


def test_a_new_model_is_introduced(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    sink = Recorder()
    worker = carry(sink)
    until(event_queue, lambda: len(sink.opened) == 1)
    other = Device("pi", "Kitchen", ("calm",), "other", "1")
    worker.reopen(other)
    until(event_queue, lambda: len(sink.opened) == 2)
    assert sink.opened == [DEVICE, other]
    event_queue.append(draft(0))
    assert worker.drain(SOON_S)
    assert sink.closed == [True]


def test_a_sink_is_told_how_the_device_is(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    event_queue.register("sink")
    old, newest = (event_queue.append(draft(number)) for number in range(2))
    sink = Recorder()
    worker = carry(sink)
    assert worker.drain(SOON_S)
    # The newest at once, before the older ones that wait are delivered.
    assert sink.shown[0] == DeviceStatus(newest, "no sound has arrived yet") and old != newest
    for problem in ("", "USB: lost"):
        worker.report(problem)
        until(event_queue, lambda p=problem: sink.shown[-1] == DeviceStatus(newest, p))


def test_a_sink_that_breaks_while_there_is_no_event_is_opened_anew(
    event_queue: EventQueue, carry: Callable[..., SinkWorker], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    broken = threading.Event()

    def behave(step: str, _subject: Any) -> None:
        if step == "refresh" and broken.is_set():
            raise ConnectionResetError(104, "Connection reset by peer")

    worker = carry(Recorder(behave))
    until(event_queue, lambda: worker.status.state == "ok")
    broken.set()
    until(event_queue, lambda: worker.status.state == "failing")
    broken.clear()
    until(event_queue, lambda: worker.status.state == "ok")
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "sink sink: Connection reset by peer (0 events wait)",
        "sink sink works again",
    ]


def test_a_slow_sink_is_said_to_be_slow(
    event_queue: EventQueue, carry: Callable[..., SinkWorker], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sertk_edge.delivery.sink_worker.SLOW_S", 0.05)
    ever = threading.Event()
    worker = carry(Recorder(lambda *_: waits(ever)))
    until(event_queue, lambda: "no answer for" in worker.status.detail)
    assert worker.status.state == "waiting"
    ever.set()
    until(event_queue, lambda: worker.status.state == "ok")


def test_it_ends_with_standard_output(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    ended = threading.Event()
    worker = carry(Recorder(fails("deliver", error=StdoutClosedError("gone"))), closed=ended.set)
    worker.check()
    event_queue.append(draft(0))
    assert ended.wait(SOON_S)
    with pytest.raises(StdoutClosedError):
        worker.check()
    assert worker.stop(SOON_S)


def test_a_forgetful_sink_hears_only_what_comes(
    event_queue: EventQueue, carry: Callable[..., SinkWorker]
) -> None:
    @dataclass(frozen=True)
    class Forgetful(Recorder):
        durable = False

    event_queue.register("sink")
    event_queue.append(draft(0))
    sink = Forgetful()
    worker = carry(sink)
    event_queue.append(draft(1))
    assert worker.drain(SOON_S)
    assert sink.taken == [1]
