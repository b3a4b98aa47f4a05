"""Build wheels and source archives of the distributions, after a check that they fit.

build.py [--root DIR] [--out DIR] [--check] [NAME…]
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from built import faults_of_built
from projects import Project, find_projects
from tree import faults_of_tree

ROOT = Path(__file__).resolve().parent.parent


def main(arguments: Sequence[str] | None = None) -> None:
    """Check, build, check what was built; exit with 1 and a line per fault."""
    options = _parser().parse_args(arguments)
    root = options.root.resolve()
    try:
        projects = find_projects(root)
        _stop(faults_of_tree(projects))
    except (OSError, ValueError, KeyError, SyntaxError) as error:
        _stop([f"{root.name}: {type(error).__name__}: {error}"])
    if options.check:
        return
    unknown = set(options.names) - {project.name for project in projects}
    _stop(f"there is no distribution '{name}' here" for name in sorted(unknown))
    names = options.names or [project.name for project in projects]
    wanted = [project for project in projects if project.name in names]
    out = options.out.resolve()
    _build(wanted, out)
    _stop(faults_of_built(wanted, out))
    print(f"{len(wanted)} wheels and as many source archives in {options.out}")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--root", type=Path, default=ROOT, help="the repository")
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="where they go")
    parser.add_argument("--check", action="store_true", help="build nothing")
    parser.add_argument("names", nargs="*", help="distributions; default: all")
    return parser


def _build(projects: Sequence[Project], out: Path) -> None:
    """Build each wheel from its source archive, which therefore is complete."""
    out.mkdir(parents=True, exist_ok=True)
    for old in (*out.glob("*.whl"), *out.glob("*.tar.gz")):
        old.unlink()
    for project in projects:
        _hatchling(project, project.folder, "sdist", out)
        (archive,) = out.glob(f"{project.name.replace('-', '_')}-*.tar.gz")
        with tempfile.TemporaryDirectory() as folder:
            with tarfile.open(archive) as members:
                members.extractall(folder, filter="data")
            (unpacked,) = Path(folder).iterdir()
            _hatchling(project, unpacked, "wheel", out)


def _hatchling(project: Project, folder: Path, target: str, out: Path) -> None:
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(out)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        _stop([f"{project.where}: hatchling builds no {target}: {lines[-1] if lines else '?'}"])


def _stop(faults: Iterable[str]) -> None:
    lines = [f"Error: {' '.join(fault.split())}" for fault in faults]
    if lines:
        sys.exit("\n".join(lines))


if __name__ == "__main__":
    main()
