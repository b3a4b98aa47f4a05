"""Check that every requirement has a wheel, at the pinned version, for every Python and for a Pi.

resolve.py DIST [--constraints FILE]: DIST holds our wheels, as `make wheels` leaves them. Nothing
is installed, and no other Python is needed. Exit code 1: something does not resolve; 2: no index.
"""

from __future__ import annotations

import argparse
import email
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
PC, PI = "x86_64-manylinux_2_28", "aarch64-manylinux_2_28"
ON_A_PI = ("ser-toolkit", "sertk-edge", "sertk-msf", "sertk-lstm")
# The older runtime wants another NumPy than the pins: edge/arm64 installs it.
APART = {"tflite-runtime"}


@dataclass(frozen=True)
class Target:
    """A Python, a platform, and our wheels for it: all with their extras, or some without."""

    python: str
    platform: str
    only: tuple[str, ...] = ()


TARGETS = (
    *(Target(python, PC) for python in ("3.10", "3.11", "3.12", "3.13")),
    *(Target(python, PI, ON_A_PI) for python in ("3.11", "3.13")),
)


def main() -> None:
    """Print one line per target; stop at the first that does not resolve."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("dist", type=Path, help="the folder with our wheels")
    parser.add_argument("--constraints", type=Path, default=ROOT / "constraints.txt")
    options = parser.parse_args()
    wheels = sorted(options.dist.resolve().glob("*.whl"))
    if not wheels:
        sys.exit(f"Error: there is no wheel in {options.dist}. Run `make wheels`")
    pins = _pins(options.constraints)
    for target in TARGETS:
        name = f"Python {target.python} on {target.platform}"
        resolved = _resolve(wheels, target, options.constraints, name)
        unpinned = sorted(resolved - pins)
        if unpinned:
            sys.exit(f"Error: {name}: no pin of {', '.join(unpinned)}. Make constraints.txt anew")
        print(f"{name}: {len(resolved)} wheels, each pinned")


def _pins(constraints: Path) -> set[str]:
    lines = constraints.read_text("utf-8").splitlines()
    return {_name(line) for line in lines if line and not line.startswith("#")}


def _name(line: str) -> str:
    return canonicalize_name(re.split(r"[=<>!~ ;@\[]", line)[0])


def _resolve(wheels: Sequence[Path], target: Target, constraints: Path, name: str) -> set[str]:
    """Return the names of the distributions that a target needs besides ours."""
    command = [sys.executable, "-m", "uv", "pip", "compile", "-", "--quiet", "--no-config"]
    command += ["--no-annotate", "--no-header", "--no-python-downloads", "--only-binary", ":all:"]
    command += ["--python-version", target.python, "--python-platform", target.platform]
    command += ["--constraints", str(constraints.resolve())]
    ours, env = list(_requirements(wheels, target)), _environment(os.environ)
    done = subprocess.run(
        command, input="\n".join(ours), env=env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        problem = " ".join(done.stderr.split()).removeprefix("error: ")
        print(f"Error: {name}: {problem}", file=sys.stderr)
        sys.exit(done.returncode)
    lines = [line for line in done.stdout.splitlines() if line and not line.startswith("#")]
    return {_name(line) for line in lines} - {_name(line) for line in ours}


def _requirements(wheels: Sequence[Path], target: Target) -> Iterator[str]:
    """Yield requirements on our wheels by their files, so that no index is searched for them."""
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            (about,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
            metadata = email.message_from_bytes(archive.read(about))
        extras = sorted(set(metadata.get_all("Provides-Extra", [])) - APART)
        if target.only and metadata["Name"] not in target.only:
            continue
        chosen = "" if target.only or not extras else f"[{','.join(extras)}]"
        yield f"{metadata['Name']}{chosen} @ {wheel.as_uri()}"


def _environment(ours: Mapping[str, str]) -> dict[str, str]:
    """Return variables with pip's index and certificate for uv, unless uv has its own."""
    settings = subprocess.run(
        [sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=False
    )
    index = re.findall(r"^\S*\.index-url='(\S+)'$", settings.stdout, re.MULTILINE)
    defaults = {"UV_DEFAULT_INDEX": index[-1]} if index else {}
    if "PIP_CERT" in ours:
        defaults["SSL_CERT_FILE"] = ours["PIP_CERT"]
    return {**defaults, **ours}


if __name__ == "__main__":
    main()
