"""What a broker answers: it refuses a topic, another has our name, it is of before MQTT 5."""

from __future__ import annotations

import logging
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion

from ser_toolkit.runtime.events import Device, DeviceStatus, Event
from sertk_edge.delivery import sink_worker
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.events import EventDraft
from sertk_edge.sinks.mqtt import Mqtt

Broker = Listener = Any
Soon = Callable[[Callable[[], bool]], None]
Carry = Callable[[Mqtt], tuple[EventQueue, SinkWorker]]


def draft(number: int, age_s: float = 0.0) -> EventDraft:
    time_s = time.time() - age_s
    return EventDraft("started", time_s, float(number), "anger", {"anger": 1.0}, -20.0)


@pytest.fixture
def carry(device: Device, tmp_path: Path) -> Iterator[Carry]:
    """Starts a worker for a sink."""
    workers: list[SinkWorker] = []
    with closing(EventQueue(tmp_path / "state")) as event_queue:

        def start(sink: Mqtt) -> tuple[EventQueue, SinkWorker]:
            workers.append(SinkWorker("mqtt", sink, device, event_queue, jitter=lambda: 0.0))
            workers[-1].start()
            return event_queue, workers[-1]

        yield start
        for worker in workers:
            worker.stop(5.0)


# Refused ------------------------------------------------------------------------------------------

RULES = "allow_anonymous true\nacl_file {}\n"


def ruled(start_broker: Callable[[str], Broker], folder: Path, rules: str) -> Broker:
    (folder / "rules").write_text(rules)
    (folder / "rules").chmod(0o644)
    return start_broker(f"user root\n{RULES.format(folder / 'rules')}")


def test_a_topic_that_the_broker_forbids_is_named_and_nothing_counts_as_delivered(
    start_broker: Callable[[str], Broker],
    tmp_path: Path,
    sink: Callable[..., Mqtt],
    carry: Carry,
    soon: Soon,
) -> None:
    rules = "topic read #\ntopic write homeassistant/#\ntopic write sertk/pi-1/state\n"
    rules += "topic write sertk/pi-1/availability\ntopic write sertk/pi-1/problem\n"
    broker = ruled(start_broker, tmp_path, rules)
    event_queue, worker = carry(sink(broker))
    event_queue.append(draft(0))
    soon(lambda: worker.status.state == "failing")
    told = f"127.0.0.1:{broker.port}: the broker does not take 'sertk/pi-1/event': Not authorized"
    assert worker.status.detail.startswith(told)
    status = worker.status
    assert (status.pending, status.delivered) == (1, 0) and status.failures > 0


def test_without_the_right_to_introduce_it_events_arrive_all_the_same(
    start_broker: Callable[[str], Broker],
    listen: Callable[[Broker], Listener],
    tmp_path: Path,
    sink: Callable[..., Mqtt],
    carry: Carry,
    soon: Soon,
    caplog: pytest.LogCaptureFixture,
) -> None:
    rules = "topic read #\ntopic write sertk/#\ntopic write test/#\n"
    broker = ruled(start_broker, tmp_path, rules)
    listener = listen(broker)
    event_queue, worker = carry(sink(broker))
    event_queue.append(draft(0))
    soon(lambda: len(listener.events) == 1)
    assert worker.status.state == "ok"
    assert "does not take 'homeassistant/device/pi-1/config': Not authorized" in caplog.text


# One name twice -----------------------------------------------------------------------------------


def test_a_second_client_of_our_name_is_named(
    broker: Broker, device: Device, sink: Callable[..., Mqtt], carry: Carry, soon: Soon
) -> None:
    _, worker = carry(sink(broker))
    soon(lambda: worker.status.state == "ok")
    with closing(sink(broker).open(device)):
        soon(lambda: worker.status.state == "failing")
        assert "another client connects as 'sertk-pi-1'" in worker.status.detail
        assert "--device-id" in worker.status.detail


