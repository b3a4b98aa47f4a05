"""The settings of a TOML file as defaults of the options, and options as settings."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.validate import check_bounds, check_fields

from .settings import SECTIONS, Settings, expanded, usage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "SERTK_EDGE"
SINKS = f"{PREFIX}_SINKS"
SinkChoice = tuple[str, Mapping[str, Any]]
Sinks = tuple[SinkChoice, ...]


@usage()
def settings_of(options: Mapping[str, Any]) -> Settings:
    """Build all settings from options by `section_field`; one that is None keeps its default.

    Raises WrongUsageError for the first number that is out of range.
    """
    sections = {name: _section(name, kind, options) for name, kind in SECTIONS.items()}
    return Settings(**sections, sinks=tuple(options.get("sinks") or ()))


@usage()
def defaults_of(file: Path) -> dict[str, Any]:
    """Read the settings of a TOML file, by `section_field`. Raises WrongUsageError or OSError."""
    tables = _read(file)
    known = (*SECTIONS, "sink")
    if unknown := [name for name in tables if name not in known]:
        raise SertkError(
            f"the configuration has no table '{unknown[0]}'", f"It may have: {', '.join(known)}"
        )
    values = {
        f"{name}_{key}": value
        for name, kind in SECTIONS.items()
        for key, value in check_fields(kind, _table(tables, name), name).items()
    }
    return {**values, "sinks": _sinks(tables.get("sink", []))}


@usage()
def refuse_unknown(variables: Collection[str], known: Collection[str]) -> None:
    """Raise WrongUsageError for a variable with our prefix that no option has: it is misspelt."""
    unknown = sorted(v for v in variables if v.startswith(f"{PREFIX}_") and v not in known)
    if unknown:
        raise SertkError(f"'{unknown[0]}' is no setting", "`sertk serve-edge --help` lists them")


@usage()
def sink_of(text: str) -> SinkChoice:
    """Split `name,key=value,key=value` into a name and parameters."""
    name, *pairs = [part.strip() for part in text.split(",")]
    if not name or any("=" not in pair for pair in pairs):
        raise SertkError(f"a sink expects NAME,key=value,…, received {text!r}")
    return name, {key.strip(): value.strip() for key, _, value in (p.partition("=") for p in pairs)}


def plain_type(hint: Any) -> Any:
    """Return the type beside None in a union, else the hint."""
    args = typing.get_args(hint)
    inner = [arg for arg in args if arg is not type(None)]
    return inner[0] if type(None) in args else hint


def _section(name: str, kind: type, options: Mapping[str, Any]) -> Any:
    given = {
        field.name: expanded(value) if isinstance(value, Path) else value
        for field in dataclasses.fields(kind)
        if (value := options.get(f"{name}_{field.name}")) not in (None, ())
    }
    section = kind(**given)
    check_bounds(section, name)
    return section


def _sinks(rows: Any) -> list[SinkChoice]:
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "name" in r for r in rows):
        raise SertkError("sinks stand in the configuration as [[sink]] with a name each")
    return [(str(row["name"]), {k: v for k, v in row.items() if k != "name"}) for row in rows]


def _read(file: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a mark of its encoding.
        tables: dict[str, Any] = tomllib.loads(file.read_text("utf-8-sig"))
        return tables
    # A number of thousands of digits and a thousand brackets raise more than TOMLDecodeError.
    except (ValueError, RecursionError) as error:
        raise SertkError(f"'{file.name}' is not TOML: {error}", "Fix that line") from error


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise SertkError(f"[{name}] expects a table, received {table!r:.40}")
    return table
