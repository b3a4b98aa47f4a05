"""Format text for people: printable, in one line of limited length, with the right plural."""

from __future__ import annotations

from collections.abc import Sequence

LONGEST_LINE = 300


def escape_control(text: str, keep: str = "") -> str:
    """Escape what is not printable, except the characters of `keep`."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else ascii(c)[1:-1] for c in text)


def unicode_name(name: str) -> str:
    """Return the name of a file without surrogates, which no file format can hold.

    Bytes that are no UTF-8 become `\\xff`; those that are, in a locale without umlauts, umlauts.
    """
    try:
        return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half of a pair, as JSON may have it
        return name.encode("utf-8", "backslashreplace").decode()


def printable_name(name: str) -> str:
    """Return the name of a file for people: in one line, and without surrogates."""
    return escape_control(unicode_name(name))


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
