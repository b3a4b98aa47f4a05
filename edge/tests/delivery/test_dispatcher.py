"""All workers together: what waits for one place is never delivered to another."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from ser_toolkit.runtime.events import Device, Event, Outlet, Sink
from sertk_edge.delivery.dispatcher import Dispatcher, keys_of
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft
from sertk_edge.sinks.mqtt import Mqtt
from sertk_edge.sinks.webhook import Webhook

DEVICE = Device("pi", "Kitchen", ("anger", "joy"), "msf", "1")
SOON_S = 10.0


@dataclass(frozen=True)
class Diary(Sink):
    """Appends numbers to a file, and refuses while the folder of the file is not there."""

    name = "diary"
    path: str = ""

    def open(self, device: Device) -> Outlet:
        del device
        return Pen(Path(self.path))


class Pen(Outlet):
    def __init__(self, path: Path) -> None:
        self._path = path

    def deliver(self, event: Event) -> None:
        with self._path.open("a") as file:
            file.write(f"{event.offset_s:g}\n")


@contextmanager
def delivering(state: Path, *sinks: Sink) -> Iterator[tuple[EventQueue, Dispatcher]]:
    """As the daemon does it: the second of one name is called name#2."""
    named = {f"{sink.name}#{at}" if at > 1 else sink.name: sink for at, sink in enumerate(sinks, 1)}
    with closing(EventQueue(state)) as event_queue:
        delivery = Dispatcher(named, DEVICE, event_queue)
        delivery.start()
        yield event_queue, delivery
        delivery.stop(SOON_S)


def results(event_queue: EventQueue, numbers: Sequence[int]) -> None:
    for number in numbers:
        event_queue.append(
            EventDraft("started", 0.0, float(number), "anger", {"anger": 1.0}, -20.0)
        )


def diaries(folder: Path, *names: str) -> list[Diary]:
    return [Diary(str(folder / name / "diary")) for name in names]


def test_what_waits_stays_its_own_when_another_sink_goes(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "first").mkdir()
    first, second = diaries(tmp_path, "first", "second")
    with delivering(tmp_path / "state", first, second) as (event_queue, delivery):
        results(event_queue, range(5))
        assert not delivery.drain(0.5)
    (tmp_path / "second").mkdir()
    caplog.clear()
    with delivering(tmp_path / "state", second) as (event_queue, delivery):
        results(event_queue, [5])
        assert delivery.drain(SOON_S)
    assert Path(second.path).read_text().split() == ["0", "1", "2", "3", "4", "5"]
    assert Path(first.path).read_text().split() == ["0", "1", "2", "3", "4"]
    assert "dropped" not in caplog.text


def test_sinks_in_another_order_get_what_is_theirs(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    first, second = diaries(tmp_path, "first", "second")
    with delivering(tmp_path / "state", first, second) as (event_queue, delivery):
        results(event_queue, range(3))
        assert not delivery.drain(0.5)
    (tmp_path / "second").mkdir()
    with delivering(tmp_path / "state", second, first) as (_, delivery):
        assert delivery.drain(SOON_S)
        assert [status.name for status in delivery.statuses()] == ["diary", "diary#2"]
    assert Path(first.path).read_text().split() == ["0", "1", "2"]
    assert Path(second.path).read_text().split() == ["0", "1", "2"]


def test_what_waited_for_a_sink_that_is_gone_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (gone,) = diaries(tmp_path, "gone")
    with delivering(tmp_path / "state", gone) as (event_queue, _):
        results(event_queue, range(5))
    with caplog.at_level(logging.WARNING), delivering(tmp_path / "state") as (event_queue, _):
        pass
    (key,) = keys_of([gone])
    message = f"sink {key} is no longer named; undelivered events for it are dropped: 5"
    assert message in caplog.messages


def test_a_place_is_known_whatever_else_is_set() -> None:
    hook = Webhook(url="https://example.org/a")
    assert keys_of([hook]) == keys_of([replace(hook, token_file="new", timeout_s=1.0)])
    assert keys_of([hook]) != keys_of([replace(hook, url="https://example.org/b")])
    broker = Mqtt(host="a", username="pi")
    assert keys_of([broker]) == keys_of([replace(broker, username="", tls=True, client_id="x")])
    for other in (replace(broker, host="b"), replace(broker, port=9), replace(broker, topic="t")):
        assert keys_of([broker]) != keys_of([other])


def test_one_place_twice_has_two_keys() -> None:
    hook, other = Webhook(url="https://example.org/a"), Webhook(url="https://example.org/b")
    first, middle, second = keys_of([hook, other, hook])
    assert second == f"{first}#2" and middle not in (first, second)
    assert "example" not in first + middle
