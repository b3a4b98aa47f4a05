"""Parse JSON of unknown origin within bounds, and write JSON in one form."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NoReturn

from .bundle.container import COPY_AGAIN, BundleError

MAX_DEPTH = 24
MAX_DIGITS = 20


def parse_json(content: bytes, where: str) -> Mapping[str, Any]:
    """Return one JSON table. Refuse repeated keys, NaN, numbers of many digits, deep nesting."""
    try:
        table = json.loads(
            content.decode("utf-8"),
            object_pairs_hook=_without_repeats,
            parse_int=_short_integer,
            parse_float=_finite,
            parse_constant=_no_number,
        )
        _check(table, MAX_DEPTH)
    except (ValueError, RecursionError) as error:
        why = "it is nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise BundleError(f"{where} is not the JSON of a bundle: {why}", COPY_AGAIN) from error
    if not isinstance(table, dict):
        raise BundleError(f"{where} expects a table, received {type(table).__name__}", COPY_AGAIN)
    return table


def to_json(content: Mapping[str, Any], indent: int | None = 1) -> bytes:
    """Return JSON with sorted keys, so that equal content gives equal bytes."""
    try:
        text = json.dumps(
            content, indent=indent, sort_keys=True, ensure_ascii=False, allow_nan=False
        )
        return text.encode() + b"\n"
    except (TypeError, ValueError) as error:
        raise BundleError(
            f"JSON values expected: {error}", "Write null for a value that is not a number"
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
