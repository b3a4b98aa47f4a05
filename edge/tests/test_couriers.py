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

from ser_toolkit.runtime.events import Device, Event, Outlet, Sink
from sertk_edge.couriers import Courier
from sertk_edge.sinks import StdoutClosed
from sertk_edge.spool import Draft, Spool

DEVICE = Device("pi", "Kitchen", ("anger", "joy"), "msf", "1")
SOON_S = 10.0


def draft(number: int) -> Draft:
    return Draft("started", 0.0, float(number), "anger", {"anger": 1.0}, -20.0)


@dataclass(frozen=True)
class Recorder(Sink):
    """Keeps what it is given, once `behave` has agreed."""

    name = "recorder"
    behave: Callable[[str, Any], None] = lambda step, subject: None
    taken: list[float] = field(default_factory=list)
    opened: list[Device] = field(default_factory=list)
    closed: list[bool] = field(default_factory=list)

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

    def close(self) -> None:
        self._sink.closed.append(True)
        self._sink.behave("close", None)


@pytest.fixture
def spool(tmp_path: Path) -> Iterator[Spool]:
    with closing(Spool(tmp_path / "state")) as spool:
        yield spool


@pytest.fixture
def carry(spool: Spool) -> Iterator[Callable[..., Courier]]:
    """A courier that has started, with short pauses."""
    couriers: list[Courier] = []

    def start(sink: Sink, name: str = "sink", **more: Any) -> Courier:
        courier = Courier(name, sink, DEVICE, spool, jitter=lambda: 0.0, **more)
        couriers.append(courier)
        courier.start()
        return courier

    yield start
    for courier in couriers:
        courier.stop(0.0)


