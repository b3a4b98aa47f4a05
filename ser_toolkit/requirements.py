"""What the metadata of a distribution asks of another one, read before any of its code runs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from packaging.requirements import Requirement
    from packaging.specifiers import Specifier


@dataclass(frozen=True)
class Unmet:
    """A requirement that the installed version does not meet, and whether a newer one might."""

    text: str
    newer: bool


def unmet(lines: Iterable[str], distribution: str, version: str) -> Unmet | None:
    """The first of some `Requires-Dist` lines that `version` of `distribution` does not meet.

    Lines for an extra or another system do not count, nor do lines that cannot be read. Before a
    release its development versions stand for it.
    """
    wanted = normalised(distribution)
    for line in lines:
        name = re.match(r"\s*([\w.-]+)", line)
        if name and normalised(name[1]) == wanted and (found := _judged(line, version)):
            return found
    return None


def normalised(distribution: str) -> str:
    """A distribution's name as package indexes compare it."""
    return re.sub(r"[-_.]+", "-", distribution).lower()


def _judged(line: str, version: str) -> Unmet | None:
    # Costs some 15 ms, and only those who have plugins of others.
    from packaging.requirements import Requirement

    # Every error of `packaging` is one: a damaged line, a marker or a version of no known form.
    try:
        requirement = Requirement(line)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            return None
        return _compared(requirement, version)
    except ValueError:
        return None


def _compared(requirement: Requirement, version: str) -> Unmet | None:
    from packaging.version import Version

    versions = {version, Version(version).base_version}
    broken = [
        spec
        for spec in requirement.specifier
        if not any(spec.contains(one, prereleases=True) for one in versions)
    ]
    if not broken:
        return None
    text = f"{requirement.name}{requirement.specifier}"
    return Unmet(text, any(_asks_for_newer(spec, version) for spec in broken))


def _asks_for_newer(spec: Specifier, version: str) -> bool:
    from packaging.version import Version

    if spec.operator in (">", ">="):
        return True
    exact = spec.operator in ("==", "===", "~=")
    return exact and Version(spec.version.removesuffix(".*")) > Version(version)
