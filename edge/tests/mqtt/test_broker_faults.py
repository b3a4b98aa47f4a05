"""The broker is down, killed, or silent; the daemon is killed; nothing is lost and all in order."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.events import Device, Event
from sertk_edge.couriers import Courier
from sertk_edge.sinks.mqtt import Mqtt
from sertk_edge.spool import Draft, Spool

Broker = Listener = Any
Soon = Callable[[Callable[[], bool]], None]
Carried = tuple[Spool, Courier]


def append(spool: Spool, numbers: range) -> None:
    for number in numbers:
        spool.append(Draft("started", 0.0, float(number), "anger", {"anger": 1.0}, -20.0))


@contextmanager
def fed(spool: Spool, listener: Listener) -> Iterator[list[float]]:
    """While it lasts some events are always under way; the numbers appended so far.

    They are few: what a broker has taken and not passed on yet, it may lose when it is killed.
    """
    appended: list[float] = []
    full = threading.Event()

    def feed() -> None:
        while not full.wait(0.001):
            if len(appended) < len(listener.once()) + 10:
                append(spool, range(len(appended), len(appended) + 1))
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
    with closing(Spool(tmp_path / "state")) as spool:
        hook = sink(keeping, timeout_s=1.0)
        courier = Courier("mqtt", hook, device, spool, jitter=lambda: 0.0)
        courier.start()
        yield spool, courier
        courier.stop(5.0)


def remembered(broker: Broker, soon: Soon) -> None:
    """Wait until the broker has written down who listens."""
    file = broker.folder / "mosquitto.db"
    soon(lambda: file.exists() and b"listener" in file.read_bytes())


def test_a_broker_that_restarts_while_nobody_speaks(
    broker: Broker,
    sink: Callable[..., Mqtt],
    device: Device,
    soon: Soon,
    retained: Callable[[Broker], dict[str, str]],
) -> None:
    """It kept nothing, and is told everything again without an event."""
    event = Event("id", 1, "started", 1.5, 0.5, "anger", {"anger": 1.0}, -20.0)
    with closing(sink(broker).open(device)) as outlet:
        outlet.deliver(event)
        broker.end()
        broker.start()
        soon(lambda: "sertk/pi-1/state" in retained(broker))
        kept = retained(broker)
    assert kept["sertk/pi-1/availability"] == "online"
    assert json.loads(kept["sertk/pi-1/state"])["label"] == "anger"
    assert "homeassistant/device/pi-1/config" in kept


def test_a_broker_that_is_down(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    spool, courier = carry
    listener = listen(keeping)
    append(spool, range(5))
    soon(lambda: len(listener.once()) == 5)
    keeping.end(signal.SIGTERM)
    append(spool, range(5, 25))
    soon(lambda: courier.status.failures >= 3)
    assert courier.status.state == "failing"
    assert courier.status.detail == f"127.0.0.1:{keeping.port}: Connection refused"
    assert courier.status.pending == 20
    keeping.start()
    soon(lambda: courier.status.pending == 0 and courier.status.state == "ok")
    soon(lambda: listener.once()[-1] == 24)
    assert listener.once() == list(range(25))
    assert (courier.status.delivered, courier.status.dropped) == (25, 0)


@pytest.mark.slow
def test_a_broker_that_is_killed_while_it_takes_events(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    spool, courier = carry
    listener = listen(keeping)
    remembered(keeping, soon)
    with fed(spool, listener) as appended:
        for life in (1, 2, 3):
            soon(lambda: len(listener.once()) >= 60 * life)  # noqa: B023
            keeping.end()
            soon(lambda: courier.status.failures >= life and courier.status.pending > 0)  # noqa: B023
            keeping.start()
    assert courier.drain(30.0)
    soon(lambda: listener.once()[-1] == appended[-1])
    assert listener.once() == appended == list(range(len(appended)))
    assert courier.status.delivered == len(appended)


def test_a_broker_that_stops_answering(
    keeping: Broker, listen: Callable[[Broker], Listener], carry: Carried, soon: Soon
) -> None:
    """The connection stands, and nothing is acknowledged."""
    spool, courier = carry
    listener = listen(keeping)
    append(spool, range(3))
    assert courier.drain(10.0)
    keeping.process.send_signal(signal.SIGSTOP)
    append(spool, range(3, 6))
    soon(lambda: courier.status.state == "failing")
    assert "within 1 s" in courier.status.detail
    assert courier.status.pending == 3
    keeping.process.send_signal(signal.SIGCONT)
    assert courier.drain(20.0)
    soon(lambda: listener.once()[-1:] == [5])
    assert listener.once() == [0, 1, 2, 3, 4, 5]


DAEMON = """
import pathlib, sys
from ser_toolkit.runtime.events import Device
from sertk_edge.couriers import Courier
from sertk_edge.sinks.mqtt import Mqtt
from sertk_edge.spool import Draft, Spool
device = Device("pi-1", "Kitchen", ("anger", "joy"), "msf", "0.1")
count = int(sys.argv[3])
spool = Spool(pathlib.Path(sys.argv[1]))
courier = Courier("mqtt", Mqtt(host="127.0.0.1", port=int(sys.argv[2])), device, spool)
courier.start()
have = 0 if spool.last is None else int(spool.last.offset_s) + 1
for number in range(have, count):
    spool.append(Draft("started", 0.0, number, "anger", {"anger": 1.0}, -20.0))
assert courier.drain(30.0)
courier.stop()
spool.close()
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
