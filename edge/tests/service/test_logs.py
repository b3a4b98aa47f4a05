"""What is logged, as text, as JSON, and with the level for journald before each line."""

from __future__ import annotations

import json
import logging
import os
import re
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from sertk_edge.service.log_format import (
    JournalFormatter,
    JsonFormatter,
    RepeatFilter,
    TextFormatter,
)
from sertk_edge.service.logs import log

Record = logging.LogRecord
Speak = Callable[..., Record]
TEXT = st.text(max_size=60)


class Kept(logging.Handler):
    """Keeps the records of one logger."""

    def __init__(self) -> None:
        super().__init__()
        self.records: list[Record] = []

    def emit(self, record: Record) -> None:
        self.records.append(record)


def record_of(message: str, level: str = "warning", /, **fields: Any) -> Record:
    """The record that a log makes of this."""
    kept, speaker = Kept(), log("trial")
    speaker.logger.addHandler(kept)
    speaker.logger.setLevel("DEBUG")
    speaker.logger.propagate = False
    try:
        getattr(speaker, level)(message, **fields)
    finally:
        speaker.logger.removeHandler(kept)
    return kept.records[0]


def with_error() -> Record:
    try:
        raise ValueError("two\nlines")
    except ValueError:
        return record_of("it broke", "error", exc_info=True)


def test_text_is_one_line_with_fields() -> None:
    record = record_of("no answer from %s", "info", sink="mqtt", after_s=2.0, error='it "broke"')
    record.msg, record.args = "no answer from %s", ("broker",)
    line = TextFormatter().format(record)
    when, rest = line.split(" ", 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d", when)
    expected = r'info trial: no answer from broker sink=mqtt after_s=2 error="it \"broke\""'
    assert rest == expected


def test_json_is_one_object_with_fields() -> None:
    record = record_of(
        "no answer", sink="mqtt", attempts=3, after_s=float("inf"), level="loud", msg=1
    )
    found = json.loads(JsonFormatter().format(record))
    assert found.pop("time")
    assert found == {
        "level": "warning",
        "part": "trial",
        "message": "no answer",
        "sink": "mqtt",
        "attempts": 3,
        "msg": 1,
        "after_s": "inf",
    }


@given(message=TEXT, key=TEXT, value=TEXT)
def test_nothing_that_is_logged_begins_a_line(message: str, key: str, value: str) -> None:
    record = record_of("%s", fields_key=value)
    record.args = (message,)
    record.fields = {key: value}
    for formatter in (TextFormatter(), JsonFormatter(), JournalFormatter()):
        line = formatter.format(record)
        assert line.isprintable()
    found = json.loads(JsonFormatter().format(record))
    assert key in found


def test_an_error_comes_with_its_traceback() -> None:
    record = with_error()
    line = TextFormatter().format(record)
    assert line.isprintable() and r"ValueError: two\nlines" in line and "test_logs.py" in line
    assert "two\nlines" in json.loads(JsonFormatter().format(record))["traceback"]


def test_arguments_that_do_not_fit_lose_nothing() -> None:
    record = record_of("plain")
    record.msg, record.args = "%d times", ("three",)
    assert "%d times ('three',)" in TextFormatter().format(record)


def test_the_journal_gets_the_level_before_the_line() -> None:
    record = record_of("no answer", sink="mqtt", retry_in_s=2.0, **{"odd key=": "a\nb"})
    expected = r'<4>trial: no answer sink=mqtt retry_in_s=2 odd_key_="a\nb"'
    assert JournalFormatter().format(record) == expected
    line = JournalFormatter().format(with_error())
    assert line.startswith('<3>trial: it broke traceback="Traceback')
    assert line.isprintable() and r"ValueError: two\nlines" in line


def test_levels_are_priorities() -> None:
    for level, priority in (("debug", 7), ("info", 6), ("warning", 4), ("error", 3)):
        line = JournalFormatter().format(record_of("it is so", level))
        assert line == f"<{priority}>trial: it is so"


def test_the_part_is_the_module_that_logs() -> None:
    record = record_of("gone")
    record.name = "sertk_edge.delivery.sink_worker"
    assert JournalFormatter().format(record) == "<4>sink_worker: gone"


def test_the_same_warning_comes_once_a_minute() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])

    def output(message: str, level: str = "warning", /, **fields: Any) -> int | None:
        """How many were held back before it; None if it is held back itself."""
        record = record_of(message, level, **fields)
        return getattr(record, "repeated", 0) if repeats.filter(record) else None

    assert output("no broker", sink="mqtt") == 0
    for second in range(1, 60):
        now[0] = second
        assert output("no broker", sink="mqtt", attempt=second) is None
    assert output("no broker", sink="other") == 0
    assert output("no broker", "error", sink="mqtt") == 0
    assert output("heard", "info") == output("heard", "info") == 0
    now[0] = 60.0
    assert output("no broker", sink="mqtt") == 59
    now[0] = 121.0
    assert output("no broker", sink="mqtt") == 0


