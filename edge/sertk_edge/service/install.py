"""What `sertk edge install-service` looks at and writes.

Whether the user of the service gets at everything is not reckoned here: the unit runs `--check` as
that user before each start.
"""

from __future__ import annotations

import os
import pwd
import re
import sys
import sysconfig
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.process import ProcessError, output_text

from .unit import HEAD, Unit

UNIT_DIR = Path("/etc/systemd/system")
HOMES = (Path("/home"), Path("/root"), Path("/run/user"))
TEMPORARY = (Path("/tmp"), Path("/var/tmp"))
MOVE = "Move it, to /opt/sertk for instance"
Problem = tuple[str, str]


def sertk_command() -> Path:
    """Return the command of this installation: the service runs what the user has just run."""
    path = Path(sysconfig.get_path("scripts"), "sertk")
    if not path.exists():
        raise SertkError(f"there is no {path}", "Install with pip, which puts it there")
    return path


def program_files(sertk: Path) -> Iterator[Path]:
    """Yield what the command needs to start; a checkout may lie anywhere."""
    yield from (sertk, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix))
    for package in ("ser_toolkit", "sertk_edge"):
        spec = find_spec(package)
        if spec and spec.origin:
            yield Path(spec.origin)


def lies_in(path: Path, folders: tuple[Path, ...]) -> bool:
    """Say whether the path, as written or behind links, lies in one of the folders."""
    ways = dict.fromkeys((path.absolute(), path.resolve()))
    return any(folder in (way, *way.parents) for way in ways for folder in folders)


def problems_of(unit: Unit, needed: Sequence[Path]) -> Iterator[Problem]:
    """Yield what keeps the service from starting wherever it is started, each with its remedy."""
    for path in needed:
        if lies_in(path, TEMPORARY):
            yield f"{path} lies in a folder for temporary files, and a service has its own", MOVE
    if unit.user and not _is_user(unit.user):
        yield f"there is no user {unit.user!r}", "Name one that `getent passwd` lists"
    for path in needed:
        if _is_missing(path):
            yield f"there is no {path}", "Give the path of one that is there"
    for name, path in unit.credentials:
        if _is_missing(path):
            yield f"credential {name!r}: there is no {path}", "Write it first"


def systemd_version() -> int:
    """Return the version of this machine's systemd; 0 where there is none."""
    try:
        text = output_text(["systemctl", "--version"], timeout_s=10)
    except ProcessError:
        return 0
    found = re.match(r"systemd (\d+)", text)
    return int(found[1]) if found else 0


def write(path: Path, text: str) -> None:
    """Write the unit; one that somebody else wrote stays. Raises SertkError."""
    try:
        if path.exists() and HEAD not in path.read_text(encoding="utf-8", errors="replace"):
            raise SertkError(f"{path} was not written by this command", "Choose another --name")
        path.write_text(text, encoding="utf-8")
        path.chmod(0o644)
    except PermissionError:
        raise SertkError(
            f"{path.parent} may not be written", "Run it with sudo, or --print"
        ) from None


def next_steps(path: Path, name: str) -> str:
    """Return what to type after the unit was written."""
    return f"""Written: {path}
Next:
  sudo systemctl daemon-reload
  sudo systemctl enable --now {name}
  journalctl -u {name} -f
"""


def _is_missing(path: Path) -> bool:
    """Say whether nothing is there; what we may not look at counts as there."""
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return False


def _is_user(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True
