"""What is logged, as text, as JSON, and as a real socket receives it in journald's place."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import socket
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sertk_edge.service.journal import JournalHandler
from sertk_edge.service.log_format import JsonFormatter, RepeatFilter, TextFormatter
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


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    """A socket as journald has it."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(str(tmp_path / "journal"))
        server.settimeout(5)
        yield server


def decoded(datagram: bytes) -> dict[str, str]:
    """The native protocol, read as its specification says."""
    fields = {}
    rest = datagram
    while rest:
        line, _, rest = rest.partition(b"\n")
        key, equals, value = line.partition(b"=")
        if not equals:
            (size,) = struct.unpack("<Q", rest[:8])
            value, end, rest = rest[8 : 8 + size], rest[8 + size : 9 + size], rest[9 + size :]
            assert end == b"\n"
        assert re.fullmatch(b"[A-Z][A-Z0-9_]{0,63}", key)
        fields[key.decode()] = value.decode()
    return fields


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
    for line in (TextFormatter().format(record), JsonFormatter().format(record)):
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


def test_the_journal_gets_fields(journal: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler(io.StringIO(), tmp_path / "journal")
    handler.emit(record_of("no answer", sink="mqtt", retry_in_s=2.0, **{"odd key=": "a\nb"}))
    fields = decoded(journal.recv(1 << 18))
    assert fields["MESSAGE"] == r'no answer sink=mqtt retry_in_s=2 odd_key_="a\nb"'
    assert (fields["PRIORITY"], fields["SYSLOG_IDENTIFIER"]) == ("4", "sertk-edge")
    assert (fields["SERTK_TEXT"], fields["SERTK_SINK"]) == ("no answer", "mqtt")
    assert fields["SERTK_ODD_KEY_"] == "a\nb"
    assert fields["CODE_FILE"].endswith("test_logs.py")
    handler.emit(with_error())
    fields = decoded(journal.recv(1 << 18))
    assert fields["PRIORITY"] == "3"
    assert fields["MESSAGE"].startswith("it broke\nTraceback")
    assert fields["SERTK_TRACEBACK"].endswith("ValueError: two\nlines")
    handler.close()


@pytest.mark.parametrize(("level", "priority"), [("debug", "7"), ("info", "6"), ("error", "3")])
def test_levels_are_priorities(
    journal: socket.socket, tmp_path: Path, level: str, priority: str
) -> None:
    handler = JournalHandler(io.StringIO(), tmp_path / "journal")
    handler.emit(record_of("it is so", level))
    assert decoded(journal.recv(1 << 18))["PRIORITY"] == priority
    handler.close()


def test_what_is_too_long_is_cut(journal: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler(io.StringIO(), tmp_path / "journal")
    handler.emit(record_of("long", text="é" * 1_000_000))
    assert 1000 < len(journal.recv(1 << 18)) < 200_000
    handler.close()


def test_without_a_journal_the_stream_gets_it(tmp_path: Path) -> None:
    stream = io.StringIO()
    handler = JournalHandler(stream, tmp_path / "nobody")
    handler.emit(record_of("still heard", sink="mqtt"))
    assert stream.getvalue().endswith("warning trial: still heard sink=mqtt\n")
    handler.close()


def test_a_journal_that_is_stuck_stops_nobody(journal: socket.socket, tmp_path: Path) -> None:
    handler = JournalHandler(io.StringIO(), tmp_path / "journal")
    sent = 2000
    for number in range(sent):
        handler.emit(record_of("x", "info", number=number))
    journal.setblocking(False)
    taken = 0
    while True:
        try:
            journal.recv(1 << 18)
        except BlockingIOError:
            break
        taken += 1
    assert 0 < taken < sent
    handler.emit(record_of("again"))
    assert decoded(journal.recv(1 << 18))["SERTK_LOST"] == str(sent - taken)
    handler.emit(record_of("and again"))
    assert "SERTK_LOST" not in decoded(journal.recv(1 << 18))
    handler.close()


def test_the_same_warning_comes_once_a_minute() -> None:
    now = [0.0]
    repeats = RepeatFilter(lambda: now[0])

    def said(message: str, level: str = "warning", /, **fields: Any) -> int | None:
        """How many were held back before it; None if it is held back itself."""
        record = record_of(message, level, **fields)
        return getattr(record, "repeated", 0) if repeats.filter(record) else None

    assert said("no broker", sink="mqtt") == 0
    for second in range(1, 60):
        now[0] = second
        assert said("no broker", sink="mqtt", attempt=second) is None
    assert said("no broker", sink="other") == 0
    assert said("no broker", "error", sink="mqtt") == 0
    assert said("heard", "info") == said("heard", "info") == 0
    now[0] = 60.0
    assert said("no broker", sink="mqtt") == 59
    now[0] = 121.0
    assert said("no broker", sink="mqtt") == 0


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
        "import logging\nfrom pathlib import Path\n"
        "from sertk_edge.settings import LogSettings\nfrom sertk_edge.service.logs import log, setup\n"
        f"JOURNAL = Path({str(tmp_path / 'journal')!r})\n"
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


SPEAK = "setup(LogSettings(), journal=JOURNAL)\nlog('trial').info('hello', sink='mqtt')\n"


def test_auto_is_the_journal_where_standard_error_is(
    journal: socket.socket, tmp_path: Path
) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        found = os.fstat(theirs.fileno())
        child(tmp_path, SPEAK, stderr=theirs, JOURNAL_STREAM=f"{found.st_dev}:{found.st_ino}")
    assert decoded(journal.recv(1 << 18))["SERTK_SINK"] == "mqtt"


def test_auto_is_text_everywhere_else(journal: socket.socket, tmp_path: Path) -> None:
    assert child(tmp_path, SPEAK).endswith("info trial: hello sink=mqtt\n")
    assert child(tmp_path, SPEAK, JOURNAL_STREAM="8:1").endswith("info trial: hello sink=mqtt\n")


def test_levels_are_kept_and_libraries_speak_from_warning_on(tmp_path: Path) -> None:
    code = (
        "setup(LogSettings(level='{}', format='json'))\n"
        "for speaker in (log('ours').logger, logging.getLogger('theirs')):\n"
        "    speaker.debug('debug')\n    speaker.info('info')\n    speaker.error('error')\n"
    )

    def said(level: str) -> list[tuple[str, str]]:
        lines = child(tmp_path, code.format(level)).splitlines()
        return [(found["part"], found["level"]) for found in map(json.loads, lines)]

    assert said("info") == [("ours", "info"), ("ours", "error"), ("theirs", "error")]
    assert said("error") == [("ours", "error"), ("theirs", "error")]
    assert len(said("debug")) == 6


def test_a_stream_that_is_gone_stops_nobody(tmp_path: Path) -> None:
    code = SPEAK + "import os\nos.close(2)\nlog('trial').warning('unheard')\nprint('alive')"
    assert "Traceback" not in child(tmp_path, code)
