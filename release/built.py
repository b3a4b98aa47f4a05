"""Check that wheels and source archives hold what they should, and nothing else."""

from __future__ import annotations

import email
import tarfile
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from projects import Project

BESIDE = ("PKG-INFO", "pyproject.toml", "README.md", "LICENSE")


def faults_of_built(projects: Sequence[Project], dist: Path) -> Iterator[str]:
    """Yield one line per fault of the wheels and archives of these projects."""
    for project in projects:
        stem = f"{project.name.replace('-', '_')}-{project.version}"
        for path, check in (
            (dist / f"{stem}-py3-none-any.whl", _wheel),
            (dist / f"{stem}.tar.gz", _archive),
        ):
            if not path.is_file():
                yield f"{path.name}: missing. Run `make wheels`"
                continue
            yield from (f"{path.name}: {fault}" for fault in check(project, path))


def _wheel(project: Project, path: Path) -> Iterator[str]:
    with zipfile.ZipFile(path) as wheel:
        members = {name: wheel.read(name) for name in wheel.namelist() if not name.endswith("/")}
    info = f"{path.name.removesuffix('-py3-none-any.whl')}.dist-info"
    packed = {name: body for name, body in members.items() if not name.startswith(f"{info}/")}
    yield from _same(project, packed)
    yield from _tests(packed)
    if members.get(f"{info}/licenses/LICENSE") != (project.folder / "LICENSE").read_bytes():
        yield "it lacks the licence"
    about = email.message_from_bytes(members[f"{info}/METADATA"])
    if about["Requires-Python"] != _sorted(project.table["requires-python"]):
        yield f"it says Requires-Python {about['Requires-Python']}. Build it anew"


def _archive(project: Project, path: Path) -> Iterator[str]:
    """Yield a fault for each file that a wheel is built from and the archive lacks."""
    with tarfile.open(path) as archive:
        names = {PurePosixPath(name).relative_to(path.name[:-7]) for name in archive.getnames()}
    for name in (*map(PurePosixPath, BESIDE), *project.files()):
        if PurePosixPath(name) not in names:
            yield f"it lacks {name}"


def _same(project: Project, packed: dict[str, bytes]) -> Iterator[str]:
    """Yield a fault for each file of the wheel that differs from the package, byte for byte."""
    here = {path.as_posix(): project.folder / path for path in project.files()}
    for name in here.keys() - packed.keys():
        yield f"it lacks {name}. Is it ignored by git?"
    for name in packed.keys() - here.keys():
        yield f"it holds {name}, which is not in the package"
    for name in here.keys() & packed.keys():
        if packed[name] != here[name].read_bytes():
            yield f"its {name} is another than that of the tree. Build it anew"


def _tests(packed: dict[str, bytes]) -> Iterator[str]:
    for name in packed:
        path = PurePosixPath(name)
        if path.suffix == ".py" and path.name.startswith(("test_", "conftest")):
            yield f"it holds {name}, a test"


def _sorted(pythons: str) -> str:
    """Return a range as metadata write it: sorted, as hatchling does."""
    return ",".join(sorted(part.strip() for part in pythons.split(",")))
