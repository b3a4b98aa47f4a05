"""Format text for people: printable, in one line of limited length, with the right plural."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_LINE = 300


def escape_control(text: str, keep: str = "") -> str:
    """Escape what is not printable, except the characters of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def shorten(text: str, most: int = LONGEST_LINE) -> str:
    """Put `text` into one line of at most `most` characters."""
    line = " ".join(text.split())
    return line if len(line) <= most else line[: most - 1] + "…"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: 1 sample, 2 samples."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def listed(names: Sequence[str], most: int) -> str:
    """Return names with commas, and how many more there are than `most`."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most} more"
