"""Log records with fields, as text, as JSON, or with the level for journald before each line.

log = logs.log("sink_worker")
log.warning("the sink does not answer", sink="mqtt", error=str(error))
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO, TypeAlias

from ..settings import LogSettings
from .log_format import JournalFormatter, JsonFormatter, RepeatFilter, TextFormatter

if TYPE_CHECKING:
    Stream = logging.StreamHandler[TextIO]
else:
    Stream = logging.StreamHandler

OURS = "sertk_edge"
ErrorInfo: TypeAlias = "BaseException | bool | None"


@dataclass(frozen=True)
class Log:
    """Logs at a level, with fields by keyword: any name but `exc_info` is a field.

    `exc_info` adds a traceback: that of the error given, or with True of the one being handled.
    """

    logger: logging.Logger

    def debug(self, text: str, /, exc_info: ErrorInfo = None, **fields: object) -> None:
        """Log what helps to find faults."""
        self._say(logging.DEBUG, text, exc_info, fields)

    def info(self, text: str, /, exc_info: ErrorInfo = None, **fields: object) -> None:
        """Log what happens."""
        self._say(logging.INFO, text, exc_info, fields)

    def warning(self, text: str, /, exc_info: ErrorInfo = None, **fields: object) -> None:
        """Log what goes wrong and may pass."""
        self._say(logging.WARNING, text, exc_info, fields)

    def error(self, text: str, /, exc_info: ErrorInfo = None, **fields: object) -> None:
        """Log what somebody must fix."""
        self._say(logging.ERROR, text, exc_info, fields)

    def _say(
        self, level: int, text: str, exc_info: ErrorInfo, fields: Mapping[str, object]
    ) -> None:
        extra = {"fields": fields}
        self.logger.log(level, text, exc_info=exc_info, extra=extra, stacklevel=3)


def log(name: str) -> Log:
    """Return the log of one part of the daemon."""
    return Log(logging.getLogger(f"{OURS}.{name}"))


def setup(settings: LogSettings, stream: TextIO | None = None) -> logging.Handler:
    """Send what this process logs to `stream` (default: standard error).

    Libraries log from `warning` on, unless the level is `debug`.
    """
    handler = QuietStreamHandler(stream or sys.stderr)
    handler.setFormatter(_formatter(settings.format, handler.stream, os.environ))
    handler.addFilter(RepeatFilter())
    level = settings.level.upper()
    root = logging.getLogger()
    for old in list(root.handlers):
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel("DEBUG" if level == "DEBUG" else max(logging.WARNING, _number(level)))
    logging.getLogger(OURS).setLevel(level)
    return handler


def is_journal(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Say whether `stream` goes to the journal: JOURNAL_STREAM names its device and inode."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


def _formatter(wanted: str, stream: TextIO, env: Mapping[str, str]) -> logging.Formatter:
    if wanted == "json":
        return JsonFormatter()
    if wanted == "journal" or (wanted == "auto" and is_journal(stream, env)):
        return JournalFormatter()
    return TextFormatter()


class QuietStreamHandler(Stream):
    """A stream that is gone loses what is logged; it does not answer with tracebacks."""

    def handleError(self, record: logging.LogRecord) -> None:  # noqa: N802
        """Say nothing."""


def _number(level: str) -> int:
    number: int = getattr(logging, level)
    return number
