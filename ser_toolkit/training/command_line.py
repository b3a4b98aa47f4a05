"""Write options as the command line that has them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..contracts.recipe import Recipe, parse_value
from ..plugins.settings import SettingsInput, settings_of
from .options import TrainOptions

FLAGS: Mapping[str, str] = {"mapping": "map", "settings": "set"}
"""Options that have another name on the command line."""


def command_line(command: str, options: TrainOptions, own: Mapping[str, Any], folder: Path) -> str:
    """Return the command that does what these options do.

    Args:
        command: `train` or `crossval`.
        options: From the command line or from Python.
        own: Further options of that command.
        folder: The run directory, whose recipe.toml stands for what cannot be typed.
    """
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    values |= {"data": options.paths, "settings": setting_lines(options.settings)}
    recipe = options.recipe_or_name
    if isinstance(recipe, Recipe) or values["settings"] is None:
        recipe = str(folder / "recipe.toml")
        values |= {"plugin": None, "settings": (), "epochs": None}
    is_file = recipe is not None and recipe.endswith(".toml")
    values |= {"recipe": None if is_file else recipe, "resume": False}
    defaults = {"fold": 1, **{field.name: field.default for field in fields(options)}}
    changed = {
        name: value
        for name, value in {**values, **own}.items()
        if name == "protocol" or (value and value != defaults.get(name, MISSING))
    }
    words = (word for name, value in changed.items() for word in _words(name, value))
    return shlex.join(["sertk", command, *([str(recipe)] if is_file else []), *words])


def _words(name: str, value: Any) -> Iterator[str]:
    flag = f"--{FLAGS.get(name, name).replace('_', '-')}"
    if value is True:
        yield flag
    elif name == "emotions":
        yield from (flag, ",".join(value))
    elif isinstance(value, Mapping):
        for old, new in value.items():
            yield from (flag, f"{old}={new}")
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from (flag, str(item))
    else:
        yield from (flag, str(value))


def setting_lines(settings: SettingsInput) -> list[str] | None:
    """Return settings as `--set` takes them; None where one cannot be typed, such as an instance"""
    lines = [_line(value) for value in settings_of(settings).values]
    return None if None in lines else [line for line in lines if line is not None]


def _line(setting: tuple[str, Any] | str) -> str | None:
    if isinstance(setting, str):
        return setting
    key, value = setting
    # A whole stage and a file are read as they stand, other text as TOML where it is TOML.
    if isinstance(value, str) and ("." not in key or value.startswith("@")):
        return f"{key}={value}"
    if isinstance(value, str) and parse_value(value) == value == value.strip():
        return f"{key}={value}"
    try:
        text = json.dumps(value)
    except (TypeError, ValueError):
        return None
    return f"{key}={text}" if parse_value(text) == value else None