def until(spool: Spool, ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not ready() and time.monotonic() < end:
        spool.wait_for(ready, 0.02)
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


def test_it_opens_before_there_is_anything(spool: Spool, carry: Callable[..., Courier]) -> None:
    sink = Recorder()
    courier = carry(sink)
    until(spool, lambda: courier.status.state == "ok")
    assert sink.opened == [DEVICE]
    for number in range(5):
        spool.append(draft(number))
    assert courier.drain(SOON_S)
    assert sink.taken == [0, 1, 2, 3, 4]
    assert courier.stop(SOON_S)
    assert sink.closed == [True]
    status = courier.status
    assert (status.state, status.pending, status.delivered, status.detail) == ("ok", 0, 5, "")


class OddError(Exception):
    def __str__(self) -> str:
        raise ValueError("not even this")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (OSError(111, "Connection refused"), "Connection refused"),
        (ValueError("two\nlines \x1b[31m and <b>"), "ValueError: two lines [31m and <b>"),
        (SystemExit(3), "SystemExit: 3"),
        (KeyboardInterrupt(), "KeyboardInterrupt"),
        (GeneratorExit("x" * 999), "GeneratorExit: " + "x" * 185),
        (OddError(), "OddError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, BaseException) else "",
)
@pytest.mark.parametrize("step", ["open", "deliver", "close"])
def test_whatever_a_sink_raises(
    spool: Spool, carry: Callable[..., Courier], step: str, error: BaseException, told: str
) -> None:
    details = []
    behaves = fails(step, "deliver" if step == "close" else step, error=error, times=2)

    def behave(step: str, subject: Any) -> None:
        details.append(courier.status.detail)
        behaves(step, subject)

    courier = Courier("sink", Recorder(behave), DEVICE, spool, jitter=lambda: 0.0)
    for number in range(3):
        spool.append(draft(number))
    courier.start()
    assert courier.drain(SOON_S)
    assert courier.stop(SOON_S)
    assert told in details
    assert (courier.status.state, courier.status.delivered) == ("ok", 3)


def test_after_a_failure_the_same_event_comes_again(
    spool: Spool, carry: Callable[..., Courier]
) -> None:
    tried: list[str] = []

    def behave(step: str, subject: Any) -> None:
        if step == "deliver":
            tried.append(subject.id)
            if len(tried) in (2, 3):
                raise ConnectionResetError

    sink = Recorder(behave)
    spool.register("sink")
    ids = [spool.append(draft(number)).id for number in range(3)]
    courier = carry(sink)
    assert courier.drain(SOON_S)
    assert tried == [ids[0], ids[1], ids[1], ids[1], ids[2]]
    assert sink.taken == [0, 1, 2]
    assert len(sink.opened) == 3
    assert courier.status.failures == 2


def test_pauses_grow_and_only_changes_are_logged(
    spool: Spool, carry: Callable[..., Courier], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    attempts: list[float] = []

    def behave(step: str, _subject: Any) -> None:
        attempts.append(time.monotonic())
        if len(attempts) < 5:
            raise ConnectionRefusedError(111, "Connection refused")

    courier = carry(Recorder(behave))
    until(spool, lambda: courier.status.state == "ok")
    pauses = [b - a for a, b in pairwise(attempts)]
    # At least: half of 0.5, 1, 2, 4 seconds, where jitter is least.
    assert all(p >= least for p, least in zip(pauses, (0.25, 0.5, 1, 2), strict=True))
    lines = [record.getMessage() for record in caplog.records]
    assert lines == [
        "sink sink: Connection refused (0 events wait)",
        "sink sink works again",
    ]


def test_one_event_waits_and_two_wait(
    spool: Spool, carry: Callable[..., Courier], caplog: pytest.LogCaptureFixture
) -> None:
    spool.register("two")
    spool.append(draft(0))
    spool.register("one")
    spool.append(draft(1))
    for name, said in (("one", "1 event waits"), ("two", "2 events wait")):
        carry(Recorder(fails("open", error=OSError("gone"), times=99)), name)
        until(spool, lambda said=said: f"gone ({said})" in caplog.text)


def test_a_dead_sink_does_not_hold_up_another(spool: Spool, carry: Callable[..., Courier]) -> None:
    ever = threading.Event()
    good, bad = Recorder(), Recorder(fails("open", error=OSError(), times=99))
    hangs = Recorder(lambda *_: waits(ever))
    couriers = [carry(good, "good"), carry(bad, "bad"), carry(hangs, "hangs")]
    for number in range(20):
        spool.append(draft(number))
    assert couriers[0].drain(SOON_S)
    assert good.taken == list(range(20))
    assert [courier.status.pending for courier in couriers] == [0, 20, 20]
    assert not couriers[1].drain(0.1)
    ever.set()


@pytest.mark.parametrize("where", ["open", "deliver", "close"])
def test_a_sink_that_hangs_does_not_hold_up_the_end(
    spool: Spool, carry: Callable[..., Courier], where: str
) -> None:
    ever, hangs = threading.Event(), threading.Event()

    def behave(step: str, _subject: Any) -> None:
        if step == where:
            hangs.set()
            ever.wait(60.0)

    courier = carry(Recorder(behave))
    spool.append(draft(0))
    if where == "close":
        assert courier.drain(SOON_S)
        threading.Timer(0.1, courier.stop, (0.0,)).start()
    assert hangs.wait(SOON_S)
    assert not courier.stop(0.1)
    spool.close()
    ever.set()
    assert courier.stop(SOON_S)


def test_stopping_ends_a_long_pause(spool: Spool, carry: Callable[..., Courier]) -> None:
    courier = carry(Recorder(fails("open", error=OSError(), times=99)))
    until(spool, lambda: courier.status.failures >= 3)
    assert courier.stop(SOON_S)


def test_a_new_model_is_introduced(spool: Spool, carry: Callable[..., Courier]) -> None:
    sink = Recorder()
    courier = carry(sink)
    until(spool, lambda: len(sink.opened) == 1)
    other = Device("pi", "Kitchen", ("calm",), "other", "1")
    courier.reopen(other)
    until(spool, lambda: len(sink.opened) == 2)
    assert sink.opened == [DEVICE, other]
    spool.append(draft(0))
    assert courier.drain(SOON_S)
    assert sink.closed == [True]


def test_a_slow_sink_is_said_to_be_slow(
    spool: Spool, carry: Callable[..., Courier], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sertk_edge.couriers.SLOW_S", 0.05)
    ever = threading.Event()
    courier = carry(Recorder(lambda *_: waits(ever)))
    until(spool, lambda: "no answer for" in courier.status.detail)
    assert courier.status.state == "waiting"
    ever.set()
    until(spool, lambda: courier.status.state == "ok")


def test_it_ends_with_standard_output(spool: Spool, carry: Callable[..., Courier]) -> None:
    ended = threading.Event()
    courier = carry(Recorder(fails("deliver", error=StdoutClosed("gone"))), closed=ended.set)
    courier.check()
    spool.append(draft(0))
    assert ended.wait(SOON_S)
    with pytest.raises(StdoutClosed):
        courier.check()
    assert courier.stop(SOON_S)


def test_a_forgetful_sink_hears_only_what_comes(
    spool: Spool, carry: Callable[..., Courier]
) -> None:
    @dataclass(frozen=True)
    class Forgetful(Recorder):
        durable = False

    spool.register("sink")
    spool.append(draft(0))
    sink = Forgetful()
    courier = carry(sink)
    spool.append(draft(1))
    assert courier.drain(SOON_S)
    assert sink.taken == [1]
