"""Events that wait: on disk, in memory, over crashes, full disks and damaged files."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Event
from sertk_edge.spool import Draft, Spool
from sertk_edge.wire import event_of, text_of

PROBABILITIES = {"anger": 0.7, "joy": 0.3}


def draft(number: int = 0, label: str = "anger", time_s: float = 1e9) -> Draft:
    return Draft("started", time_s, float(number), label, PROBABILITIES, -20.5)


def offsets(spool: Spool, sink: str) -> list[float]:
    """Take everything that waits for a sink."""
    found = []
    while (event := spool.next(sink)) is not None:
        found.append(event.offset_s)
        spool.commit(sink, event.sequence)
    return found


def fill(spool: Spool, count: int, start: int = 0) -> list[Event]:
    return [spool.append(draft(number)) for number in range(start, start + count)]


@pytest.fixture(params=["disk", "memory"])
def spool(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Spool]:
    folder = tmp_path if request.param == "disk" else None
    with closing(Spool(folder, capacity=50)) as spool:
        yield spool


def test_events_come_back_in_order_and_once(spool: Spool) -> None:
    spool.register("a")
    spool.register("b")
    sent = fill(spool, 5)
    assert [event.sequence for event in sent] == list(range(sent[0].sequence, sent[0].sequence + 5))
    assert len({event.id for event in sent}) == 5
    assert spool.next("a") == sent[0] == spool.next("a")
    assert offsets(spool, "a") == [0, 1, 2, 3, 4]
    assert (spool.pending("a"), spool.pending("b")) == (0, 5)
    assert offsets(spool, "b") == [0, 1, 2, 3, 4]
    assert spool.next("a") is None
    assert spool.problem == ""


def test_an_event_is_the_same_after_json(spool: Spool) -> None:
    event = spool.append(Draft("ended", 1.1, 2.2, "Überraschung\n", {"a": 1 / 3}, -90.0))
    assert event_of(text_of(event)) == event
    assert "\n" not in text_of(event)
    assert text_of(event).isascii()


def test_the_next_start_goes_on(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        spool.register("a")
        sent = fill(spool, 4)
        spool.commit("a", sent[1].sequence)
    with closing(Spool(tmp_path)) as spool:
        spool.register("a")
        assert spool.last == sent[-1]
        assert spool.append(draft(4)).sequence == sent[-1].sequence + 1
        assert offsets(spool, "a") == [2, 3, 4]


def test_numbers_go_on_when_everything_was_delivered(tmp_path: Path) -> None:
    numbers = []
    for start in range(4):
        with closing(Spool(tmp_path)) as spool:
            spool.register("a")
            numbers += [event.sequence for event in fill(spool, 3, start)]
            offsets(spool, "a")
    assert numbers == list(range(numbers[0], numbers[0] + 12))
    with sqlite3.connect(tmp_path / "spool.db") as db:
        assert db.execute("SELECT count(*) FROM events").fetchone() == (1,)
    db.close()


@pytest.mark.parametrize("clock_s", [0.0, 1e8, 4e9])
def test_the_clock_jumps(tmp_path: Path, clock_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(Spool(tmp_path)) as spool:
        spool.register("a")
        first = fill(spool, 2)[0].sequence
    monkeypatch.setattr(time, "time", lambda: clock_s)
    with closing(Spool(tmp_path)) as spool:
        spool.append(draft(2, time_s=clock_s))
        spool.append(draft(3, time_s=clock_s - 1e6))
        events = []
        while (event := spool.next("a")) is not None:
            events.append((event.sequence - first, event.offset_s))
            spool.commit("a", event.sequence)
    assert events == [(0, 0), (1, 1), (2, 2), (3, 3)]


def test_who_is_new_or_forgets_starts_with_the_next_event(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)) as spool:
        spool.register("old")
        spool.register("forgetful", durable=False)
        fill(spool, 2)
        spool.register("new")
        assert [spool.pending(sink) for sink in ("old", "forgetful", "new")] == [2, 2, 0]
    with closing(Spool(tmp_path)) as spool:
        for sink in ("old", "new"):
            spool.register(sink)
        spool.register("forgetful", durable=False)
        fill(spool, 1, start=2)
        assert offsets(spool, "forgetful") == [2]
        assert offsets(spool, "new") == [2]
        assert offsets(spool, "old") == [0, 1, 2]


def test_a_sink_that_is_gone_holds_nothing(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, capacity=3)) as spool:
        spool.register("gone")
        spool.register("kept")
        fill(spool, 3)
        offsets(spool, "kept")
        spool.forget({"kept"})
        fill(spool, 3, start=3)
        assert spool.dropped == {"kept": 0}
        assert offsets(spool, "kept") == [3, 4, 5]
        assert spool.next("gone") is None


def test_the_oldest_go_at_the_bound_and_are_counted(spool: Spool) -> None:
    spool.register("dead")
    spool.register("slow")
    sent = fill(spool, 50)
    assert spool.dropped == {"dead": 0, "slow": 0}
    spool.commit("slow", sent[4].sequence)
    fill(spool, 7, start=50)
    assert spool.dropped == {"dead": 7, "slow": 2}
    assert (spool.pending("dead"), spool.pending("slow")) == (50, 50)
    assert offsets(spool, "dead") == list(range(7, 57))
    assert offsets(spool, "slow") == list(range(7, 57))


def test_what_was_dropped_is_known_after_a_restart(tmp_path: Path) -> None:
    for start in (0, 4):
        with closing(Spool(tmp_path, capacity=2)) as spool:
            spool.register("dead")
            fill(spool, 4, start)
    with closing(Spool(tmp_path, capacity=2)) as spool:
        assert spool.dropped == {"dead": 6}
        assert offsets(spool, "dead") == [6, 7]


@pytest.mark.slow
def test_the_file_does_not_grow(tmp_path: Path) -> None:
    with closing(Spool(tmp_path, capacity=100)) as spool:
        spool.register("dead")
        spool.register("alive")
        sizes = []
        for start in range(0, 1500, 500):
            fill(spool, 500, start)
            offsets(spool, "alive")
            sizes.append(sum(path.stat().st_size for path in tmp_path.iterdir()))
    # 100 events, and a write-ahead log of 256 pages and the last transaction.
    assert max(sizes) < 1_500_000
    assert (tmp_path / "spool.db").stat().st_size < 100_000


def test_many_threads(spool: Spool) -> None:
    spool.register("a")
    spool.register("b")
    found: dict[str, list[int]] = {"a": [], "b": []}

    def take(sink: str) -> None:
        while len(found[sink]) < 40 and spool.wait(sink, 20.0):
            event = spool.next(sink)
            assert event is not None
            found[sink].append(event.sequence)
            spool.commit(sink, event.sequence)

    threads = [threading.Thread(target=take, args=(sink,)) for sink in found]
    threads += [threading.Thread(target=fill, args=(spool, 10)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30.0)
    assert found["a"] == found["b"] == list(range(found["a"][0], found["a"][0] + 40))


def test_waiting_ends(spool: Spool) -> None:
    spool.register("a")
    assert not spool.wait("a", 0.0)
    answers: list[bool] = []
    asked = threading.Event()

    def interrupted() -> bool:
        return asked.is_set()

    for wake in (lambda: asked.set() or spool.wake(), spool.close):
        asked.clear()
        thread = threading.Thread(target=lambda: answers.append(spool.wait("a", 60.0, interrupted)))
        thread.start()
        wake()
        thread.join(10.0)
        assert not thread.is_alive()
    assert answers == [False, False]


def test_nothing_fails_after_closing(tmp_path: Path) -> None:
    spool = Spool(tmp_path)
    spool.register("a")
    event = fill(spool, 1)[0]
    spool.close()
    spool.commit("a", event.sequence)
    spool.append(draft(1))
    spool.close()
    with closing(Spool(tmp_path)) as spool:
        assert offsets(spool, "a") == [0]


def test_one_daemon_at_a_time(tmp_path: Path) -> None:
    with closing(Spool(tmp_path)), pytest.raises(SertkError, match="another daemon uses"):
        Spool(tmp_path)
    Spool(tmp_path).close()


def test_a_folder_that_cannot_be(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SertkError, match="--state-dir"):
        Spool(tmp_path / "file")