def test_a_broker_that_says_so_is_left_alone_for_long(carry: Carry, soon: Soon) -> None:
    """Who took our place would lose it again, and so on."""
    logins: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        logins.append(client.recv(4096))
                        # CONNACK; DISCONNECT: session taken over.
                        client.sendall(b"\x20\x03\0\0\0" + b"\xe0\x02\x8e\0")
                        client.recv(4096)

        thread = threading.Thread(target=serve)
        thread.start()
        _, worker = carry(Mqtt(host="127.0.0.1", port=server.getsockname()[1]))
        soon(lambda: worker.status.state == "failing")
        assert "another client connects as 'sertk-pi-1', and takes our" in worker.status.detail
        # Longer than the pause after any other first failure.
        time.sleep(2 * sink_worker.FIRST_PAUSE_S)
        assert (len(logins), worker.status.failures) == (1, 1)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


# Late ---------------------------------------------------------------------------------------------


def test_what_is_too_old_is_not_published_and_the_newest_state_is(
    broker: Broker,
    listener: Listener,
    sink: Callable[..., Mqtt],
    carry: Carry,
    soon: Soon,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    event_queue, worker = carry(sink(broker, max_age_s=60.0))
    soon(lambda: worker.status.state == "ok")
    for number, age_s in enumerate((9e9, 3600.0, 61.0, 5.0, 0.0)):
        event_queue.append(draft(number, age_s))
    assert worker.drain(10.0)
    soon(lambda: len(listener.events) == 2)
    assert [one["offset_s"] for one in listener.events] == [3.0, 4.0]
    assert [round(one["age_s"]) // 5 for one in listener.events] == [1, 0]
    status = worker.status
    assert (status.delivered, status.expired, status.pending) == (2, 3, 0)
    assert "sink mqtt: events older than 60 s are not delivered" in caplog.text


def test_an_event_expires_at_the_broker_too(
    broker: Broker, device: Device, sink: Callable[..., Mqtt], soon: Soon
) -> None:
    messages: list[MQTTMessage] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "reader", protocol=MQTTProtocolVersion.MQTTv5)
    client.on_message = lambda _client, _data, message: messages.append(message)
    client.on_subscribe = lambda *_: ready.set()
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    client.subscribe("sertk/pi-1/event", qos=1)
    assert ready.wait(10.0)
    probabilities = {"anger": 1.0}
    for max_age_s in (60.0, 0.0):
        one = Event("a", 1, "started", time.time() - 20, 0.0, "anger", probabilities, -20.0)
        with closing(sink(broker, max_age_s=max_age_s).open(device)) as outlet:
            outlet.deliver(one)
    soon(lambda: len(messages) == 2)
    client.disconnect()
    client.loop_stop()
    first, second = (message.properties for message in messages)
    assert first is not None and second is not None
    assert 30 < first.MessageExpiryInterval <= 40
    assert not hasattr(second, "MessageExpiryInterval")


# Before MQTT 5 ------------------------------------------------------------------------------------


@pytest.fixture(params=["answers", "hangs up"])
def old_port(broker: Broker, request: pytest.FixtureRequest) -> Iterator[int]:
    """The port of a broker that speaks MQTT 3.1.1 alone: what stands before it lets no other by."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def pass_on(source: socket.socket, target: socket.socket) -> None:
            with suppress(OSError):
                while content := source.recv(4096):
                    target.sendall(content)
                target.shutdown(socket.SHUT_WR)

        def serve() -> None:
            with suppress(OSError):
                while True:
                    client, _ = server.accept()
                    with client:
                        first = client.recv(4096)
                        # CONNECT: two bytes of header, the name MQTT, then the version.
                        if first[8] == 4:
                            follow(client, first)
                        elif request.param == "answers":
                            client.sendall(b"\x20\x02\0\x01")

        def follow(client: socket.socket, first: bytes) -> None:
            with socket.create_connection(("127.0.0.1", broker.port)) as real:
                real.sendall(first)
                back = threading.Thread(target=pass_on, args=(real, client))
                back.start()
                pass_on(client, real)
                back.join()

        thread = threading.Thread(target=serve)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_a_broker_of_before_mqtt_5(
    old_port: int, listener: Listener, device: Device, soon: Soon
) -> None:
    one = Event("a", 1, "started", time.time(), 0.0, "anger", {"anger": 1.0}, -20.0)
    with closing(Mqtt(host="127.0.0.1", port=old_port).open(device)) as outlet:
        outlet.refresh(DeviceStatus(one))
        outlet.deliver(one)
        soon(lambda: len(listener.events) == 1)
