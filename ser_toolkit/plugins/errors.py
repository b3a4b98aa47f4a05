"""Write the messages about plugins: what is broken, which is at fault, what no plugin offers."""

from __future__ import annotations

import difflib
import fnmatch
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from ..runtime.errors import SertkError
from .entry_points import (
    BUILTIN_DISTRIBUTION,
    Broken,
    Loaded,
    Origin,
    canonical_name,
    installed,
    origin,
)
from .hookspecs import COMMAND_GROUP

if TYPE_CHECKING:
    from .components import PluginComponent

FIX = "Fix, upgrade or uninstall it"
HOST = Path(__file__).parent.parent
NAME = re.compile(r"[A-Za-z][\w-]*")
OWN = (BUILTIN_DISTRIBUTION, "sertk-edge")
"""An error in these is a defect of the toolkit, and shows its traceback."""
REMOTE = re.compile(r'^ *File "(.+)", line (\d+)', re.MULTILINE)
"""A line of the traceback that joblib and concurrent.futures bring from another process."""


class DefectError(Exception):
    """A plugin violates the contract; the message says how."""


class NewerHookApiError(DefectError):
    """A plugin was written for a later version of this toolkit."""

    todo = f"pip install --upgrade {BUILTIN_DISTRIBUTION}"


def broken(plugin: Loaded, error: BaseException) -> Broken:
    """Return `plugin` as broken by `error`."""
    newer = isinstance(error, NewerHookApiError)
    name = BUILTIN_DISTRIBUTION if newer else plugin.distribution
    upgrade = f"pip install --upgrade {name}"
    source = (plugin.plugin, plugin.distribution, plugin.version)
    return Broken(*source, one_line(error), upgrade, error)


def one_line(error: BaseException) -> str:
    """Return type, message and place of an error, in one line."""
    if isinstance(error, DefectError):
        return error_text(error)
    places = [place for place in _frames(error) if not _is_host(place[0])]
    if isinstance(error, SyntaxError) and error.filename:
        places.append((Path(error.filename), error.lineno or 0))
    return error_text(error) + (_place(*places[-1]) if places else "")


def error_text(error: BaseException) -> str:
    """Return type and message of an error, in one line; of a DefectError the message alone."""
    message = " ".join((error.msg if isinstance(error, SyntaxError) else str(error)).split())
    if isinstance(error, DefectError):
        return message
    if isinstance(error, SystemExit):
        message = f"it called sys.exit({message})"
    return f"{type(error).__name__}: {message}" if message else type(error).__name__


def plugin_at_fault(error: BaseException) -> SertkError | None:
    """Return `error` in one line with the plugin in whose code it was raised last; None if none."""
    homes = dict(_homes())
    for file, line in reversed([*_frames(error), *_remote_frames(error)]):
        for home, source in homes.items():
            if file == home or home in file.parents:
                return SertkError(
                    f"{source.label} failed: {error_text(error)}{_place(file, line)}",
                    "SERTK_DEBUG=1 shows the traceback, which its author can use",
                )
    return None


def _place(file: Path, line: int) -> str:
    # Without the folders of this machine.
    return f" ({'/'.join(file.parts[-2:])}, line {line})"


def _frames(error: BaseException) -> list[tuple[Path, int]]:
    frames = traceback.extract_tb(error.__traceback__)
    return [(Path(frame.filename), frame.lineno or 0) for frame in frames]


def _remote_frames(error: BaseException) -> list[tuple[Path, int]]:
    """Return file and line of every call in a worker process, which sends them as text."""
    if type(error.__cause__).__name__ != "_RemoteTraceback":
        return []
    return [(Path(file), int(line)) for file, line in REMOTE.findall(str(error.__cause__))]


def _is_host(file: Path) -> bool:
    return file.is_relative_to(HOST) or "importlib" in file.parts or str(file).startswith("<")


def _homes() -> Iterator[tuple[Path, Origin]]:
    """Yield the file or the folder of each plugin that was imported."""
    for point in installed():
        source = origin(point)
        module = sys.modules.get(point.value.partition(":")[0].partition(".")[0])
        file = getattr(module, "__file__", None)
        if file is not None and canonical_name(source.distribution) not in OWN:
            path = Path(file)
            yield (path.parent if path.name == "__init__.py" else path), source


def refuse_broken(name: str, plugins: Iterable[Broken]) -> None:
    """Raise SertkError if one of these plugins is called `name`."""
    for plugin in plugins:
        if plugin.is_called(name):
            raise SertkError(str(plugin), FIX) from plugin.cause


def refuse_renamed(kind: str, name: str, renamings: Iterable[Mapping[str, str]]) -> None:
    """Raise SertkError for a name that a plugin no longer offers, with what to write now.

    Args:
        kind: What was looked for: "augmenter", "extractor", …
        name: What the user typed.
        renamings: `SERTK_RENAMED` of each plugin: pattern of old names to what to do.
    """
    for renaming in renamings:
        for pattern, todo in renaming.items():
            if fnmatch.fnmatchcase(name, pattern):
                raise SertkError(f"there is no {kind} '{name}' any more", todo)


def refuse_unknown(
    kind: str, name: str, known: Iterable[str], suspects: Iterable[Broken]
) -> NoReturn:
    """Raise SertkError: no plugin offers `name`, but a broken or missing one might.

    Args:
        kind: What was looked for: "plugin", "extractor", …
        name: What the user typed.
        known: The names that exist.
        suspects: Broken plugins.
    """
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, 3)
    listed = near + [other for other in names if other not in near]
    todo = f"Known: {', '.join(listed) or 'none'}"
    distribution = f"sertk-{canonical_name(name)}"
    if not near and NAME.fullmatch(name) and not _is_installed(distribution):
        # A guess: distributions of plugins are called so by convention.
        todo += f". Perhaps `pip install {distribution}` brings it"
    causes = ", ".join(f"'{plugin.plugin}' ({plugin.error})" for plugin in suspects)
    if causes:
        todo += f". It may be in a broken plugin: {causes}"
    raise SertkError(f"there is no {kind} '{name}'", todo)


def _is_installed(distribution: str) -> bool:
    return any(origin(point).is_called(distribution) for point in installed())


def refuse_clash(kind: str, found: list[PluginComponent]) -> NoReturn:
    """Raise SertkError: several plugins offer one name."""
    origins = [component.plugin.distribution for component in found]
    if len(set(origins)) == 1:
        origins = [component.plugin.plugin for component in found]
    choices = " or ".join(f"{origin}:{found[0].name}" for origin in origins)
    raise SertkError(
        f"{kind} '{found[0].name}' is offered by {' and '.join(origins)}", f"Type {choices}"
    )


def refuse_command(name: str) -> None:
    """Raise SertkError if `name` is a command, or a distribution of commands."""
    for point in installed(COMMAND_GROUP):
        if point.name == name or origin(point).is_called(name):
            raise SertkError(
                f"'{name}' offers a command and nothing to train with",
                f"Run `sertk {point.name}`",
            )


def refuse_useless(plugin: Loaded, components: Iterable[PluginComponent]) -> NoReturn:
    """Raise SertkError: the plugin has no component for training."""
    sinks = [component.name for component in components if component.kind == "sink"]
    if not sinks:
        refuse_command(plugin.distribution)
        raise SertkError(
            f"plugin '{plugin.plugin}' offers nothing", "Ask its author what it is for"
        )
    raise SertkError(
        f"plugin '{plugin.plugin}' offers only sinks ({', '.join(sinks)}), which carry the "
        "events of a device and cannot be trained with",
        "Train with another plugin",
    )
