"""The spool on a full disk, after a kill, and with a damaged file."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.delivery.event_store import RESERVE

Draft = Fill = Offsets = Callable[..., Any]


@pytest.fixture
def disk(small_disk: Callable[[int], Path]) -> Path:
    return small_disk(1024)


def fill_up(root: Path) -> Path:
    """Leave not one byte."""
    ballast = root / "ballast"
    with ballast.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space left"):
        while True:
            file.write(bytes(4096))
    return ballast


def test_a_full_disk(disk: Path, fill: Fill, offsets: Offsets) -> None:
    with closing(EventQueue(disk)) as event_queue:
        event_queue.register("a")
        event_queue.register("b")
        fill(event_queue, 3)
        ballast = fill_up(disk)
        # The log that is already there takes some more.
        count = 3
        while not event_queue.problem:
            fill(event_queue, 1, count)
            count += 1
            assert count < 2000
        fill(event_queue, 20, count)
        count += 20
        assert "full" in event_queue.problem
        assert not event_queue.stored
        assert offsets(event_queue, "a") == list(range(count))
        ballast.unlink()
        assert event_queue.wait_for(lambda: not event_queue.problem, 10.0)
        assert event_queue.stored
    with closing(EventQueue(disk)) as event_queue:
        assert event_queue.pending("a") == 0
        assert offsets(event_queue, "b") == list(range(count))


def test_a_disk_that_was_full_before(disk: Path, fill: Fill, offsets: Offsets) -> None:
    ballast = fill_up(disk)
    with closing(EventQueue(disk / "state", capacity=10)) as event_queue:
        assert event_queue.problem
        event_queue.register("a")
        fill(event_queue, 15)
        assert (event_queue.pending("a"), event_queue.dropped) == (10, {"a": 5})
        ballast.unlink()
        event_queue.wait_for(lambda: not event_queue.problem, 10.0)
        assert event_queue.problem == ""
    with closing(EventQueue(disk / "state")) as event_queue:
        assert event_queue.dropped == {"a": 5}
        assert offsets(event_queue, "a") == list(range(5, 15))


FULL = """
import os, pathlib, signal, sys
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft
event_queue = EventQueue(pathlib.Path(sys.argv[1]))
event_queue.register("a")
draft = EventDraft("started", 0.0, 0.0, "anger", {"anger": 1.0}, 0.0)
while not event_queue.problem:
    print(event_queue.append(draft).sequence)
for _ in range(5):
    print(event_queue.append(draft).sequence)
sys.stdout.flush()
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_numbers_that_only_memory_knew_are_not_given_again(disk: Path, draft: Draft) -> None:
    with closing(EventQueue(disk)) as event_queue:
        event_queue.register("a")
        event_queue.append(draft())
    ballast = fill_up(disk)
    killed = subprocess.run([sys.executable, "-c", FULL, str(disk)], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    given = [int(line) for line in killed.stdout.split()]
    ballast.unlink()
    with closing(EventQueue(disk)) as event_queue:
        assert 0 < event_queue.append(draft()).sequence - given[-1] <= RESERVE + 5


KEPT = """
import pathlib, sys
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft
event_queue = EventQueue(pathlib.Path(sys.argv[1]))
event_queue.register("a")
for number in range(100000):
    event = event_queue.append(EventDraft("started", 0.0, number, "anger", {"anger": 1.0}, 0.0))
    print(event.sequence, flush=True)
"""


def test_what_append_returned_survives_a_kill(tmp_path: Path) -> None:
    seen: list[int] = []
    for _ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", KEPT, str(tmp_path)], stdout=subprocess.PIPE, text=True
        )
        assert child.stdout is not None
        with child, child.stdout as lines:
            seen += [int(next(lines)) for _ in range(20)]
            child.kill()
            seen += [int(line) for line in lines if line.endswith("\n")]
    with closing(EventQueue(tmp_path, capacity=10**6)) as event_queue:
        assert event_queue.problem == ""
        kept = []
        while (event := event_queue.next("a")) is not None:
            kept.append(event.sequence)
            event_queue.commit("a", event.sequence)
    # One event may be stored without its number having been printed.
    assert set(seen) <= set(kept)
    assert kept == list(range(kept[0], kept[0] + len(kept)))


