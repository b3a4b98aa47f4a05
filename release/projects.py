"""Read the distributions of this repository: their pyproject.toml, packages and modules."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

CORE = "ser-toolkit"


@dataclass(frozen=True)
class Project:
    """Hold one distribution: its folder, and the tables of its pyproject.toml."""

    root: Path
    folder: Path
    table: Mapping[str, Any]
    packages: tuple[str, ...]

    @property
    def name(self) -> str:
        """Return the name in the normal form of an index."""
        return canonicalize_name(self.table["name"])

    @property
    def version(self) -> str:
        """Return the version as it is written in pyproject.toml."""
        return str(self.table["version"])

    @property
    def where(self) -> str:
        """Return its pyproject.toml, for messages."""
        return (self.folder / "pyproject.toml").relative_to(self.root).as_posix()

    def requirements(self) -> Iterator[Requirement]:
        """Yield its requirements, and those of its extras."""
        extras = self.table.get("optional-dependencies", {}).values()
        for lines in (self.table.get("dependencies", []), *extras):
            yield from map(Requirement, lines)

    def entry_points(self) -> Iterator[tuple[str, str, str]]:
        """Yield group, name and value of each entry point, scripts included."""
        groups = {"scripts": self.table.get("scripts", {}), **self.table.get("entry-points", {})}
        for group, points in groups.items():
            for name, value in points.items():
                yield group, name, value

    def files(self) -> Iterator[Path]:
        """Yield every file of its packages, relative to its folder, without Python's caches."""
        for package in self.packages:
            for path in sorted((self.folder / package).rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts:
                    yield path.relative_to(self.folder)

    def source(self, module: str) -> Path | None:
        """Return the file of one of its own modules."""
        stem = self.folder.joinpath(*module.split("."))
        if module.split(".")[0] not in self.packages:
            return None
        places = (stem / "__init__.py", stem.with_suffix(".py"))
        return next((place for place in places if place.is_file()), None)


def find_projects(root: Path) -> list[Project]:
    """Return the distributions: the core first, then the daemon and the plugins."""
    files = [root / "pyproject.toml", root / "edge/pyproject.toml"]
    files += sorted(root.glob("plugins/*/pyproject.toml"))
    return [_read(root, file) for file in files]


def _read(root: Path, file: Path) -> Project:
    text = tomllib.loads(file.read_text("utf-8"))
    packages = text["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    return Project(root, file.parent, text["project"], tuple(packages))


def top_names(path: Path) -> dict[str, Any]:
    """Return the top-level names of a module, with their value where it is a constant."""
    names: dict[str, Any] = {}
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names[node.name] = None
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names.update(dict.fromkeys(alias.asname or alias.name for alias in node.names))
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            value = node.value.value if isinstance(node.value, ast.Constant) else None
            names.update({node.id: value for node in targets if isinstance(node, ast.Name)})
    return names
