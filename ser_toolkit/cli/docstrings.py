"""Read the summary of a command from its source: `sertk --help` runs no code of plugins."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path


def docstring_of(target: str) -> str:
    """Return the first line of the docstring of `package.module:function`; empty: not found."""
    node = _function(target)
    return (ast.get_docstring(node) or "").partition("\n")[0] if node else ""


def is_hidden(target: str) -> bool:
    """Say whether the decorator of `package.module:function` has `hidden=True`."""
    node = _function(target)
    calls = [item for item in node.decorator_list if isinstance(item, ast.Call)] if node else []
    keywords = [keyword for call in calls for keyword in call.keywords if keyword.arg == "hidden"]
    return any(isinstance(word.value, ast.Constant) and word.value.value for word in keywords)


def _function(target: str) -> ast.FunctionDef | None:
    module, _, name = target.partition(":")
    for path in _sources(module):
        try:
            tree = ast.parse(path.read_text("utf-8"))
        except (OSError, ValueError, SyntaxError):
            continue
        for node in tree.body:
            if isinstance(node, ast.FunctionDef) and node.name == name:
                return node
    return None


def _sources(module: str) -> Iterator[Path]:
    """Yield where the source of a module may be, without importing any of its packages."""
    top, *rest = module.split(".")
    spec = PathFinder.find_spec(top)
    if spec is None:
        return
    if not rest and spec.origin:
        yield Path(spec.origin)
    for folder in spec.submodule_search_locations or ():
        yield Path(folder, *rest).with_suffix(".py")
        yield Path(folder, *rest, "__init__.py")