def test_a_port_makes_no_other_warning() -> None:
    repeats = RepeatFilter(lambda: 0.0)
    assert repeats.filter(record_of("refused", error="from ('127.0.0.1', 40123)"))
    assert not repeats.filter(record_of("refused", error="from ('127.0.0.1', 51999)"))
    assert repeats.filter(record_of("refused", error="from sink 2"))
    assert repeats.filter(record_of("refused", error="from sink 3"))


def test_what_is_remembered_has_a_bound() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])
    for number in range(100):
        for letter in "abcdefgh":
            now[0] += 0.001
            repeats.filter(record_of(f"fault {letter}{number}"))
    assert repeats.filter(record_of("fault a1"))
    assert not repeats.filter(record_of("fault h99"))


def child(tmp_path: Path, code: str, stderr: Any = subprocess.PIPE, **env: str) -> str:
    """Run `code` after `setup` in a process of its own; what it wrote to standard error."""
    head = (
        "import logging\nfrom sertk_edge.settings import LogSettings\n"
        "from sertk_edge.service.logs import log, setup\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", head + code],
        stderr=stderr,
        env={**os.environ, **env},
        text=True,
        timeout=60,
        check=True,
    )
    return done.stderr or ""


SPEAK = "setup(LogSettings())\nlog('trial').info('hello', sink='mqtt')\n"


def test_auto_is_the_journal_where_standard_error_is(tmp_path: Path) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = os.fstat(theirs.fileno())
        child(tmp_path, SPEAK, stderr=theirs, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}")
        assert ours.recv(1000) == b"<6>trial: hello sink=mqtt\n"


def test_auto_is_text_everywhere_else(tmp_path: Path) -> None:
    assert child(tmp_path, SPEAK).endswith("info trial: hello sink=mqtt\n")
    assert child(tmp_path, SPEAK, JOURNAL_STREAM="8:1").endswith("info trial: hello sink=mqtt\n")


def test_levels_are_kept_and_libraries_speak_from_warning_on(tmp_path: Path) -> None:
    code = (
        "setup(LogSettings(level='{}', format='json'))\n"
        "for speaker in (log('ours').logger, logging.getLogger('theirs')):\n"
        "    speaker.debug('debug')\n    speaker.info('info')\n    speaker.error('error')\n"
    )

    def output(level: str) -> list[tuple[str, str]]:
        lines = child(tmp_path, code.format(level)).splitlines()
        return [(found["part"], found["level"]) for found in map(json.loads, lines)]

    assert output("info") == [("ours", "info"), ("ours", "error"), ("theirs", "error")]
    assert output("error") == [("ours", "error"), ("theirs", "error")]
    assert len(output("debug")) == 6


def test_a_stream_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    code = SPEAK + "import os\nos.close(2)\nlog('trial').warning('unheard')\nprint('alive')"
    assert "Traceback" not in child(tmp_path, code)
