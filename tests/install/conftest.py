"""One environment with every broken package, shared by the tests that look at what users see."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

# `make_environment` and `broken_packages` serve a script as well, and so are no part of a package.
sys.path.append(str(Path(__file__).parent))
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from ser_toolkit.cli import main; main()"
)


@dataclass(frozen=True)
class Result:
    """What a command left behind."""

    code: int
    out: str
    err: str


Run = Callable[..., Result]
Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def broken_python(once: Once) -> Path:
    """The interpreter of an environment that holds this toolkit and every broken package."""
    from broken_packages import make_environment

    return once("broken", make_environment) / "venv/bin/python"


@pytest.fixture
def broken_run(broken_python: Path, tmp_path: Path) -> Run:
    """Runs that interpreter; the environment has no variable of ours but those given."""

    def run(*args: object, **env: str) -> Result:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}
        result = subprocess.run(
            [str(broken_python), *map(str, args)],
            cwd=tmp_path,
            env={**kept, "SERTK_CACHE": str(tmp_path / "cache"), **env},
            capture_output=True,
            text=True,
            timeout=300,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    return run


@pytest.fixture
def broken_sertk(broken_run: Run) -> Run:
    """Runs `sertk` there."""

    def sertk(*args: object, **env: str) -> Result:
        return broken_run("-c", MAIN, *args, **env)

    return sertk
