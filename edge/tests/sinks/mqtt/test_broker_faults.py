"""The broker is down, killed, or silent; the daemon is killed; nothing is lost and all in order."""

from __future__ import annotations

import json
import logging
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.events import Device
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.events import EventDraft
from sertk_edge.sinks.mqtt import Mqtt

Broker = Listener = Any
Soon = Callable[[Callable[[], bool]], None]
Carried = tuple[EventQueue, SinkWorker]


def append(event_queue: EventQueue, numbers: range) -> None:
    for number in numbers:
        event_queue.append(
            EventDraft("started", 0.0, float(number), "anger", {"anger": 1.0}, -20.0)
        )


@contextmanager
def fed(event_queue: EventQueue, listener: Listener) -> Iterator[list[float]]:
    """While it lasts some events are always under way; the numbers appended so far.

    They are few: what a broker has taken and not passed on yet, it may lose when it is killed.
    """
    appended: list[float] = []
    full = threading.Event()

    def feed() -> None:
        while not full.wait(0.001):
            if len(appended) < len(listener.once()) + 10:
                append(event_queue, range(len(appended), len(appended) + 1))
                appended.append(len(appended))

    feeder = threading.Thread(target=feed)
    feeder.start()
    try:
        yield appended
    finally:
        full.set()
        feeder.join()


@pytest.fixture
def carry(
    keeping: Broker, sink: Callable[..., Mqtt], device: Device, tmp_path: Path
) -> Iterator[Carried]:
    with closing(EventQueue(tmp_path / "state")) as event_queue:
        hook = sink(keeping, timeout_s=1.0, max_age_s=0.0)
        worker = SinkWorker("mqtt", hook, device, event_queue, jitter=lambda: 0.0)
        worker.start()
        yield event_queue, worker
        worker.stop(5.0)


def remembered(broker: Broker, soon: Soon) -> None:
    """Wait until the broker has written down who listens."""
    file = broker.folder / "mosquitto.db"
    soon(lambda: file.exists() and b"listener" in file.read_bytes())


