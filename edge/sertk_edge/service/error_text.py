"""Describe errors in one line, whatever raised them."""

from __future__ import annotations

from ser_toolkit.runtime.errors import SertkError

LONGEST_LINE = 200


def error_text(error: BaseException) -> str:
    """Describe any exception, a plugin's too, in one short line of printable text."""
    try:
        text = _message(error)
    except Exception:
        text = ""
    kind = type(error).__name__
    known = isinstance(error, (OSError, SertkError)) and text
    line = text if known else f"{kind}: {text}" if text else kind
    printable = "".join(char if char.isprintable() else " " for char in line)
    return " ".join(printable.split())[:LONGEST_LINE]


def _message(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return str(error)
