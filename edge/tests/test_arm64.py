"""`make test-arm64`: the wheels in Debian for arm64, as on a Raspberry Pi; and its helpers."""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ARM64 = Path(__file__).resolve().parents[1] / "arm64"
SCRIPTS = ("test", "lib.sh", "inside.sh")
MINUTES = 60


def why_not() -> str:
    """Why this machine cannot, in one line; nothing if it can."""
    done = subprocess.run([ARM64 / "test", "--why-not"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


# Debian 12 is what both runtimes have wheels for; 13 differs in Python's version alone.
@pytest.mark.slow
@pytest.mark.timeout(30 * MINUTES)
@pytest.mark.parametrize("suite", ["bookworm", pytest.param("trixie", marks=pytest.mark.nightly)])
def test_it_installs_and_runs_on_debian_for_arm64(
    suite: str,
    require: Callable[[str, bool, str], None],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    reason = why_not()
    require("arm64", not reason, reason)
    folder = os.environ.get("SERTK_ARM_DIR") or tmp_path_factory.getbasetemp() / "arm64"
    env = {**os.environ, "SERTK_ARM_DIR": str(folder), "SERTK_ARM_PYTHON": sys.executable}
    # Not through a pipe to us: what has been said until a fault is worth reading.
    done = subprocess.run([ARM64 / "test", suite], env=env, check=False)
    assert done.returncode == 0
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()


def test_a_reason_is_one_line() -> None:
    assert len(why_not().splitlines()) <= 1


@pytest.mark.parametrize("name", SCRIPTS)
def test_bash_can_read_the_scripts(name: str) -> None:
    subprocess.run(["bash", "-n", ARM64 / name], check=True)


def test_pip_is_told_there_what_it_is_told_here(tmp_path: Path) -> None:
    (tmp_path / "wheels").mkdir()
    (tmp_path / "index" / "simple").mkdir(parents=True)
    (tmp_path / "pip.conf").write_text("[global]\nindex-url = https://ignored.example/simple\n")
    env = {
        **{key: value for key, value in os.environ.items() if not key.startswith("PIP_")},
        "PIP_CONFIG_FILE": str(tmp_path / "pip.conf"),
        "PIP_INDEX_URL": f"file://{tmp_path}/index/simple",
        "PIP_FIND_LINKS": str(tmp_path / "wheels"),
        "PIP_CACHE_DIR": "/of/this/machine",
        "PIP_CONSTRAINT": str(tmp_path / "pip.conf"),
    }
    target = tmp_path / "there.conf"
    command = [sys.executable, ARM64 / "pip_settings.py", target]
    done = subprocess.run(command, env=env, check=True, capture_output=True, text=True)
    assert {str(tmp_path / "wheels"), str(tmp_path / "index")} <= set(done.stdout.split())
    parser = configparser.RawConfigParser()
    parser.read(target)
    assert parser["global"]["index-url"] == f"file://{tmp_path}/index/simple"
    assert parser["install"]["find-links"] == str(tmp_path / "wheels")
    assert not {"cache-dir", "constraint"} & {key for name in parser for key in parser[name]}
