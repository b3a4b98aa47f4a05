"""Log records as lines: nothing that is logged can begin a line or colour a terminal."""

from __future__ import annotations

import json
import logging
import math
import re
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from ser_toolkit.runtime.text import escape_control

PLAIN = re.compile(r"[^\s\"'=\\]+")
NO_KEY = re.compile(r"[^A-Za-z0-9_.-]")
LONG_NUMBER = re.compile(r"\d{3,}")
REPEAT_S = 60.0
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
DEBUG_PRIORITY = 7
KEYS = 256


def fields_of(record: logging.LogRecord) -> dict[str, Any]:
    """Return what was logged beside the text."""
    fields: Mapping[str, Any] = getattr(record, "fields", {})
    repeated: int = getattr(record, "repeated", 0)
    return {**fields, "repeated": repeated} if repeated else dict(fields)


def message_of(record: logging.LogRecord) -> str:
    """Return the text alone; arguments that do not fit it are a fault, but no reason to lose it."""
    try:
        return escape_control(record.getMessage())
    except (TypeError, ValueError, KeyError):
        return escape_control(f"{record.msg} {record.args}")


def name_of(record: logging.LogRecord) -> str:
    """Return the module that logs: `sink_worker`, not `sertk_edge.delivery.sink_worker`."""
    return record.name.rpartition(".")[2]


def error_of(record: logging.LogRecord) -> str:
    """Return the error that is logged, if any, with its traceback; many lines."""
    if not record.exc_info or record.exc_info[1] is None:
        return ""
    return "".join(traceback.format_exception(record.exc_info[1])).rstrip()


def logfmt(fields: Mapping[str, Any]) -> str:
    """Write fields as key=value key="other value" …"""
    return " ".join(f"{NO_KEY.sub('_', key)}={_quoted(value)}" for key, value in fields.items())


def line_of(record: logging.LogRecord) -> str:
    """Return text and fields."""
    return f"{message_of(record)} {logfmt(fields_of(record))}".rstrip()


class TextFormatter(logging.Formatter):
    """time level part: text key=value …"""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, tracebacks too."""
        when = datetime.fromtimestamp(record.created).astimezone().isoformat("T", "milliseconds")
        line = f"{when} {record.levelname.lower()} {name_of(record)}: {line_of(record)}"
        error = error_of(record)
        return f"{line} {logfmt({'traceback': error})}" if error else line


class JournalFormatter(logging.Formatter):
    """<N>part: text key=value …, where N is the level as sd-daemon(3) and syslog number it."""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line, tracebacks too; journald adds the time."""
        line = f"<{_priority(record.levelno)}>{name_of(record)}: {line_of(record)}"
        error = error_of(record)
        return f"{line} {logfmt({'traceback': error})}" if error else line


class JsonFormatter(logging.Formatter):
    """{"time", "level", "part", "message", and the fields}"""

    def format(self, record: logging.LogRecord) -> str:
        """Return one line of ASCII."""
        when = datetime.fromtimestamp(record.created).astimezone().isoformat("T", "milliseconds")
        error = error_of(record)
        about = {
            **{key: _json_value(value) for key, value in fields_of(record).items()},
            **({"traceback": error} if error else {}),
            "time": when,
            "level": record.levelname.lower(),
            "part": name_of(record),
            "message": message_of(record),
        }
        return json.dumps(about, default=str)


class RepeatFilter(logging.Filter):
    """Lets a warning or an error through once a minute, with the number of those held back.

    The same is what has the same text and fields, but for long numbers: a port is another one with
    each attempt.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, every_s: float = REPEAT_S
    ) -> None:
        super().__init__()
        self._clock = clock
        self._every_s = every_s
        self._lock = threading.Lock()
        self._seen: OrderedDict[object, tuple[float, int]] = OrderedDict()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether to say it now."""
        if record.levelno < logging.WARNING:
            return True
        with self._lock:
            held = self._held(_identity(record), self._clock())
        if held:
            record.repeated = held
        return held is not None

    def _held(self, key: object, now: float) -> int | None:
        """Return how many were held back since it was last logged; None: hold this one back too."""
        since, held = self._seen.pop(key, (-math.inf, 0))
        if now - since < self._every_s:
            self._seen[key] = (since, held + 1)
            return None
        self._seen[key] = (now, 0)
        if len(self._seen) > KEYS:
            self._seen.popitem(last=False)
        return held


def _priority(level: int) -> int:
    return next((priority for least, priority in PRIORITIES if level >= least), DEBUG_PRIORITY)


def _identity(record: logging.LogRecord) -> object:
    texts = [value for value in fields_of(record).values() if isinstance(value, str)]
    logged = (message_of(record), *texts)
    return record.name, record.levelno, tuple(LONG_NUMBER.sub("#", text) for text in logged)


def _quoted(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    safe = escape_control(text)
    if safe == text and PLAIN.fullmatch(text):
        return text
    # What `escape_control` escaped keeps its one backslash: "\n" reads as what it was.
    return '"' + escape_control(text.replace("\\", "\\\\").replace('"', '\\"')) + '"'


def _json_value(value: object) -> object:
    """Return a value that JSON can express: it has neither infinity nor NaN."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
