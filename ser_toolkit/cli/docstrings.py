"""Read what a command does from its source: nothing of a plugin runs for `sertk --help`."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path


def docstring_of(target: str) -> str:
    """Return the first line of the docstring of `package.module:function`; empty: not found."""
    module, _, name = target.partition(":")
    for path in _sources(module):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (OSError, ValueError, SyntaxError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return (ast.get_docstring(node) or "").partition("\n")[0]
    return ""


def _sources(module: str) -> Iterator[Path]:
    """Yield where the source of a module may lie, without importing any of its packages."""
    top, *rest = module.split(".")
    spec = PathFinder.find_spec(top)
    if spec is None:
        return
    if not rest and spec.origin:
        yield Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        yield Path(folder, *rest).with_suffix(".py")
        yield Path(folder, *rest, "__init__.py")
