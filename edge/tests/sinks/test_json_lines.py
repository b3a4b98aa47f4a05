"""Events as lines: standard output that may go away, files that may be rotated or full."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pytest

from ser_toolkit.runtime.events import Device, Event
from sertk_edge.sinks.json_lines import JsonLines

DEVICE = Device("pi", "Pi", ("anger",), "m", "1")


def event(number: int) -> Event:
    return Event(f"id{number}", number, "started", 1.5, 0.5, "anger", {"anger": 1.0}, -20.0)


def lines(path: Path) -> list[object]:
    return [json.loads(line)["sequence"] for line in path.read_text().splitlines()]


SCRIPT = """
import sys, time
from ser_toolkit.runtime.events import Device, Event
from sertk_edge.sinks.base import StdoutClosedError
from sertk_edge.sinks.json_lines import JsonLines
outlet = JsonLines().open(Device("pi", "Pi", ("anger",), "m", "1"))
try:
    for number in range(int(sys.argv[1])):
        outlet.deliver(Event("x", number, "started", 1.5, 0.5, "anger", {"anger": 1.0}, -20.0))
except StdoutClosedError as error:
    print(error, file=sys.stderr)
    sys.exit(7)
"""


def test_standard_output() -> None:
    command = [sys.executable, "-c", SCRIPT, "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["sequence"] for one in found] == [0, 1, 2]
    assert found[0] == {**asdict(event(0)), "id": "x"}


def test_a_reader_that_goes_away() -> None:
    """As in `sertk serve-edge … | head -1`: no traceback, not at the end of Python either."""
    command = [sys.executable, "-c", SCRIPT, "100000"]
    child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    with child:
        assert child.stdout is not None
        assert child.stderr is not None
        assert json.loads(child.stdout.readline())["sequence"] == 0
        child.stdout.close()
        assert child.stderr.read() == "nobody reads standard output any more\n"
        assert child.wait(20) == 7


def test_a_file_that_is_rotated(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    outlet = JsonLines(path=str(path)).open(DEVICE)
    outlet.deliver(event(0))
    path.rename(tmp_path / "old")
    outlet.deliver(event(1))
    assert (lines(tmp_path / "old"), lines(path)) == ([0], [1])


def test_a_file_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(IsADirectoryError):
        JsonLines(path=str(tmp_path)).open(DEVICE)


def test_a_full_disk_leaves_no_half_line(small_disk: Callable[[int], Path]) -> None:
    root = small_disk(8)
    path = root / "events.jsonl"
    outlet = JsonLines(path=str(path)).open(DEVICE)
    number = 0
    with pytest.raises(OSError, match="No space left"):
        for number in range(1000):
            outlet.deliver(event(number))
    assert number > 10
    assert lines(path) == list(range(number))
    path.rename(root / "old")
    (root / "old").unlink()
    outlet.deliver(event(number))
    assert lines(path) == [number]
