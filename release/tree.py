"""Check that the distributions fit each other: versions, ranges, HOOK_API, licence."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version
from projects import CORE, Project, top_names

OURS = ("ser-toolkit", "sertk-")
# As `sertk plugins new` writes it: with a version of its own.
INDEPENDENT = ("sertk-example",)
GUIDE = "plugins/README.md"
RANGE = rf"{CORE}(>=[\d.]+,<[\d.]+)"
HEADING = re.compile(r"^## \[(?P<version>[^\]]+)\]|^### HOOK_API (?P<api>\d+)", re.MULTILINE)


def faults_of_tree(projects: Sequence[Project]) -> Iterator[str]:
    """Yield one line per fault: which file, what is wrong, what to do."""
    core = projects[0]
    known = {project.name: project for project in projects}
    api = number(core)
    for project in projects:
        yield from _beside_the_core(project, core)
        for requirement in project.requirements():
            yield from _range(project, requirement, known)
        yield from _points(project)
        yield from _seam(project, api)
    yield from _guide(core)
    yield from _changelog(core, api)


def number(core: Project) -> int:
    """Return the HOOK_API of the core."""
    return int(top_names(core.folder / "ser_toolkit/plugins/hookspecs.py")["HOOK_API"])


def _beside_the_core(project: Project, core: Project) -> Iterator[str]:
    """Yield a fault where one differs from the core in version, Pythons, licence, type hints."""
    for key in ("version", "requires-python", "license"):
        ours, theirs = project.table.get(key), core.table.get(key)
        if ours != theirs and project.name not in INDEPENDENT:
            yield f"{project.where}: {key} is {ours}, of {core.name} {theirs}. Make them equal"
    licence = project.folder / "LICENSE"
    if not licence.is_file() or licence.read_bytes() != (core.folder / "LICENSE").read_bytes():
        where = licence.relative_to(core.root).as_posix()
        yield f"{where}: expected a copy of the licence. Run `cp LICENSE {where}`"
    for package in project.packages:
        if not (project.folder / package / "py.typed").is_file():
            yield f"{project.where}: {package} has no py.typed. Add an empty file of that name"


def _range(project: Project, needed: Requirement, known: dict[str, Project]) -> Iterator[str]:
    """Yield a fault for a range that excludes the version here, or admits another HOOK_API."""
    name = canonicalize_name(needed.name)
    if not name.startswith(OURS):
        return
    if name not in known:
        yield f"{project.where}: needs {needed}, which is not in this repository. Is it misspelt?"
        return
    here = known[name]
    if not needed.specifier.contains(here.version, prereleases=True):
        yield f"{project.where}: needs {needed}, and {name} is {here.version}. Move the range"
    for extra in needed.extras - here.table.get("optional-dependencies", {}).keys():
        yield f"{project.where}: needs {needed}, and {name} has no extra '{extra}'"
    major, minor = Version(here.version).release[:2]
    if name == CORE and needed.specifier.contains(f"{major}.{minor + 1}"):
        yield (
            f"{project.where}: needs {needed}, which admits {major}.{minor + 1}, where HOOK_API "
            f"may be another. Write {name}>={major}.{minor},<{major}.{minor + 1}"
        )


def _points(project: Project) -> Iterator[str]:
    for group, name, value in project.entry_points():
        module, _, attribute = value.partition(":")
        source = project.source(module)
        if source is None:
            yield f"{project.where}: {group} '{name}' points at {module}, which it does not pack"
        elif attribute and attribute not in top_names(source):
            yield f"{project.where}: {group} '{name}' points at {value}, and there is no such name"


def _seam(project: Project, api: int) -> Iterator[str]:
    """Yield a fault where a plugin declares another HOOK_API than the core has."""
    for group, name, module in project.entry_points():
        source = project.source(module) if group == "sertk" else None
        declared = top_names(source).get("SERTK_HOOK_API", api) if source else api
        if declared != api:
            yield (
                f"{project.where}: plugin '{name}' says SERTK_HOOK_API = {declared}, and "
                f"hookspecs.HOOK_API is {api}. Fix the plugin, or the number"
            )


def _guide(core: Project) -> Iterator[str]:
    """Yield a fault for a range in the authors' guide that does not admit this core."""
    for written in re.findall(RANGE, (core.folder / GUIDE).read_text("utf-8")):
        if not SpecifierSet(written).contains(core.version, prereleases=True):
            yield f"{GUIDE}: it says {CORE}{written}, and {CORE} is {core.version}. Move the range"


def _changelog(core: Project, api: int) -> Iterator[str]:
    """Yield a fault where the changelog lacks version or HOOK_API, or a new one in one series."""
    path = core.folder / "CHANGELOG.md"
    releases = _releases(path)
    named = [version for version, _ in releases if version]
    if named[:1] != [core.version]:
        newest = named[0] if named else "nothing"
        yield f"CHANGELOG.md: the newest version is {newest}, pyproject.toml has {core.version}"
    numbers = [
        (version or core.version, number) for version, number in releases if number is not None
    ]
    if [number for _, number in numbers[:1]] != [api]:
        newest = f"HOOK_API {numbers[0][1]}" if numbers else "none"
        yield f"CHANGELOG.md: the newest heading is {newest}, hookspecs.HOOK_API is {api}"
    for (newer, number), (older, before) in pairwise(numbers):
        if number != before and Version(newer).release[:2] == Version(older).release[:2]:
            yield (
                f"CHANGELOG.md: HOOK_API goes from {before} to {number} between {older} and "
                f"{newer}, which plugins take for compatible. "
                "Raise the second number of the version"
            )


def _releases(path: Path) -> list[tuple[str | None, int | None]]:
    """Return versions (None: unreleased) and HOOK_API numbers, newest first."""
    releases: list[tuple[str | None, int | None]] = []
    current: str | None = None
    for match in HEADING.finditer(path.read_text("utf-8")):
        if match["version"]:
            current = None if match["version"] == "Unreleased" else match["version"]
            releases.append((current, None))
        else:
            releases.append((current, int(match["api"])))
    return releases
