"""Writes the package of a new plugin, from the templates beside this module."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from string import Template

from .. import __version__
from ..plugins.hookspecs import HOOK_API
from ..plugins.loader import KINDS as COMPONENTS

KINDS = (*COMPONENTS, "command")
MARK = "#:"


@dataclass(frozen=True)
class Project:
    """What is to be written: the name that users type, and what it offers."""

    name: str
    kinds: tuple[str, ...]

    @property
    def distribution(self) -> str:
        """Return what pip calls it."""
        return f"sertk-{self.name}"

    @property
    def module(self) -> str:
        """Return the name with nothing in it that Python cannot take."""
        return self.name.replace("-", "_")

    @property
    def package(self) -> str:
        """Return what Python imports."""
        return f"sertk_{self.module}"

    def texts(self) -> dict[str, str]:
        """Return every file of the package: its path, with '/', and what is in it."""
        return {path: self._text(template) for path, template in self._templates().items()}

    def _templates(self) -> dict[str, str]:
        package = self.package
        shared = {
            ".github/workflows/test.yml": "workflow.yml",
            ".gitignore": "gitignore",
            "LICENSE": "LICENSE",
            "README.md": "README.md",
            "pyproject.toml": "pyproject.toml",
            f"{package}/__init__.py": "init.py",
            f"{package}/py.typed": "py.typed",
            f"tests/test_{self.module}.py": "test.py",
        }
        modules = {f"{package}/{kind}.py": f"{kind}.py" for kind in self.kinds}
        table = {f"{package}/recipe.toml": "recipe.toml"} if "recipe" in self.kinds else {}
        return {**shared, **modules, **table}

    def _text(self, template: str) -> str:
        # `.txt`, because nothing of it is Python, TOML or YAML before it is filled in.
        text = (files(__name__) / "template" / f"{template}.txt").read_text("utf-8")
        return Template(_chosen(text, self.kinds)).substitute(self._words())

    def _words(self) -> Mapping[str, str]:
        return {
            "name": self.name,
            "distribution": self.distribution,
            "module": self.module,
            "package": self.package,
            "class_": "".join(part.capitalize() for part in self.name.split("-")),
            "description": f"{_joined(self.kinds).capitalize()} for SER Toolkit",
            "range": _range(__version__),
            "hook_api": str(HOOK_API),
        }


def write(project: Project, folder: Path) -> None:
    """Write all files of a project; a new folder is there only when it is complete."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sertk-new-", dir=folder.parent) as name:
        made = Path(name, "made")
        for path, text in project.texts().items():
            (made / path).parent.mkdir(parents=True, exist_ok=True)
            (made / path).write_text(text, "utf-8")
        if folder.is_dir():
            # Somebody may stand in it: it must stay the same folder.
            for item in made.iterdir():
                item.rename(folder / item.name)
        else:
            made.rename(folder)


def _chosen(text: str, kinds: Collection[str]) -> str:
    """Return the lines for these kinds. A line such as `#: sink` says for which those after it are.

    `#: reader sink` is for any of the two, `#: reader & sink` for both, `#: !sink` for all but
    sinks, `#: component` for all but commands, `#: end` for everything.
    """
    words = {*kinds, "end"} | ({"component"} if set(kinds) & set(COMPONENTS) else set())
    kept, wanted = [], True
    for line in text.splitlines(keepends=True):
        if line.startswith(MARK):
            groups = line.removeprefix(MARK).split("&")
            wanted = all(any(_holds(word, words) for word in group.split()) for group in groups)
        elif wanted:
            kept.append(line)
    return "".join(kept)


def _holds(word: str, words: Collection[str]) -> bool:
    return (word.removeprefix("!") in words) != word.startswith("!")


def _range(version: str) -> str:
    """Return the versions of the toolkit whose seam is that of this one."""
    major, minor = map(int, version.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def _joined(kinds: Collection[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} and {last}" if most else last
