"""Write the package of a new plugin, from the templates beside this module."""

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
    """Describe a plugin to write.

    Attributes:
        name: What users type.
        kinds: What it offers, of `KINDS`.
        hidden: Whether `sertk --help` leaves out its command.
    """

    name: str
    kinds: tuple[str, ...]
    hidden: bool = False

    @property
    def distribution(self) -> str:
        """Return its name for pip."""
        return f"sertk-{self.name}"

    @property
    def module(self) -> str:
        """Return the name as part of a Python identifier."""
        return self.name.replace("-", "_")

    @property
    def package(self) -> str:
        """Return the name of the package that Python imports."""
        return f"sertk_{self.module}"

    def texts(self) -> dict[str, str]:
        """Return every file of the package: its path, with '/', and its text."""
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
            "hidden": ", hidden=True" if self.hidden else "",
        }


def write(project: Project, folder: Path) -> None:
    """Write all files of a project; a new folder appears only when it is complete."""
    folder = folder.absolute()
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".sertk-new-", dir=folder.parent) as name:
        written = Path(name, "written")
        for path, text in project.texts().items():
            (written / path).parent.mkdir(parents=True, exist_ok=True)
            (written / path).write_text(text, "utf-8")
        if folder.is_dir():
            # It may be a shell's working folder: it must stay the same folder.
            for item in written.iterdir():
                item.rename(folder / item.name)
        else:
            written.rename(folder)


def _chosen(text: str, kinds: Collection[str]) -> str:
    """Return the lines for these kinds. A line such as `#: sink` limits those after it to a kind.

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
    """Return the versions of the toolkit that have the HOOK_API of this one."""
    major, minor = map(int, version.split(".")[:2])
    return f">={major}.{minor},<{major}.{minor + 1}"


def _joined(kinds: Collection[str]) -> str:
    *most, last = kinds
    return f"{', '.join(most)} and {last}" if most else last
