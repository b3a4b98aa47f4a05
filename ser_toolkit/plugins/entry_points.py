"""Read which plugins are installed from metadata, without importing any of their code."""

from __future__ import annotations

import re
from dataclasses import dataclass
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

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
    """List the entry points of a group in every installed distribution, in a stable order."""
    try:
        points = list(entry_points(group=group))
    except Exception:
        # One damaged file, as a power cut leaves it, fails the query for all distributions.
        found = [point for dist in distributions() for point in _entry_points(dist) or ()]
        points = [point for point in found if point.group == group]
    return sorted(points, key=lambda point: origin(point).key)


def origin(point: EntryPoint) -> Origin:
    """Return the plugin and the distribution that an entry point belongs to."""
    try:
        name, version = point.dist.metadata["Name"], point.dist.version  # type: ignore[union-attr]
    except Exception:
        name, version = "unknown", "0"
    return Origin(point.name, str(name), str(version))


def damaged() -> list[str]:
    """List the distributions whose entry points cannot be read."""
    unread = [dist for dist in distributions() if _entry_points(dist) is None]
    return [str(dist.metadata["Name"]) for dist in unread]


def canonical_name(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _entry_points(dist: Distribution) -> list[EntryPoint] | None:
    try:
        return list(dist.entry_points)
    except Exception:
        return None
