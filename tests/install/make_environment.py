"""Environments that see what is installed here, and to which uv adds without asking an index."""

from __future__ import annotations

import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterable
from pathlib import Path


def make_venv(folder: Path) -> Path:
    """An environment in `folder`; its interpreter."""
    venv.create(folder, with_pip=False)
    packages = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    here = sysconfig.get_paths()["purelib"]
    # `addsitedir`, not a bare path, so that editable installations in it are followed too.
    (folder / packages / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    return folder / "bin" / "python"


def install(folder: Path, projects: Iterable[Path]) -> None:
    """Build and install local projects into the environment in `folder`."""
    uv = [
        sys.executable,
        "-m",
        "uv",
        "pip",
        "install",
        "--quiet",
        "--python",
        folder / "bin/python",
    ]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--no-config"]
    subprocess.run([*uv, *flags, *projects], check=True, capture_output=True, text=True)
