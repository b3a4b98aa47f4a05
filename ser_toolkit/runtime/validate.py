"""Turn a table of JSON or TOML into a frozen dataclass: keys, types and bounds are checked.

A field's type says what it takes, and the metadata `bounds` what the type cannot say. Lists become
tuples, whole numbers fractions, text paths, and tables the dataclasses that the types name.
"""

from __future__ import annotations

import dataclasses
import math
import re
import types
import typing
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar, Union

from .errors import SertkError

D = TypeVar("D")
# Builds the component that a table describes, given the type of its field; None for another.
Make = Callable[[Mapping[str, Any], Any], Any]
KEY = "bounds"
SHOWN = 80
TYPE_NAMES: Mapping[Any, str] = {
    bool: "true or false",
    int: "a whole number",
    float: "a number",
    str: "text",
    Path: "a path",
    tuple: "a list",
    list: "a list",
}


class UnknownKeyError(SertkError):
    """A table has a key that is not among its fields."""


@dataclasses.dataclass(frozen=True)
class Bounds:
    """What the value of a field keeps to beside its type, and each item of a list or table.

    Attributes:
        low: The lowest number.
        high: The highest number.
        above: Numbers must be more than this.
        items: Least and greatest length of a list.
        characters: Least and greatest length of a text, which must be printable then.
        pattern: What the whole of a text matches.
        choices: What a text may be.
    """

    low: float = -math.inf
    high: float = math.inf
    above: float | None = None
    items: tuple[int, int] | None = None
    characters: tuple[int, int] | None = None
    pattern: re.Pattern[str] | None = None
    choices: tuple[str, ...] = ()


def bounds(low: float | None = None, high: float | None = None, **more: Any) -> dict[str, Any]:
    """Return metadata for `dataclasses.field`; `more` are further attributes of `Bounds`."""
    ends = (-math.inf if low is None else low, math.inf if high is None else high)
    return {KEY: Bounds(*ends, **more)}


def bounded(default: Any, low: float | None = None, high: float | None = None, **more: Any) -> Any:
    """Return a dataclass field with a default and bounds.

    Args:
        default: Its default.
        low: The lowest number; None is no bound.
        high: The highest number; None is no bound.
        more: Further attributes of `Bounds`.
    """
    return dataclasses.field(default=default, metadata=bounds(low, high, **more))


def from_mapping(
    kind: type[D], values: Any, where: str, make: Make | None = None, complete: bool = False
) -> D:
    """Return an instance of a dataclass. Raise SertkError in one line that names the wrong key.

    Args:
        kind: The dataclass.
        values: The table, as JSON or TOML gives it.
        where: What errors call the table.
        make: Builds components from tables within; see `Make`.
        complete: Whether fields with a default must be there too, here and in tables within.
    """
    if not isinstance(values, Mapping):
        raise _expected("a table", values, where)
    checked = check_fields(kind, values, where, make, complete)
    for field in dataclasses.fields(typing.cast(Any, kind)):
        if field.name not in checked and (complete or _is_required(field)):
            raise SertkError(f"'{where}' lacks '{field.name}'")
    try:
        return kind(**checked)
    except (ValueError, TypeError) as error:
        raise SertkError(f"'{where}': {error}") from error


def check_fields(
    kind: type,
    values: Mapping[str, Any],
    where: str,
    make: Make | None = None,
    complete: bool = False,
) -> dict[str, Any]:
    """Return some of the fields of a dataclass with the types that it declares.

    Args:
        kind: The dataclass.
        values: Name to value, as JSON or TOML gives them.
        where: What errors call the table.
        make: As in `from_mapping`.
        complete: Whether tables within must have all their fields.
    """
    fields = {field.name: field for field in dataclasses.fields(kind)}
    refuse_unknown(values, fields, f"'{where}'")
    hints = typing.get_type_hints(kind)
    converter = _Converter(make, complete)
    converted = {
        name: converter.convert(value, hints[name], f"{where}.{name}")
        for name, value in values.items()
    }
    for name, value in converted.items():
        _check(value, fields[name].metadata.get(KEY), f"{where}.{name}")
    return converted


def check_bounds(instance: Any, where: str) -> None:
    """Raise SertkError for a field of a dataclass that is out of its bounds."""
    for field in dataclasses.fields(instance):
        _check(getattr(instance, field.name), field.metadata.get(KEY), f"{where}.{field.name}")


def refuse_unknown(
    keys: Iterable[Any], known: Iterable[str], owner: str, noun: str = "parameter"
) -> None:
    """Raise UnknownKeyError for an unknown key; the error lists the known ones, nearest first.

    Args:
        keys: The keys given.
        known: The keys that exist.
        owner: What errors call the whole.
        noun: What errors call a key.
    """
    names = list(known)
    for key in keys:
        if key not in names:
            listed = ", ".join(_nearest_first(str(key), names)) or "none"
            raise UnknownKeyError(f"{owner} has no {noun} {_shown(key)}", f"It has: {listed}")


