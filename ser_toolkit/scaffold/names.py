"""Check the name and the folder of a new plugin."""

from __future__ import annotations

import importlib.util
import keyword
import re
from pathlib import Path

from ..plugins.entry_points import canonical_name, installed, origin
from ..plugins.hookspecs import COMMAND_GROUP, GROUP
from ..plugins.loader import KINDS
from ..plugins.registry import load_plugins
from ..runtime.errors import SertkError
from . import Project

NAME = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
LONGEST = 30
CHOOSE = "Choose another name"


def check_project(project: Project) -> None:
    """Raise SertkError for a name that cannot work here, or that is taken."""
    _check_spelling(project.name)
    if keyword.iskeyword(project.module):
        raise SertkError(f"'{project.name}' is a word of Python", CHOOSE)
    _check_free(project)
    _check_components(project)


def check_folder(folder: Path) -> None:
    """Raise SertkError where something would be overwritten, or is in the way."""
    for parent in folder.parents:
        if parent.exists() and not parent.is_dir():
            todo = "Choose another folder with --out"
            raise SertkError(f"'{parent}' is a file, nothing can be written below it", todo)
    if folder.is_symlink() or (folder.exists() and not folder.is_dir()):
        raise SertkError(f"'{folder}' is there already", "Choose another folder with --out")
    if folder.is_dir() and any(folder.iterdir()):
        raise SertkError(
            f"the folder '{folder}' is not empty", "Choose another with --out, or move it away"
        )


def _check_spelling(name: str) -> None:
    if name.startswith("sertk-"):
        raise SertkError(
            f"a name without 'sertk-' expected, which is put before it, received '{name}'",
            f"Try {name.removeprefix('sertk-') or 'another'}",
        )
    if NAME.fullmatch(name) and len(name) <= LONGEST:
        return
    better = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:LONGEST].strip("-")
    raise SertkError(
        f"a name of up to {LONGEST} small letters, digits and dashes expected, a letter first, "
        f"received '{name}'",
        f"Try {better}" if NAME.fullmatch(better) else "Such as: loud, my-lab",
    )


def _check_free(project: Project) -> None:
    if project.name == "edge":
        raise SertkError(f"'{project.distribution}' is a package of the toolkit itself", CHOOSE)
    for group, what in ((GROUP, "plugin"), (COMMAND_GROUP, "command")):
        for point in installed(group):
            source = origin(point)
            if point.name == project.name or _same(source.distribution, project.distribution):
                raise SertkError(
                    f"there is a {what} '{point.name}' already, of {source.distribution}", CHOOSE
                )
    found = importlib.util.find_spec(project.package)
    if found is not None:
        raise SertkError(f"Python finds a '{project.package}' already", CHOOSE)


def _same(first: str, second: str) -> bool:
    return canonical_name(first) == canonical_name(second)


def _check_components(project: Project) -> None:
    plugins = load_plugins(warn=lambda line: None)
    for kind in KINDS:
        for offer in plugins.components(kind) if kind in project.kinds else ():
            if offer.name == project.name:
                what = f"{_article(kind)} '{offer.name}'"
                raise SertkError(f"there is {what} already, of {offer.plugin.distribution}", CHOOSE)


def _article(kind: str) -> str:
    return f"{'an' if kind[0] in 'ae' else 'a'} {kind}"
