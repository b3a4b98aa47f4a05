"""Refuse imports of what is not public: plugins use the names that every author has."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

CORE = "ser_toolkit"
PUBLIC = {CORE, f"{CORE}.dsp"}


def allowed(path: Path) -> set[str]:
    """Return the modules of the toolkit that a file may import."""
    test = "tests" in path.parts or path.name == "conftest.py"
    return PUBLIC | {f"{CORE}.testing"} if test else PUBLIC


def imported(tree: ast.AST) -> Iterator[tuple[int, str, str]]:
    """Yield line, module and name of every import of the toolkit, in functions and blocks too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name, ""
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                yield node.lineno, node.module, alias.name


def problems(path: Path, public: set[str]) -> Iterator[str]:
    """Yield a line for each import that is not public."""
    may = allowed(path)
    for line, module, name in imported(ast.parse(path.read_text("utf-8"))):
        if module.partition(".")[0] != CORE:
            continue
        full = f"{module}.{name}"
        if module not in may:
            yield f"{path}:{line}: {module} is not public; {', '.join(sorted(may))} are"
        elif module == CORE and name and name not in public and full not in may:
            yield f"{path}:{line}: '{name}' is not in {CORE}.__all__"


def public_names(root: Path) -> set[str]:
    """Return `__all__` of the toolkit as it is written."""
    tree = ast.parse((root / CORE / "__init__.py").read_text("utf-8"))
    for node in tree.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(name, ast.Name) and name.id == "__all__" for name in targets):
            return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
    raise SystemExit(f"{CORE}/__init__.py has no __all__")


def main(root: Path = Path()) -> int:
    """Check every plugin, what `sertk plugins new` writes too; return how many lines fail."""
    files = sorted(root.glob("plugins/**/*.py"))
    public = public_names(root)
    lines = [line for path in files for line in problems(path, public)]
    print("\n".join(lines) or f"{len(files)} files import public names alone")
    return len(lines)


if __name__ == "__main__":
    sys.exit(min(1, main()))