def garbage(file: Path) -> None:
    file.write_bytes(bytes(range(256)) * 64)


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2 + 100])


def flipped(file: Path) -> None:
    content = bytearray(file.read_bytes())
    content[4096:8192] = bytes(255 - byte for byte in content[4096:8192])
    file.write_bytes(content)


def foreign(file: Path) -> None:
    file.unlink()
    with closing(sqlite3.connect(file)) as db:
        db.execute("CREATE TABLE events (something)")
        db.execute("PRAGMA user_version = 1")


def newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as db:
        db.execute("PRAGMA user_version = 99")


@pytest.mark.parametrize("spoil", [garbage, cut, flipped, foreign, newer])
def test_a_damaged_file(
    tmp_path: Path, spoil: Callable[[Path], None], draft: Draft, fill: Fill, offsets: Offsets
) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        last = fill(event_queue, 100)[-1].sequence
    spoil(tmp_path / "spool.db")
    before = (tmp_path / "spool.db").read_bytes()
    with closing(EventQueue(tmp_path)) as event_queue:
        assert "spool.db.damaged-1" in event_queue.problem
        assert event_queue.stored
        event_queue.register("a")
        assert event_queue.append(draft(7)).sequence > last
        assert offsets(event_queue, "a") == [7]
    assert len((tmp_path / "spool.db.damaged-1").read_bytes()) == len(before)
    with closing(EventQueue(tmp_path)) as event_queue:
        assert event_queue.problem == ""


def test_damage_again_and_again(tmp_path: Path, draft: Draft) -> None:
    numbers = []
    for _ in range(12):
        with closing(EventQueue(tmp_path)) as event_queue:
            numbers.append(event_queue.append(draft()).sequence)
        garbage(tmp_path / "spool.db")
    assert numbers == sorted(set(numbers))
    assert len(list(tmp_path.glob("*.damaged-*"))) == 9


def test_damage_and_a_clock_that_was_set_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, draft: Draft, fill: Fill
) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        last = fill(event_queue, 3)[-1].sequence
    garbage(tmp_path / "spool.db")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    with closing(EventQueue(tmp_path)) as event_queue:
        assert event_queue.append(draft()).sequence > last


def test_damage_while_it_runs(tmp_path: Path, draft: Draft, offsets: Offsets) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        # More than SQLite keeps in memory, so that it has to read.
        for number in range(40):
            event_queue.append(draft(number, label="x" * 200_000))
    with closing(EventQueue(tmp_path)) as event_queue:
        with (tmp_path / "spool.db").open("r+b") as file:
            file.seek(4096)
            file.write(bytes((tmp_path / "spool.db").stat().st_size - 4096))
        last = event_queue.append(draft(40))
        got = offsets(event_queue, "a")
        assert "damaged" in event_queue.problem
        assert got[-1] == 40
        assert len(got) + event_queue.dropped["a"] == 41
        assert event_queue.append(draft(41)).sequence == last.sequence + 1
    with closing(EventQueue(tmp_path)) as event_queue:
        assert event_queue.problem == ""
        assert offsets(event_queue, "a") == [41]


def test_one_unreadable_event_does_not_hold_up_the_others(
    tmp_path: Path, fill: Fill, offsets: Offsets
) -> None:
    with closing(EventQueue(tmp_path)) as event_queue:
        event_queue.register("a")
        event_queue.register("b")
        second = fill(event_queue, 3)[1]
    with closing(sqlite3.connect(tmp_path / "spool.db")) as db:
        db.execute("UPDATE events SET event = '{' WHERE sequence = ?", (second.sequence,))
        db.commit()
    with closing(EventQueue(tmp_path)) as event_queue:
        assert offsets(event_queue, "a") == [0, 2]
        assert offsets(event_queue, "b") == [0, 2]
        assert event_queue.dropped == {"a": 1, "b": 1}
