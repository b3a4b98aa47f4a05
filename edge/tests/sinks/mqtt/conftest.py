"""A real broker, and clients that listen to it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

from ser_toolkit.runtime.events import Device
from sertk_edge.sinks.mqtt import Mqtt

SOON_S = 10.0
FORGETS = "allow_anonymous true"
# It knows after a restart who listens, and has sent on what it acknowledged.
KEEPS = """allow_anonymous true
user root
persistence true
autosave_interval 1
max_inflight_messages 0
persistence_location {}/
"""


def until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not ready() and time.monotonic() < end:
        time.sleep(0.02)
    assert ready()


class Broker:
    """mosquitto on a port of its own; it may be killed and started again."""

    def __init__(self, program: str, folder: Path, config: str = FORGETS) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._file = folder / "mosquitto.conf"
        self.folder = folder
        self._file.write_text(f"listener {self.port} 127.0.0.1\n{config}\n")
        self._log = folder / "mosquitto.log"
        self._command = [program, "-c", str(self._file)]
        self.start()

    def start(self) -> None:
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(self._command, stdout=log, stderr=log)
        until(self._answers)

    def end(self, how: int = signal.SIGKILL) -> None:
        self.process.send_signal(signal.SIGCONT)
        self.process.send_signal(how)
        self.process.wait(SOON_S)

    def _answers(self) -> bool:
        assert self.process.poll() is None, self._log.read_text()
        with suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False


@pytest.fixture
def program(require: Callable[[str, bool, str], None]) -> str:
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    require("mosquitto", found is not None, "install the broker mosquitto")
    assert found is not None
    return found


@pytest.fixture
def broker(program: str, tmp_path: Path) -> Iterator[Broker]:
    broker = Broker(program, tmp_path)
    yield broker
    broker.end()


@pytest.fixture
def keeping(program: str, tmp_path: Path) -> Iterator[Broker]:
    """A broker that keeps sessions on disk."""
    broker = Broker(program, tmp_path, KEEPS.format(tmp_path))
    yield broker
    broker.end()


class Listener:
    """Another client of the broker: what Home Assistant or a user's program would see."""

    def __init__(self, broker: Broker, name: str = "listener") -> None:
        self.messages: list[MQTTMessage] = []
        self._ready = threading.Event()
        # A session that outlives the connection: nothing is lost while the broker lives.
        self.client = Client(CallbackAPIVersion.VERSION2, name, clean_session=False)
        self.client.reconnect_delay_set(1, 1)
        self.client.on_message = lambda _client, _data, message: self.messages.append(message)
        self.client.on_subscribe = lambda *_: self._ready.set()
        self.client.on_connect = lambda client, *_: client.subscribe("#", qos=1)
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert self._ready.wait(SOON_S)

    def of(self, topic: str) -> list[str]:
        return [message.payload.decode() for message in self.messages if message.topic == topic]

    @property
    def events(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.of("sertk/pi-1/event")]

    def await_all(self) -> None:
        """Wait for what the broker had to send until now: a message of one's own comes after it."""
        topic = f"test/{uuid.uuid4().hex}"
        self.client.publish(topic, qos=1)
        until(lambda: bool(self.of(topic)))

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()

    def once(self) -> list[float]:
        """The events' own numbers, as they are left when ids that were seen are dropped."""
        seen: dict[str, float] = {}
        for event in self.events:
            seen.setdefault(event["id"], event["offset_s"])
        return list(seen.values())


@pytest.fixture
def listener(broker: Broker) -> Iterator[Listener]:
    with closing(Listener(broker)) as listener:
        yield listener


@pytest.fixture
def device() -> Device:
    return Device("pi-1", "Kitchen", ("anger", "joy"), "msf", "0.1")


@pytest.fixture
def start_broker(program: str, tmp_path: Path) -> Iterator[Callable[[str], Broker]]:
    """Starts a broker with a configuration of its own."""
    started: list[Broker] = []

    def start(config: str) -> Broker:
        started.append(Broker(program, tmp_path, config))
        return started[-1]

    yield start
    for broker in started:
        broker.end()


@pytest.fixture
def listen() -> Iterator[Callable[[Broker], Listener]]:
    """Starts further clients."""
    started: list[Listener] = []

    def start(broker: Broker) -> Listener:
        started.append(Listener(broker))
        return started[-1]

    yield start
    for listener in started:
        listener.close()


@pytest.fixture
def sink() -> Callable[..., Mqtt]:
    """A sink for a broker."""
    return lambda broker, **more: Mqtt(host="127.0.0.1", port=broker.port, **more)


@pytest.fixture
def retained() -> Callable[[Broker], dict[str, str]]:
    def retained(broker: Broker) -> dict[str, str]:
        """What one who comes later is told at once."""
        kept: dict[str, str] = {}
        while not any(topic.endswith("/availability") for topic in kept):
            # Who subscribes before the sink's first message receives it as a live one: once more.
            with closing(Listener(broker, uuid.uuid4().hex)) as late:
                late.await_all()
                kept = {m.topic: m.payload.decode() for m in late.messages if m.retain}
        return kept

    return retained


@pytest.fixture
def soon() -> Callable[[Callable[[], bool]], None]:
    """Wait until something is so, and fail where it never is."""
    return until
