"""Log records to journald in its own protocol: one datagram each, with fields.

Source: systemd.io, "Native Journal Protocol".
"""

from __future__ import annotations

import logging
import os
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from .log_format import TextFormatter, error_of, fields_of, line_of, message_of, name_of

SOCKET = Path("/run/systemd/journal/socket")
IDENTIFIER = "sertk-edge"
PREFIX = "SERTK_"
MAX_NAME = 64
MAX_VALUE_BYTES = 16_384
"""A datagram holds about 200 kB; nothing that we say comes near."""
PRIORITIES = ((logging.CRITICAL, 2), (logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))
DEBUG_PRIORITY = 7


def is_journal(stream: TextIO, env: Mapping[str, str]) -> bool:
    """Whether what is written to `stream` goes to the journal: JOURNAL_STREAM names that socket."""
    try:
        found = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return env.get("JOURNAL_STREAM") == f"{found.st_dev}:{found.st_ino}"


class JournalHandler(logging.Handler):
    """Sends records to journald, and writes them to `stream` where journald does not listen.

    It never waits: a journal that is stuck must not stop the daemon. What it does not take is
    counted, and the count goes with the next record.
    """

    def __init__(self, stream: TextIO, path: Path = SOCKET) -> None:
        super().__init__()
        self._path = str(path)
        self._stream = stream
        self._lost = 0
        self._text = TextFormatter()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.setblocking(False)

    def emit(self, record: logging.LogRecord) -> None:
        """One datagram, or one line where there is no journal."""
        try:
            self._socket.sendto(encode(entry(record, self._lost)), self._path)
            self._lost = 0
        except BlockingIOError:
            self._lost += 1
        except (OSError, ValueError):
            self._write(record)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()
        super().close()

    def _write(self, record: logging.LogRecord) -> None:
        try:
            self._stream.write(self._text.format(record) + "\n")
            self._stream.flush()
        except (OSError, ValueError):
            self._lost += 1


def entry(record: logging.LogRecord, lost: int = 0) -> dict[str, str]:
    """The fields of a record as the journal knows them; MESSAGE has ours in it, for people."""
    error = error_of(record)
    own = {f"{PREFIX}{_name(key)}": str(value) for key, value in fields_of(record).items()}
    return {
        **own,
        **({f"{PREFIX}TRACEBACK": error} if error else {}),
        **({f"{PREFIX}LOST": str(lost)} if lost else {}),
        f"{PREFIX}TEXT": message_of(record),
        f"{PREFIX}PART": name_of(record),
        "MESSAGE": line_of(record) + (f"\n{error}" if error else ""),
        "PRIORITY": str(_priority(record.levelno)),
        "SYSLOG_IDENTIFIER": IDENTIFIER,
        "CODE_FILE": record.pathname,
        "CODE_LINE": str(record.lineno),
        "CODE_FUNC": record.funcName,
    }


def encode(fields: Mapping[str, str]) -> bytes:
    """KEY=value; a value of many lines goes behind its length (64 bits, little-endian)."""
    return b"".join(_field(key, value) for key, value in fields.items())


def _field(key: str, value: str) -> bytes:
    content = value.encode("utf-8", "backslashreplace")[:MAX_VALUE_BYTES]
    if b"\n" not in content:
        return key.encode() + b"=" + content + b"\n"
    return key.encode() + b"\n" + struct.pack("<Q", len(content)) + content + b"\n"


def _name(key: str) -> str:
    """Capitals, digits and underscores, as the journal wants them."""
    return re.sub(r"[^A-Z0-9_]", "_", key.upper())[: MAX_NAME - len(PREFIX)]


def _priority(level: int) -> int:
    return next((priority for least, priority in PRIORITIES if level >= least), DEBUG_PRIORITY)
