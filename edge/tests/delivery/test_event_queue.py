"""Events that wait: on disk, in memory, over crashes, full disks and damaged files."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft, event_of, text_of

Draft = Fill = Offsets = Callable[..., Any]


@pytest.fixture(params=["disk", "memory"])
def event_queue(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[EventQueue]:
    folder = tmp_path if request.param == "disk" else None
    with closing(EventQueue(folder, capacity=50)) as event_queue:
        yield event_queue


def test_events_come_back_in_order_and_once(
    event_queue: EventQueue, fill: Fill, offsets: Offsets
) -> None:
    event_queue.register("a")
    event_queue.register("b")
    sent = fill(event_queue, 5)
    assert [event.sequence for event in sent] == list(range(sent[0].sequence, sent[0].sequence + 5))
    assert len({event.id for event in sent}) == 5
    assert event_queue.next("a") == sent[0] == event_queue.next("a")
    assert offsets(event_queue, "a") == [0, 1, 2, 3, 4]
    assert (event_queue.pending("a"), event_queue.pending("b")) == (0, 5)
    assert offsets(event_queue, "b") == [0, 1, 2, 3, 4]
    assert event_queue.next("a") is None
    assert event_queue.problem == ""


def test_an_event_is_the_same_after_json(event_queue: EventQueue) -> None:
    event = event_queue.append(EventDraft("ended", 1.1, 2.2, "Überraschung\n", {"a": 1 / 3}, -90.0))
    assert event_of(text_of(event)) == event
    assert "\n" not in text_of(event)
    assert text_of(event).isascii()


def test_the_next_start_goes_on(tmp_path: Path, draft: Draft, fill: Fill, offsets: Offsets) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        sent = fill(event_queue, 4)
        event_queue.commit("a", sent[1].sequence)
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        assert event_queue.last == sent[-1]
        assert event_queue.append(draft(4)).sequence == sent[-1].sequence + 1
        assert offsets(event_queue, "a") == [2, 3, 4]


def test_numbers_go_on_when_everything_was_delivered(
    tmp_path: Path, fill: Fill, offsets: Offsets
) -> None:
    numbers = []
    for start in range(4):
        with closing(EventQueue(tmp_path)) as event_queue:
            event_queue.register("a")
            numbers += [event.sequence for event in fill(event_queue, 3, start)]
            offsets(event_queue, "a")
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    with sqlite3.connect(tmp_path / "spool.db") as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)
    db.close()


@pytest.mark.parametrize("clock_s", [0.0, 1e8, 4e9])
def test_the_clock_jumps(
    tmp_path: Path, clock_s: float, monkeypatch: pytest.MonkeyPatch, draft: Draft, fill: Fill
) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        first = fill(event_queue, 2)[0].sequence
    monkeypatch.setattr(time, "time", lambda: clock_s)
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.append(draft(2, time_s=clock_s))
        event_queue.append(draft(3, time_s=clock_s - 1e6))
        events = []
        while (event := event_queue.next("a")) is not None:
            events.append((event.sequence - first, event.offset_s))
            event_queue.commit("a", event.sequence)
    assert events == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_who_is_new_or_forgets_starts_with_the_next_event(
    tmp_path: Path, fill: Fill, offsets: Offsets
) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("old")
        event_queue.register("forgetful", durable=False)
        fill(event_queue, 2)
        event_queue.register("new")
        assert [event_queue.pending(sink) for sink in ("old", "forgetful", "new")] == [2, 2, 0]
    with closing(EventQueue(tmp_path)) as event_queue:
        for sink in ("old", "new"):
            event_queue.register(sink)
        event_queue.register("forgetful", durable=False)
        fill(event_queue, 1, start=2)
        assert offsets(event_queue, "forgetful") == [2]
        assert offsets(event_queue, "new") == [2]
        assert offsets(event_queue, "old") == [0, 1, 2]


def test_a_sink_that_is_gone_holds_nothing(tmp_path: Path, fill: Fill, offsets: Offsets) -> None:
    with closing(EventQueue(tmp_path, capacity=3)) as event_queue:
        event_queue.register("gone")
        event_queue.register("kept")
        fill(event_queue, 3)
        offsets(event_queue, "kept")
        event_queue.forget({"kept"})
        fill(event_queue, 3, start=3)
        assert event_queue.dropped == {"kept": 0}
        assert offsets(event_queue, "kept") == [3, 4, 5]
        assert event_queue.next("gone") is None


def test_the_oldest_go_at_the_bound_and_are_counted(
    event_queue: EventQueue, fill: Fill, offsets: Offsets
) -> None:
    event_queue.register("dead")
    event_queue.register("slow")
    sent = fill(event_queue, 50)
    assert event_queue.dropped == {"dead": 0, "slow": 0}
    event_queue.commit("slow", sent[4].sequence)
    fill(event_queue, 7, start=50)
    assert event_queue.dropped == {"dead": 7, "slow": 2}
    assert (event_queue.pending("dead"), event_queue.pending("slow")) == (50, 50)
    assert offsets(event_queue, "dead") == list(range(7, 57))
    assert offsets(event_queue, "slow") == list(range(7, 57))


def test_what_was_dropped_is_known_after_a_restart(
    tmp_path: Path, fill: Fill, offsets: Offsets
) -> None:
    for start in (0, 4):
        with closing(EventQueue(tmp_path, capacity=2)) as event_queue:
            event_queue.register("dead")
            fill(event_queue, 4, start)
    with closing(EventQueue(tmp_path, capacity=2)) as event_queue:
        assert event_queue.dropped == {"dead": 6}
        assert offsets(event_queue, "dead") == [6, 7]


@pytest.mark.slow
def test_the_file_does_not_grow(tmp_path: Path, fill: Fill, offsets: Offsets) -> None:
    with closing(EventQueue(tmp_path, capacity=100)) as event_queue:
        event_queue.register("dead")
        event_queue.register("alive")
        sizes = []
        for start in range(0, 1500, 500):
            fill(event_queue, 500, start)
            offsets(event_queue, "alive")
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    # 100 events, and a write-ahead log of 256 pages and the last transaction.
    assert max(sizes) < 1_500_000
    assert (tmp_path / "spool.db").stat().st_size < 100_000


def test_many_threads(event_queue: EventQueue, fill: Fill) -> None:
    event_queue.register("a")
    event_queue.register("b")
    found: dict[str, list[int]] = {"a": [], "b": []}

    def take(sink: str) -> None:
        while len(found[sink]) < 40 and event_queue.wait(sink, 20.0):
            event = event_queue.next(sink)
            assert event is not None
            found[sink].append(event.sequence)
            event_queue.commit(sink, event.sequence)

    threads = [threading.Thread(target=take, args=(sink,)) for sink in found]
    threads += [threading.Thread(target=fill, args=(event_queue, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert found["a"] == found["b"] == list(range(found["a"][0], found["a"][0] + 40))


def test_waiting_ends(event_queue: EventQueue) -> None:
    event_queue.register("a")
    assert not event_queue.wait("a", 0.0)
    answers: list[bool] = []
    asked = threading.Event()

    def interrupted() -> bool:
        return asked.is_set()

    for wake in (lambda: asked.set() or event_queue.wake(), event_queue.close):
        asked.clear()
        thread = threading.Thread(
            target=lambda: answers.append(event_queue.wait("a", 60.0, interrupted))
        )
        thread.start()
        wake()
        thread.join(10.0)
        assert not thread.is_alive()
    assert answers == [False, False]


def test_nothing_fails_after_closing(
    tmp_path: Path, draft: Draft, fill: Fill, offsets: Offsets
) -> None:
    event_queue = EventQueue(tmp_path)
    event_queue.register("a")
    event = fill(event_queue, 1)[0]
    event_queue.close()
    event_queue.commit("a", event.sequence)
    event_queue.append(draft(1))
    event_queue.close()
    with closing(EventQueue(tmp_path)) as event_queue:
        assert offsets(event_queue, "a") == [0]


def test_one_daemon_at_a_time(tmp_path: Path) -> None:
    with closing(EventQueue(tmp_path)), pytest.raises(SertkError, match="another daemon uses"):
        EventQueue(tmp_path)
    EventQueue(tmp_path).close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SertkError, match="--state-dir"):
        EventQueue(tmp_path / "file")
