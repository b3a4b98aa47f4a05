"""Flags over environment over TOML file over defaults, for every setting alike."""

from __future__ import annotations

import dataclasses
import sys
import typing
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ser_toolkit.runtime.component import configure_fields
from ser_toolkit.runtime.errors import SertkError

from .settings import SECTIONS, Settings, usage

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

PREFIX = "SERTK_EDGE_"
SINKS = f"{PREFIX}SINKS"
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")
Sinks = tuple[tuple[str, Mapping[str, Any]], ...]


@usage()
def settings_of(
    file: Path | None, env: Mapping[str, str], flags: Mapping[str, Any], sinks: Sequence[str] = ()
) -> Settings:
    """All settings. `flags` are by `section_field`, `sinks` are texts like `mqtt,host=pi`.

    Sinks of a higher rank replace those of a lower one, they do not add to them. Raises WrongUsageError
    with the first thing that is wrong.
    """
    tables = {} if file is None else _read(file)
    unknown = [name for name in tables if name not in (*SECTIONS, "sink")]
    if unknown:
        known = ", ".join((*SECTIONS, "sink"))
        raise SertkError(f"the configuration has no table '{unknown[0]}'", f"It may have: {known}")
    _refuse_unknown(env)
    sections = {name: section_of(name, _table(tables, name), env, flags) for name in SECTIONS}
    return Settings(**sections, sinks=_sinks(tables, env, sinks))


def flag_of(section: str, field: dataclasses.Field[Any]) -> str:
    """The flag of a field: --section-field, unless it has a name of its own."""
    return str(field.metadata["flag"] or f"--{section}-{field.name}".replace("_", "-"))


def variable_of(section: str, name: str) -> str:
    """The environment variable of a field."""
    return f"{PREFIX}{section}_{name}".upper()


def section_of(
    name: str, table: Mapping[str, Any], env: Mapping[str, str], flags: Mapping[str, Any]
) -> Any:
    """One section of the settings. Raises SertkError."""
    kind = SECTIONS[name]
    hints = typing.get_type_hints(kind)
    merged = dict(table)
    for field in dataclasses.fields(kind):
        variable = variable_of(name, field.name)
        if variable in env:
            merged[field.name] = from_text(env[variable], hints[field.name], variable)
        if (given := flags.get(f"{name}_{field.name}")) is not None:
            merged[field.name] = given
    ready = {key: _shaped(value, hints.get(key)) for key, value in merged.items()}
    values = configure_fields(kind, ready, name)
    for field in dataclasses.fields(kind):
        _check_range(f"{name}.{field.name}", values.get(field.name), field.metadata)
    return kind(**values)


def from_text(text: str, hint: Any, where: str) -> Any:
    """A value of a variable or a flag; what does not fit is refused by name."""
    kind = plain(hint)
    try:
        if kind is bool:
            return _boolean(text)
        if kind in (int, float):
            return kind(text)
    except ValueError:
        raise SertkError(f"'{where}' expects {kind.__name__}, received {text!r}") from None
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def plain(hint: Any) -> Any:
    """The type beside None in a union, else the hint."""
    args = typing.get_args(hint)
    inner = [arg for arg in args if arg is not type(None)]
    return inner[0] if type(None) in args else hint


def sink_of(text: str) -> tuple[str, Mapping[str, Any]]:
    """Name and parameters of `name,key=value,key=value`."""
    name, *pairs = [part.strip() for part in text.split(",")]
    if not name or any("=" not in pair for pair in pairs):
        raise SertkError(f"a sink expects NAME,key=value,…, received {text!r}")
    return name, {key.strip(): value.strip() for key, _, value in (p.partition("=") for p in pairs)}


def _sinks(tables: Mapping[str, Any], env: Mapping[str, str], given: Sequence[str]) -> Sinks:
    texts = given or [text for text in env.get(SINKS, "").split(";") if text.strip()]
    if texts:
        return tuple(sink_of(text) for text in texts)
    rows = tables.get("sink", [])
    if not isinstance(rows, list) or not all(isinstance(r, dict) and "name" in r for r in rows):
        raise SertkError("sinks stand in the configuration as [[sink]] with a name each")
    return tuple((str(row["name"]), {k: v for k, v in row.items() if k != "name"}) for row in rows)


def _read(file: Path) -> dict[str, Any]:
    try:
        # Some editors begin a file with a mark of its encoding.
        tables: dict[str, Any] = tomllib.loads(file.read_text("utf-8-sig"))
        return tables
    # A number of thousands of digits and a thousand brackets raise more than TOMLDecodeError.
    except (ValueError, RecursionError) as error:
        raise SertkError(f"'{file.name}' is not TOML: {error}", "Mend that line") from error


def _table(tables: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = tables.get(name, {})
    if not isinstance(table, dict):
        raise SertkError(f"[{name}] expects a table, received {table!r:.40}")
    return table


def _refuse_unknown(env: Mapping[str, str]) -> None:
    """A misspelt variable would pass unseen."""
    known = {
        variable_of(name, f.name) for name, k in SECTIONS.items() for f in dataclasses.fields(k)
    }
    strange = sorted(key for key in env if key.startswith(PREFIX) and key not in (*known, SINKS))
    if strange:
        raise SertkError(f"'{strange[0]}' is no setting", "`sertk serve-edge --help` lists them")


def _check_range(where: str, value: Any, known: Mapping[str, Any]) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return
    if not known["least"] <= value <= known["most"]:
        received = f"{value:g}" if isinstance(value, float) else str(value)
        raise SertkError(
            f"'{where}' expects {known['least']:g} to {known['most']:g}, received {received:.40}"
        )


def _boolean(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE


def _shaped(value: Any, hint: Any) -> Any:
    """Paths come as text."""
    return Path(value) if plain(hint) is Path and isinstance(value, str) else value
