"""Read which plugins are installed from metadata, without importing any of their code."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from importlib.metadata import Distribution, EntryPoint, distributions, entry_points

from .hookspecs import GROUP
from .sandbox import attempt

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

    @property
    def slowness(self) -> str:
        """Return how long its import took, if it was slow; else nothing."""
        slow = self.import_s >= SLOW_S
        return f"took {self.import_s:.1f} s to import" if slow else ""


@dataclass(frozen=True)
class Broken(Origin):
    """A plugin that cannot be used: the error in one line, and the pip line that may fix it."""

    error: str = ""
    upgrade: str = ""
    cause: BaseException | None = field(default=None, repr=False, compare=False)

    @property
    def todo(self) -> str:
        """Return the command that may fix it."""
        return f"Run `{self.upgrade}`, or `pip uninstall {self.distribution}`"

    def __str__(self) -> str:
        return f"{self.label} is broken: {self.error}"


def installed(group: str = GROUP) -> list[EntryPoint]:
    """List the entry points of a group in every installed distribution, in a stable order."""
    try:
        points = list(entry_points(group=group))
    except Exception:
        # One damaged file, as a power cut leaves it, fails the query for all distributions.
        points = [point for dist in distributions() for point in _entry_points(dist, group)]
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
    names = []
    for dist in distributions():
        if attempt(lambda dist=dist: dist.entry_points) is not None:  # type: ignore[misc]
            names.append(str(dist.metadata["Name"]))
    return names


def canonical_name(distribution: str) -> str:
    """Return a distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def is_builtin(distribution: str) -> bool:
    """Say whether a distribution is this one."""
    return canonical_name(distribution) == BUILTIN_DISTRIBUTION


def _entry_points(dist: Distribution, group: str) -> list[EntryPoint]:
    try:
        return [point for point in dist.entry_points if point.group == group]
    except Exception:
        return []
