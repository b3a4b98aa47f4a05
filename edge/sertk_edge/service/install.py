"""`sertk edge`: what is done once on a device. `install-service` makes the daemon a service."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import click

from ser_toolkit.runtime.errors import SertkError

from ..cli import check_for_service
from .permissions import HOMES, TEMPORARY, Who, barrier, lies_in
from .unit import HEAD, Unit, checked_name, credential, service_command

UNIT_DIR = Path("/etc/systemd/system")
PATH = click.Path(path_type=Path)
MOVE = "Move it, to /opt/sertk for instance"
OPEN = "Open it (chmod), move it to /opt/sertk, or name a user that may read it with --user"


@click.group()
def edge() -> None:
    """Set up the daemon on a device."""


@edge.command("install-service")
@click.argument("bundle", type=PATH)
@click.argument("more", nargs=-1, type=click.UNPROCESSED, metavar="[-- OPTIONS OF serve-edge]")
@click.option("--config", type=PATH, metavar="FILE", help="Settings as TOML, for serve-edge.")
@click.option("--user", default="", metavar="NAME", help="Run as this user, not as one made up.")
@click.option(
    "--credential",
    "credentials",
    multiple=True,
    metavar="NAME=FILE",
    help="Show FILE to the daemon alone, as /run/credentials/UNIT.service/NAME; repeat for more.",
)
@click.option("--name", default="sertk-edge", show_default=True, help="Name of the unit.")
@click.option("--unit-dir", type=PATH, default=UNIT_DIR, show_default=True, help="Where it goes.")
@click.option("--print", "only_print", is_flag=True, help="Print the unit and write nothing.")
def install_service(
    bundle: Path,
    more: tuple[str, ...],
    config: Path | None,
    user: str,
    credentials: tuple[str, ...],
    name: str,
    unit_dir: Path,
    only_print: bool,
) -> None:
    """Write a systemd unit that listens with BUNDLE from every start of the machine on.

    The service has no rights but to hear and to use the network: see the comments in the unit.
    """
    bundle, config = bundle.absolute(), config.absolute() if config else None
    check_for_service(bundle, more)
    sertk = _sertk()
    needed = [*_program(sertk), *filter(None, (bundle, config))]
    unit = Unit(
        name=checked_name(name),
        command=service_command(sertk, bundle, config, more),
        bundle=bundle,
        user=user,
        credentials=tuple(map(credential, credentials)),
        home_is_read=any(lies_in(path, HOMES) for path in needed),
        systemd=_systemd_version(),
    )
    text = unit.text()
    problems = [*_hidden(needed), *_unreadable(needed, user), *_missing(unit)]
    if unit.home_is_read:
        _warn("parts lie below /home or /root: the service may read, not write, all it can there")
    if only_print:
        for problem, todo in problems:
            _warn(f"{problem}. {todo}")
        click.echo(text, nl=False)
        return
    if problems:
        raise SertkError(*problems[0])
    path = unit_dir / f"{unit.name}.service"
    write(path, text)
    click.echo(_next_steps(path, unit.name), nl=False)


def _sertk() -> Path:
    """The command of this installation, so that the service runs what the user has just run."""
    path = Path(sysconfig.get_path("scripts"), "sertk")
    if not path.exists():
        raise SertkError(f"there is no {path}", "Install with pip, which puts it there")
    return path


def _program(sertk: Path) -> Iterator[Path]:
    """What must be readable for the command to start; a checkout may lie anywhere."""
    yield from (sertk, Path(sys.executable), Path(sys.prefix), Path(sys.base_prefix))
    for package in ("ser_toolkit", "sertk_edge"):
        spec = find_spec(package)
        if spec and spec.origin:
            yield Path(spec.origin)


def _hidden(needed: list[Path]) -> Iterator[tuple[str, str]]:
    for path in needed:
        if lies_in(path, TEMPORARY):
            yield f"{path} lies in a folder for temporary files, and a service has its own", MOVE


def _unreadable(needed: list[Path], user: str) -> Iterator[tuple[str, str]]:
    try:
        who = Who.named(user) if user else Who.made_up("audio")
    except KeyError:
        yield f"there is no user {user!r}", "Name one that `getent passwd` lists"
        return
    told: set[Path] = set()
    for path in needed:
        step = barrier(path, who)
        if step is None or step in told:
            continue
        told.add(step)
        if os.path.lexists(step):
            yield f"{step} is closed to the user of the service, which needs {path}", OPEN
        else:
            yield f"there is no {step}", "Give the path of one that is there"


def _missing(unit: Unit) -> Iterator[tuple[str, str]]:
    for name, path in unit.credentials:
        if not os.path.lexists(path):
            yield f"credential {name!r}: there is no {path}", "Write it first"


def _systemd_version() -> int:
    """0 where there is none."""
    systemctl = shutil.which("systemctl")
    if not systemctl:
        return 0
    said = subprocess.run([systemctl, "--version"], capture_output=True, text=True, check=False)
    found = re.match(r"systemd (\d+)", said.stdout)
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


def _next_steps(path: Path, name: str) -> str:
    return f"""Written: {path}
Next:
  sudo systemctl daemon-reload
  sudo systemctl enable --now {name}
  journalctl -u {name} -f
"""


def _warn(line: str) -> None:
    click.echo(f"Warning: {line}", err=True)
