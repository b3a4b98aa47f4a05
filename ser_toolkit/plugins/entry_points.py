"""Read which plugins are installed from metadata, without importing any of their code."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import (
    Distribution,
    EntryPoint,
    PackageNotFoundError,
    distributions,
    version,
)
from pathlib import Path

from .hookspecs import GROUP

BUILTIN_DISTRIBUTION = "ser-toolkit"
SLOW_S = 1.0
SLOW_TODO = (
    "Its author can import heavy libraries where they are used; "
    "SERTK_PLUGINS=A,B loads only plugins A and B"
)


@dataclass(frozen=True)
class Origin:
    """Name a plugin: what users type, and the distribution that brings it."""

    plugin: str
    distribution: str
    version: str

    @property
    def key(self) -> str:
        """Return `distribution:plugin`, which is unique."""
        return f"{self.distribution}:{self.plugin}"

    @property
    def label(self) -> str:
        """Return its name as messages show it."""
        return f"plugin '{self.plugin}' ({self.distribution} {self.version})"

    @property
    def is_builtin(self) -> bool:
        """Say whether it comes with this distribution."""
        return canonical_name(self.distribution) == BUILTIN_DISTRIBUTION

    def is_called(self, name: str) -> bool:
        """Say whether `name` is this plugin's name, its key, or its distribution's name."""
        if name in (self.plugin, self.key):
            return True
        return canonical_name(name) == canonical_name(self.distribution)


@dataclass(frozen=True)
class Loaded(Origin):
    """A plugin that was imported and registered; `output` is what it printed meanwhile."""

    import_s: float = 0.0
    output: str = ""


def installed(group: str = GROUP) -> list[EntryPoint]:
    """List the entry points of a group in every installed distribution, in a stable order.

    Of a distribution that is there twice, those of the first on the path, which is imported.
    """
    first: dict[str, Distribution] = {}
    points: list[EntryPoint] = []
    for dist in _distributions():
        found = [point for point in _entry_points(dist) or () if point.group == group]
        if found and first.setdefault(canonical_name(origin(found[0]).distribution), dist) is dist:
            points += found
    return sorted(points, key=lambda point: origin(point).key)


def origin(point: EntryPoint) -> Origin:
    """Return the plugin and the distribution that an entry point belongs to."""
    return Origin(point.name, *_name_and_version(point.dist))


def damaged() -> list[str]:
    """List the distributions whose entry points cannot be read."""
    unread = [dist for dist in _distributions() if _entry_points(dist) is None]
    return [_name_and_version(dist)[0] for dist in unread]


def installed_version(distribution: str) -> str:
    """Return a version. Raises PackageNotFoundError where it is missing or its metadata cut off."""
    found: str | None = version(distribution)
    if not found:
        raise PackageNotFoundError(distribution)
    return found


def leftovers() -> dict[Path, list[str]]:
    """Return what an interrupted pip left in each folder of packages: names that begin with ~."""
    folders = {path.parent for dist in distributions() if _is_leftover(path := _path(dist))}
    return {folder: sorted(path.name for path in folder.glob("~*")) for folder in sorted(folders)}


def canonical_name(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _distributions() -> Iterator[Distribution]:
    """Yield the installed distributions, but not those that pip was about to remove."""
    return (dist for dist in distributions() if not _is_leftover(_path(dist)))


def _name_and_version(dist: Distribution | None) -> tuple[str, str]:
    """Return what the metadata say; where pip left none, what their folder is called."""
    name, _, number = _path(dist).stem.partition("-")
    with contextlib.suppress(Exception):
        if dist is not None:
            name, number = dist.metadata["Name"] or name, dist.version or number
    return name or "unknown", number or "0"


def _path(dist: Distribution | None) -> Path:
    """Return the folder of the metadata of a distribution, which has no public name."""
    return Path(getattr(dist, "_path", ""))


def _is_leftover(path: Path) -> bool:
    return path.name.startswith("~")


def _entry_points(dist: Distribution) -> list[EntryPoint] | None:
    try:
        return list(dist.entry_points)
    except Exception:
        return None