def test_a_broker_that_restarts_while_nobody_speaks(
    keeping: Broker,
    carry: Carried,
    soon: Soon,
    retained: Callable[[Broker], dict[str, str]],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """That is seen; one that kept nothing is told everything again without an event."""
    caplog.set_level(logging.INFO)
    event_queue, worker = carry
    worker.report("")
    append(event_queue, range(1))
    soon(lambda: worker.status.delivered == 1)
    keeping.end()
    (keeping.folder / "mosquitto.db").unlink(missing_ok=True)
    soon(lambda: worker.status.state == "failing")
    soon(lambda: "Connection refused" in worker.status.detail)
    keeping.start()
    soon(lambda: worker.status.state == "ok")
    kept = retained(keeping)
    lines = [record.getMessage() for record in caplog.records]
    assert re.search(r"sink mqtt: .*the connection is lost\. .+ \(0 events wait\)", lines[0])
    assert lines[-1] == "sink mqtt works again"
    assert kept["sertk/pi-1/availability"] == "online"
    assert json.loads(kept["sertk/pi-1/state"])["label"] == "anger"
    assert "homeassistant/device/pi-1/config" in kept


def test_a_broker_that_is_down(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    event_queue, worker = carry
    listener = listen(keeping)
    append(event_queue, range(5))
    soon(lambda: len(listener.once()) == 5)
    keeping.end(signal.SIGTERM)
    append(event_queue, range(5, 25))
    soon(lambda: worker.status.failures >= 3)
    assert worker.status.state == "failing"
    assert worker.status.detail == f"127.0.0.1:{keeping.port}: Connection refused"
    assert worker.status.pending == 20
    keeping.start()
    soon(lambda: worker.status.pending == 0 and worker.status.state == "ok")
    soon(lambda: listener.once()[-1] == 24)
    assert listener.once() == list(range(25))
    assert (worker.status.delivered, worker.status.dropped) == (25, 0)


@pytest.mark.slow
def test_a_broker_that_is_killed_while_it_takes_events(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    event_queue, worker = carry
    listener = listen(keeping)
    remembered(keeping, soon)
    with fed(event_queue, listener) as appended:
        for life in (1, 2, 3):
            soon(lambda: len(listener.once()) >= 60 * life)  # noqa: B023
            keeping.end()
            soon(lambda: worker.status.failures >= life and worker.status.pending > 0)  # noqa: B023
            keeping.start()
    assert worker.drain(30.0)
    soon(lambda: listener.once()[-1] == appended[-1])
    assert listener.once() == appended == list(range(len(appended)))
    assert worker.status.delivered == len(appended)


def test_a_broker_that_stops_answering(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    """The connection stands, and nothing is acknowledged."""
    event_queue, worker = carry
    listener = listen(keeping)
    append(event_queue, range(3))
    assert worker.drain(10.0)
    keeping.process.send_signal(signal.SIGSTOP)
    append(event_queue, range(3, 6))
    soon(lambda: worker.status.state == "failing")
    assert "within 1 s" in worker.status.detail
    assert worker.status.pending == 3
    keeping.process.send_signal(signal.SIGCONT)
    assert worker.drain(20.0)
    soon(lambda: listener.once()[-1:] == [5])
    assert listener.once() == [0, 1, 2, 3, 4, 5]


@pytest.mark.slow
def test_a_broker_that_stops_answering_while_nobody_speaks(
    broker: Broker, sink: Callable[..., Mqtt], device: Device, soon: Soon, tmp_path: Path
) -> None:
    """It is asked after each `keepalive_s`, and has as long to answer."""
    with closing(EventQueue(tmp_path / "state")) as event_queue:
        worker = SinkWorker("mqtt", sink(broker, keepalive_s=5), device, event_queue)
        worker.start()
        soon(lambda: worker.status.state == "ok")
        broker.process.send_signal(signal.SIGSTOP)
        for _ in range(2):
            with suppress(AssertionError):
                soon(lambda: worker.status.state == "failing")
        assert "Keep alive timeout" in worker.status.detail
        worker.stop(5.0)


DAEMON = """
import pathlib, sys
from ser_toolkit.runtime.events import Device
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.sinks.mqtt import Mqtt
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft
device = Device("pi-1", "Kitchen", ("anger", "joy"), "msf", "0.1")
count = int(sys.argv[3])
event_queue = EventQueue(pathlib.Path(sys.argv[1]))
sink = Mqtt(host="127.0.0.1", port=int(sys.argv[2]), max_age_s=0.0)
worker = SinkWorker("mqtt", sink, device, event_queue)
worker.start()
have = 0 if event_queue.last is None else int(event_queue.last.offset_s) + 1
for number in range(have, count):
    event_queue.append(EventDraft("started", 0.0, number, "anger", {"anger": 1.0}, -20.0))
assert worker.drain(30.0)
worker.stop()
event_queue.close()
"""


def test_a_daemon_that_is_killed_again_and_again(
    broker: Broker, listener: Listener, soon: Soon, tmp_path: Path
) -> None:
    """SIGKILL while it publishes: a consumer that drops seen ids has each event once, in order."""
    command = [sys.executable, "-c", DAEMON, str(tmp_path / "state"), str(broker.port), "400"]
    for kill in range(1, 6):
        daemon = subprocess.Popen(command)
        soon(lambda: len(listener.once()) >= kill * 60)  # noqa: B023
        daemon.kill()
        daemon.wait(10.0)
    subprocess.run(command, check=True, timeout=60)
    soon(lambda: listener.once()[-1:] == [399])
    assert listener.once() == list(range(400))
    numbers = sorted({one["sequence"] for one in listener.events})
    assert numbers == list(range(numbers[0], numbers[0] + 400))