@dataclasses.dataclass(frozen=True)
class _Converter:
    """Convert values to the types that hints declare, as `from_mapping` says."""

    make: Make | None
    complete: bool

    def convert(self, value: Any, hint: Any, where: str) -> Any:
        """Return `value` with the type that `hint` declares; errors call it `where`."""
        origin, args = typing.get_origin(hint), typing.get_args(hint)
        if origin in (Union, types.UnionType):
            return self._union(value, args, where)
        if origin is Literal:
            return _one_of(value, args, where)
        if origin is tuple and isinstance(value, (list, tuple)):
            return self._tuple(value, args[0] if args else Any, where)
        if isinstance(value, Mapping):
            return self._table(value, hint, where)
        return _plain(value, hint, where)

    def _union(self, value: Any, args: tuple[Any, ...], where: str) -> Any:
        if value is None and type(None) in args:
            return None
        kinds = [arg for arg in args if arg is not type(None)]
        if len(kinds) == 1:
            return self.convert(value, kinds[0], where)
        for kind in kinds:
            try:
                return self.convert(value, kind, where)
            except SertkError:
                continue
        raise _expected(" or ".join(map(type_name, kinds)), value, where)

    def _tuple(self, value: Iterable[Any], inner: Any, where: str) -> tuple[Any, ...]:
        numbered = dataclasses.is_dataclass(inner)
        return tuple(
            self.convert(item, inner, f"{where}[{index}]" if numbered else where)
            for index, item in enumerate(value)
        )

    def _table(self, value: Mapping[str, Any], hint: Any, where: str) -> Any:
        if typing.get_origin(hint) in (Mapping, dict):
            inner = typing.get_args(hint)[1]
            return {k: self.convert(item, inner, _within(where, k)) for k, item in value.items()}
        component = self.make(value, hint) if self.make else None
        if component is not None:
            return component
        if isinstance(hint, type) and dataclasses.is_dataclass(hint):
            return from_mapping(hint, value, where, self.make, self.complete)
        return _plain(value, hint, where)


def _plain(value: Any, hint: Any, where: str) -> Any:
    """Return a value that is no table, union, choice or tuple, as its type declares it."""
    kind = typing.get_origin(hint) or hint
    if kind is Path and isinstance(value, str):
        return Path(value)
    if kind is float and _fits(value, int):
        return _fraction(value, where)
    if not _fits(value, kind):
        raise _expected(type_name(hint), value, where)
    return value


def _fits(value: Any, kind: Any) -> bool:
    if kind is Any or not isinstance(kind, type):
        return True
    if kind is int:
        return isinstance(value, int) and not isinstance(value, bool)
    return isinstance(value, kind)


def _fraction(value: int, where: str) -> float:
    try:
        return float(value)
    except OverflowError:
        raise _expected(type_name(float), value, where) from None


def type_name(hint: Any) -> str:
    """Return what a user calls the values of a type."""
    if name := TYPE_NAMES.get(typing.get_origin(hint) or hint):
        return name
    if typing.get_origin(hint) is Mapping or dataclasses.is_dataclass(hint):
        return "a table"
    return str(getattr(hint, "__name__", hint))


def _one_of(value: Any, choices: tuple[Any, ...], where: str) -> Any:
    if value not in choices:
        raise _expected(f"one of {', '.join(map(str, choices))}", value, where)
    return value


def _check(value: Any, limits: Bounds | None, where: str) -> None:
    """Raise SertkError for a value out of its bounds, or an item of it."""
    if limits is None or value is None or isinstance(value, bool):
        return
    if isinstance(value, str):
        _check_text(value, limits, where)
    elif isinstance(value, (int, float)):
        _check_number(value, limits, where)
    elif isinstance(value, Mapping):
        for key, item in value.items():
            _check(item, limits, _within(where, key))
    elif isinstance(value, (tuple, list)):
        _check_length(len(value), limits.items, "items", value, where)
        for item in value:
            _check(item, limits, where)


def _within(where: str, key: str) -> str:
    return f"{where}.{_shown(key)[1:-1]}"


def _check_number(value: float, limits: Bounds, where: str) -> None:
    if limits.above is not None and limits.above < value < math.inf:
        return
    if limits.above is not None or not limits.low <= value <= limits.high:
        received = f"{value:g}" if isinstance(value, float) else str(value)
        raise SertkError(f"'{where}' expects {_range(limits)}, received {received:.40}")


def _range(limits: Bounds) -> str:
    if limits.above is not None:
        return f"more than {_bound(limits.above)}"
    if limits.high == math.inf:
        return "a number" if limits.low == -math.inf else f"{_bound(limits.low)} or more"
    if limits.low == -math.inf:
        return f"at most {_bound(limits.high)}"
    return f"{_bound(limits.low)} to {_bound(limits.high)}"


def _bound(end: float) -> str:
    return str(end) if isinstance(end, int) else f"{end:g}"


def _check_text(text: str, limits: Bounds, where: str) -> None:
    _check_length(len(text), limits.characters, "characters", text, where)
    if limits.characters and not text.isprintable():
        raise _expected("printable text", text, where)
    if limits.pattern and not limits.pattern.fullmatch(text):
        raise _expected("printable text of its kind", text, where)
    if limits.choices:
        _one_of(text, limits.choices, where)


def _check_length(
    length: int, limits: tuple[int, int] | None, noun: str, value: Any, where: str
) -> None:
    if limits and not limits[0] <= length <= limits[1]:
        wanted = f"{limits[0]} to {limits[1]} {noun}"
        received = _shown(value) if isinstance(value, str) else length
        raise SertkError(f"'{where}' expects {wanted}, received {received}")


def _is_required(field: dataclasses.Field[Any]) -> bool:
    return field.default is field.default_factory is dataclasses.MISSING


def _nearest_first(key: str, names: list[str]) -> list[str]:
    import difflib

    near = difflib.get_close_matches(key[:SHOWN], names)
    return [*near, *(name for name in names if name not in near)]


def _expected(wanted: str, value: Any, where: str) -> SertkError:
    return SertkError(f"'{where}' expects {wanted}, received {_shown(value)}")


def _shown(value: Any) -> str:
    """Return a value as errors show it: printable, in one line of limited length."""
    text = repr(value)
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
