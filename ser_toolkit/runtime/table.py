"""JSON from a stranger: bounded when parsed, and every value's type checked by hand."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from typing import Any, NoReturn

from .archive import COPY_AGAIN, BundleError

MAX_DEPTH = 24
MAX_TEXT = 200
MAX_DIGITS = 20


def parse_json(content: bytes, where: str) -> Mapping[str, Any]:
    """One JSON table. Refused: repeated keys, NaN, numbers of many digits, deep nesting."""
    try:
        found = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_short_integer,
            parse_float=_finite,
            parse_constant=_no_number,
        )
        _check(found, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BundleError(f"{where} is not the JSON of a bundle: {why}", COPY_AGAIN) from error
    if not isinstance(found, dict):
        raise BundleError(f"{where} expects a table, received {type(found).__name__}", COPY_AGAIN)
    return found


def to_json(content: Mapping[str, Any], indent: int | None = 1) -> bytes:
    """JSON with sorted keys, so that equal content gives equal bytes."""
    try:
        text = json.dumps(
            content, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"JSON values expected: {error}", "Write null for what is no number"
        ) from error


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key is there twice")
    return table


def _short_integer(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits, at most {MAX_DIGITS} expected")
    return int(digits)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"a finite number expected, received {text:.40}")
    return value


def _no_number(text: str) -> NoReturn:
    raise ValueError(f"a number expected, received {text}")


def _check(value: Any, left: int) -> None:
    """Refuse deep nesting and text that cannot be written out again (lone surrogates)."""
    if left < 0:
        raise ValueError(f"it is nested more than {MAX_DEPTH} deep")
    if isinstance(value, str):
        value.encode()
    elif isinstance(value, dict):
        for key, item in value.items():
            key.encode()
            _check(item, left - 1)
    elif isinstance(value, list):
        for item in value:
            _check(item, left - 1)


class Table:
    """A JSON table that is emptied key by key; each wrong value is one line that names its key."""

    def __init__(self, content: Any, where: str) -> None:
        if not isinstance(content, Mapping):
            _refuse(where, "a table", content)
        self._left = dict(content)
        self._where = where

    def done(self) -> None:
        """Refuse what nobody asked for."""
        if self._left:
            keys = ", ".join(f"{key!r:.60}" for key in sorted(self._left)[:5])
            raise BundleError(f"{self._where} has unknown keys: {keys}", "Upgrade ser-toolkit")

    def take(self, key: str) -> Any:
        """A value of any type."""
        if key not in self._left:
            raise BundleError(f"{self._where} lacks '{key}'", COPY_AGAIN)
        return self._left.pop(key)

    def text(self, key: str, fits: Callable[[str], object] = str.isprintable) -> str:
        """A line of 1 to 200 printable characters for which `fits` is true."""
        value = self.take(key)
        if not isinstance(value, str) or not 0 < len(value) <= MAX_TEXT:
            _refuse(self._at(key), f"1 to {MAX_TEXT} characters", value)
        if not value.isprintable() or not fits(value):
            _refuse(self._at(key), "printable text of its kind", value)
        return value

    def integer(self, key: str, low: int, high: int) -> int:
        """A whole number from `low` to `high`."""
        value = self.take(key)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            _refuse(self._at(key), f"a whole number from {low} to {high}", value)
        return value

    def number(self, key: str, low: float, high: float) -> float:
        """A number from `low` to `high`."""
        value = self.take(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            _refuse(self._at(key), "a number", value)
        if not low <= value <= high:
            _refuse(self._at(key), f"a number from {low:g} to {high:g}", value)
        return float(value)

    def choice(self, key: str, options: tuple[str, ...]) -> str:
        """One of `options`."""
        value = self.take(key)
        if not isinstance(value, str) or value not in options:
            _refuse(self._at(key), f"one of {', '.join(options)}", value)
        return value

    def table(self, key: str) -> Table:
        """A table within."""
        return Table(self.take(key), self._at(key))

    def free(self, key: str) -> dict[str, Any]:
        """A table of anything."""
        value = self.take(key)
        if not isinstance(value, dict):
            _refuse(self._at(key), "a table", value)
        return value

    def rows(self, key: str, low: int, high: int) -> list[Any]:
        """A list of `low` to `high` items."""
        value = self.take(key)
        if not isinstance(value, list) or not low <= len(value) <= high:
            _refuse(self._at(key), f"a list of {low} to {high} items", value)
        return value

    def tables(self, key: str, low: int, high: int) -> list[Table]:
        """A list of tables."""
        rows = self.rows(key, low, high)
        return [Table(row, f"{self._at(key)}[{index}]") for index, row in enumerate(rows)]

    def names(self) -> list[str]:
        """The keys that are left."""
        return list(self._left)

    def _at(self, key: str) -> str:
        return f"{self._where}.{key}"


def each(values: list[Any], where: str, fits: Callable[[Any], bool], wanted: str) -> list[Any]:
    """`values`, each of which `fits`."""
    for value in values:
        if not fits(value):
            _refuse(where, wanted, value)
    return values


def _refuse(where: str, wanted: str, value: Any) -> NoReturn:
    received = f"{value!r:.80}" if not isinstance(value, (dict, list)) else type(value).__name__
    if isinstance(value, list):
        received = f"a list of {len(value)}"
    raise BundleError(f"{where} expects {wanted}, received {received}", COPY_AGAIN)
