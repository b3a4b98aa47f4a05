"""Write what pip is told here (files and environment) into one file for another root.

Prints the files and folders of this machine that the settings name.
"""

from __future__ import annotations

import ast
import configparser
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

# What says where pip keeps or installs things holds for this machine alone.
OURS = ("cache-dir", "constraint", "target", "prefix", "root", "user", "require-virtualenv")


def settings() -> Iterator[tuple[str, str, str]]:
    """Section, key and value, in the order in which later ones win."""
    listed = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], check=True, capture_output=True, text=True
    )
    for line in listed.stdout.splitlines():
        name, _, value = line.partition("=")
        section, _, key = name.replace(":env:", "env", 1).rpartition(".")
        if key not in OURS:
            yield section, key, ast.literal_eval(value)


def merged() -> Mapping[str, Mapping[str, str]]:
    """As sections of a file; the environment wins over files, as it does in pip."""
    sections: dict[str, dict[str, str]] = {"global": {}, "install": {}}
    found = sorted(settings(), key=lambda setting: setting[0] == "env")
    for section, key, value in found:
        for name in ("global", "install") if section == "env" else (section,):
            sections.setdefault(name, {})[key] = value
    return sections


def local_paths(sections: Mapping[str, Mapping[str, str]]) -> set[str]:
    """Existing files and folders among the values."""
    words = [
        word for keys in sections.values() for value in keys.values() for word in value.split()
    ]
    paths = {_whole_index(word) for word in words if word.startswith(("/", "file:///"))}
    return {str(path) for path in paths if path.exists()}


def _whole_index(word: str) -> Path:
    """The pages of an index on disk point at files in folders beside them."""
    path = Path(word.removeprefix("file://"))
    return path.parent if word.startswith("file:") and len(path.parts) > 2 else path


def main(target: str) -> None:
    """Write the settings to `target`; print one path per line."""
    sections = merged()
    parser = configparser.RawConfigParser()
    parser.read_dict(sections)
    with Path(target).open("w", encoding="utf-8") as file:
        parser.write(file)
    print("\n".join(sorted(local_paths(sections))))


if __name__ == "__main__":
    main(sys.argv[1])
