"""The sinks that the settings name, found among the installed plugins."""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from typing import Any

from ser_toolkit import Plugins, SertkError, Sink, configure, load_plugins
from ser_toolkit.runtime.validate import type_name

from ..settings import expanded, usage
from ..settings_loader import Sinks, plain_type

OWN = "sertk-edge"
BUILTIN = ("console", "json_lines", "mqtt", "webhook")
TRUE, FALSE = ("1", "true", "yes", "on"), ("0", "false", "no", "off", "")


def sinks_or_default(wanted: Sinks) -> Sinks:
    """Return the sinks that were named; else standard output: lines for people on a terminal, or
    JSON.
    """
    return wanted or (("console" if sys.stdout.isatty() else "json_lines", {}),)


def sinks_of(wanted: Sinks, plugins: Plugins | None = None) -> dict[str, Sink]:
    """Return what `configured` gives, each one checked. Raises SertkError for what a check
    refuses.
    """
    found = configured(wanted, plugins)
    for sink in found.values():
        sink.check()
    return found


def configured(wanted: Sinks, plugins: Plugins | None = None) -> dict[str, Sink]:
    """Return each sink by a name of its own: that of the sink, with a number from the second on.

    Unless `plugins` are given, `plugins_of` loads them. Raises WrongUsageError for a sink that is
    not there or does not take a parameter.
    """
    found: dict[str, Sink] = {}
    plugins = plugins or plugins_of(wanted)
    for name, params in wanted:
        with usage():
            sink = _configured(plugins.get("sink", name), params)
        found[_own_name(sink.name, found)] = sink
    return found


def plugins_of(wanted: Sinks) -> Plugins:
    """Load the plugins of these sinks: all, unless each sink is ours or names its distribution."""
    homes = {name.rpartition(":")[0] if ":" in name else _home(name) for name, _ in wanted}
    return load_plugins(only=None if None in homes else {home for home in homes if home})


def _home(name: str) -> str | None:
    return OWN if name in BUILTIN else None


def _own_name(name: str, taken: Mapping[str, Sink]) -> str:
    same = sum(1 for other in taken if other.partition("#")[0] == name)
    return name if not same else f"{name}#{same + 1}"


def _configured(sink: Sink, params: Mapping[str, Any]) -> Sink:
    hints = typing.get_type_hints(type(sink))
    # On the command line everything is text.
    values = {
        key: _from_text(value, hints.get(key, str), f"{sink.name}.{key}")
        if isinstance(value, str)
        else value
        for key, value in params.items()
    }
    files = {key: str(expanded(value)) for key, value in values.items() if is_file(key, value)}
    made = configure(sink, {**values, **files})
    if not isinstance(made, Sink):
        raise SertkError(f"'{sink.name}' is no sink")
    return made


def is_file(key: str, value: Any) -> bool:
    """Say whether a parameter of a sink names a file."""
    named = key == "path" or key.endswith("_file")
    return named and isinstance(value, str) and value not in ("", "-")


def _from_text(text: str, hint: Any, where: str) -> Any:
    """Parse a parameter of the command line; what does not fit is refused by name."""
    kind = plain_type(hint)
    try:
        if kind is bool:
            return _boolean(text)
        if kind in (int, float):
            return kind(text)
    except ValueError:
        raise SertkError(f"'{where}' expects {type_name(kind)}, received {text!r}") from None
    if typing.get_origin(hint) is tuple:
        return tuple(part.strip() for part in text.split(",") if part.strip())
    return text


def _boolean(text: str) -> bool:
    if text.lower() not in TRUE + FALSE:
        raise ValueError(text)
    return text.lower() in TRUE
