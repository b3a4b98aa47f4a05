"""What a run was started with, in its run.toml: enough to repeat it, and to go on with it."""

from __future__ import annotations

import os
import platform
import shlex
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError
from pathlib import Path
from typing import Any, Literal

from ..contracts.components import Utterance
from ..contracts.recipe import Recipe
from ..data.sources import named_path
from ..plugins.assemble import COMPONENT_STAGES
from ..plugins.entry_points import BUILTIN_DISTRIBUTION, installed_version
from ..plugins.registry import Plugins
from ..runtime.errors import SertkError
from ..runtime.validate import check_fields
from ..utils.files import write_text
from .command_line import command_line, setting_lines
from .options import TrainOptions
from .run_dir import RunDirectory

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

NAME = "run.toml"
FORMAT = 1
LIBRARIES = ("numpy", "scipy", "soxr", "soundfile", "librosa", "tensorflow", "keras")
OF_A_CALL = ("out", "resume")
"""Options that say how a run is called, and not what it is."""
IN_RECIPE = ("plugin", "settings", "epochs")
"""Options that recipe.toml beside the file has taken in."""

Kind = Literal["train", "crossval"]
Rows = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class RunFile:
    """The run.toml of a run.

    Attributes:
        folder: The run directory.
        kind: The function that was called.
        options: Its arguments; relative paths of data are those from the run directory.
        versions: Of Python, libraries and distributions.
        components: Of the recipe, and the readers, each with its distribution.
    """

    folder: Path
    kind: Kind
    options: Mapping[str, Any]
    versions: Mapping[str, str]
    components: Rows

    @property
    def name(self) -> str:
        """Return the name of the folder, without those above it: log.txt has it."""
        return self.folder.absolute().name

    def arguments(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that repeat the run, where `given` leaves them as they were."""
        kept = {key: value for key, value in self.options.items() if key not in IN_RECIPE}
        kept["recipe"] = str(self.folder / "recipe.toml")
        if "data" not in given:
            kept["data"] = [_located(where, self.folder) for where in kept["data"]]
        return {**kept, **given}

    def changes(self, components: Rows) -> list[str]:
        """Return what has another version here than in the run, "numpy 1.26.4 (now 2.1.0)".

        Args:
            components: Those of now, as `components_of` gives them.
        """
        before = {**self.versions, **_by_name(self.components)}
        now = {**versions(), **_by_name(components)}
        return [
            f"{name} {version} (now {now[name]})"
            for name, version in before.items()
            if now.get(name, version) != version
        ]

    def other_clips(self, utterances: Iterable[Utterance]) -> int:
        """Return how many clips differ between the run and these: new, missing, labelled anew."""
        plans = (self.folder / "split.json", self.folder / "fold-01" / "split.json")
        plan = next((path for path in plans if path.is_file()), None)
        if plan is None:
            return 0
        rows = RunDirectory(plan.parent).json(plan.name)["clips"]
        before = {(row["hash"], row["emotion"]) for row in rows}
        return len({clip for clip, _ in before ^ {(u.hash, u.emotion) for u in utterances}})


def is_run_file(path: object) -> bool:
    """Say whether this is the path of a run.toml, and not of a recipe."""
    if not isinstance(path, (str, Path)) or Path(path).suffix != ".toml":
        return False
    try:
        return {"format", "run"} <= set(tomllib.loads(Path(path).read_text("utf-8-sig")))
    except (OSError, ValueError):
        return False


def read_run_file(path: Path, kind: Kind | None = None) -> RunFile:
    """Read a run.toml, or that of a run directory.

    Args:
        path: The file or the folder.
        kind: The function that it must be of; None takes either.

    Raises:
        SertkError: Where there is none, or it cannot be used here.
    """
    file = path / NAME if path.is_dir() else path
    if not file.is_file():
        raise _missing(path)
    try:
        table = tomllib.loads(file.read_text("utf-8-sig"))
        found = _parsed(table, file.parent)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise SertkError(
            f"'{file}' is damaged ({error})", "Type the command of the run in full"
        ) from error
    if kind is not None and found.kind != kind:
        raise SertkError(
            f"'{file}' is that of `sertk {found.kind}`",
            f"Type sertk {found.kind} {shlex.quote(str(file))}",
        )
    return found


def _missing(path: Path) -> SertkError:
    if not path.exists():
        return SertkError(f"there is no run directory '{path}'", "Check the path")
    if (path.absolute().parent / NAME).is_file():
        return SertkError(
            f"'{path}' is a fold of a cross-validation, which is resumed as a whole",
            f"Give '{path.parent}'",
        )
    return SertkError(
        f"'{path}' has no {NAME}: it is no run, or one that an earlier version has started",
        "Type its command again, with --out and --resume",
    )


def _parsed(table: Mapping[str, Any], folder: Path) -> RunFile:
    if table["format"] != FORMAT:
        raise SertkError(
            f"{NAME} expects format {FORMAT} here, received {table['format']}",
            f"Run `pip install --upgrade {BUILTIN_DISTRIBUTION}`",
        )
    if table["run"] not in ("train", "crossval"):
        raise ValueError(f"run = {table['run']!r}")
    options = dict(table["options"])
    own = {name: options.pop(name) for name in ("fold", "quantize") if name in options}
    checked = check_fields(TrainOptions, options, "options")
    return RunFile(folder, table["run"], {**checked, **own}, table["versions"], table["components"])


def write_run_file(
    folder: Path,
    kind: Kind,
    options: TrainOptions,
    own: Mapping[str, Any],
    corpora: Sequence[str],
    components: Rows,
) -> None:
    """Write run.toml at the start of a run; one that is there stays.

    Args:
        folder: The run directory.
        kind: The function that was called.
        options: Its options.
        own: Further arguments of that function.
        corpora: Names of the corpora that were read.
        components: As `components_of` gives them.
    """
    import tomli_w

    if (folder / NAME).exists():
        return
    chosen = {key: value for key, value in own.items() if value is not None}
    content = {
        "format": FORMAT,
        "run": kind,
        "command": command_line(kind, options, chosen, folder),
        "corpora": list(corpora),
        "options": {**_stored(options, folder), **chosen},
        "versions": versions(),
        "components": list(components),
    }
    write_text(folder / NAME, tomli_w.dumps(content))


def _stored(options: TrainOptions, folder: Path) -> dict[str, Any]:
    """Return the options as TOML takes them: no None, paths from the folder of the run."""
    values = {field.name: getattr(options, field.name) for field in fields(options)}
    values["data"] = [_from_folder(where, folder) for where in options.paths]
    values["settings"] = setting_lines(options.settings)
    recipe = options.recipe_or_name
    values["recipe"] = None if isinstance(recipe, Recipe) else recipe
    plain = {key: _plain(value) for key, value in values.items() if key not in OF_A_CALL}
    return {key: value for key, value in plain.items() if value is not None}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, (tuple, list)) else value


def _from_folder(where: str, folder: Path) -> str:
    """Return data as run.toml has them: a relative path begins with a dot, a name does not."""
    prefix, path = _apart(where)
    if Path(path).is_absolute() or not Path(path).exists():
        return where
    relative = os.path.relpath(Path(path).absolute(), folder.absolute())
    dot = "" if relative.startswith(os.pardir) else f"{os.curdir}{os.sep}"
    return f"{prefix}{dot}{relative}"


def _located(where: str, folder: Path) -> str:
    """Return data of run.toml as they are reached from here; refuse what is not there any more."""
    prefix, path = _apart(where)
    is_path = path.startswith(os.curdir) or Path(path).is_absolute()
    reached = os.path.normpath(folder / path) if is_path else path
    if is_path and not Path(reached).exists():
        raise SertkError(
            f"the data of the run are not at '{reached}' any more",
            "Add --data with the place where they are now",
        )
    return f"{prefix}{reached}"


def _apart(where: str) -> tuple[str, str]:
    """Return `NAME=`, '' where there is none, and the path as it is written: a dot may begin it."""
    name, _ = named_path(where)
    return ("", where) if name is None else (f"{name}=", where.partition("=")[2].strip())


def versions() -> dict[str, str]:
    """Return the versions of this toolkit, Python, and the libraries that decide numbers."""
    from .. import __version__

    found = {BUILTIN_DISTRIBUTION: __version__, "python": platform.python_version()}
    for library in LIBRARIES:
        try:
            found[library] = installed_version(library)
        except PackageNotFoundError:
            continue
    return found


def components_of(
    recipe: Recipe, readers: Iterable[str], plugins: Plugins
) -> tuple[dict[str, Any], ...]:
    """Return name, version and distribution of each component of a recipe, and of each reader.

    Args:
        recipe: With every parameter and version written out.
        readers: Names of the readers, one for each of the data.
        plugins: Where they come from.
    """
    named = [("reader", name) for name in readers]
    for kind in COMPONENT_STAGES:
        specs = [recipe.model] if kind == "model" else getattr(recipe, kind)
        for spec in specs:
            named += [(kind, spec.name), *((kind, name) for name in _inner(spec.params))]
    rows = (_component(kind, name, plugins) for kind, name in dict.fromkeys(named))
    return tuple(row for row in rows if row)


def _inner(params: Mapping[str, Any]) -> Iterator[str]:
    """Yield the names of components within a component."""
    for value in params.values():
        for item in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(item, Mapping) and {"name", "version"} <= set(item):
                yield str(item["name"])
                yield from _inner(item)


def _component(kind: str, name: str, plugins: Plugins) -> dict[str, Any]:
    prefix, _, plain = name.rpartition(":")
    for item in plugins.components(kind):
        if item.name == plain and (not prefix or item.plugin.is_called(prefix)):
            return {
                "kind": kind,
                "name": name,
                "version": item.component.version,
                "distribution": item.plugin.distribution,
                "distribution_version": item.plugin.version,
            }
    return {}


def _by_name(components: Rows) -> dict[str, str]:
    return {
        f"{row['kind']} '{row['name']}'": f"version {row['version']} of {row['distribution']} "
        f"{row['distribution_version']}"
        for row in components
    }
