"""Write the messages about plugins: what is broken, which is at fault, what no plugin offers."""

from __future__ import annotations

import difflib
import fnmatch
import re
import sys
import traceback
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

from ..runtime.errors import SertkError
from .entry_points import BUILTIN_DISTRIBUTION, Origin, canonical_name, installed, origin
from .hookspecs import COMMAND_GROUP

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


@dataclass(frozen=True)
class Broken(Origin):
    """A plugin that cannot be used, and what it raised."""

    cause: BaseException = field(repr=False, compare=False)

    @property
    def error(self) -> str:
        """Return type, message and place of what it raised, in one line."""
        return one_line(self.cause)

    @property
    def todo(self) -> str:
        """Return the command that may fix it."""
        newer = isinstance(self.cause, NewerHookApiError)
        name = BUILTIN_DISTRIBUTION if newer else self.distribution
        return f"Run `pip install --upgrade {name}`, or `pip uninstall {self.distribution}`"

    def __str__(self) -> str:
        return f"{self.label} is broken: {self.error}"


def broken(plugin: Origin, error: BaseException) -> Broken:
    """Return `plugin` as broken by `error`."""
    return Broken(plugin.plugin, plugin.distribution, plugin.version, error)


def one_line(error: BaseException) -> str:
    """Return type, message and place of an error, in one line."""
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
    homes = list(_homes())
    for file, line in reversed([*_frames(error), *_remote_frames(error)]):
        for home, source in homes:
            if file.is_relative_to(home):
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
    kind: str, name: str, known: Iterable[str], suspects: Sequence[Broken]
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
    todo = f"Known: {', '.join(dict.fromkeys([*near, *names])) or 'none'}"
    distribution = f"sertk-{canonical_name(name)}"
    there = any(origin(point).is_called(distribution) for point in installed())
    if not there and not near and NAME.fullmatch(name):
        # A guess: distributions of plugins are called so by convention.
        todo += f". Perhaps `pip install {distribution}` brings it"
    if suspects:
        causes = ", ".join(f"'{plugin.plugin}' ({plugin.error})" for plugin in suspects)
        todo += f". It may be in a broken plugin: {causes}"
    raise SertkError(f"there is no {kind} '{name}'", todo)


def refuse_clash(kind: str, name: str, plugins: Sequence[Origin]) -> NoReturn:
    """Raise SertkError: several plugins offer one name.

    Args:
        kind: Of the components: "extractor", …
        name: What all of them are called.
        plugins: Those that offer it.
    """
    homes = [plugin.distribution for plugin in plugins]
    if len(set(homes)) == 1:
        homes = [plugin.plugin for plugin in plugins]
    choices = " or ".join(f"{home}:{name}" for home in homes)
    raise SertkError(f"{kind} '{name}' is offered by {' and '.join(homes)}", f"Type {choices}")


def refuse_command(name: str) -> None:
    """Raise SertkError if `name` is a command, or a distribution of commands."""
    for point in installed(COMMAND_GROUP):
        if origin(point).is_called(name):
            raise SertkError(
                f"'{name}' offers a command and nothing to train with",
                f"Run `sertk {point.name}`",
            )


def refuse_useless(plugin: Origin, sinks: Sequence[str]) -> NoReturn:
    """Raise SertkError: the plugin offers nothing to train with, but for the names of `sinks`."""
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
