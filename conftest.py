"""Fixtures for every test: where real speech lies, and parts that must not be missing."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from ser_toolkit.numba_cache import use_own_numba_cache

# Before a test imports librosa: the processes of pytest-xdist compile side by side.
use_own_numba_cache()

# The same examples in every run, and no test that fails because a machine is busy.
settings.register_profile("sertk", deadline=None, derandomize=True, database=None)
settings.load_profile("sertk")


def pytest_configure() -> None:
    """Let children be interrupted, even where a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def require(part: str, present: bool, hint: str) -> None:
    """Skip without `part`, or fail where SERTK_REQUIRE names it."""
    if present:
        return
    if part in os.environ.get("SERTK_REQUIRE", "").split(","):
        pytest.fail(f"'{part}' is required here but missing: {hint}")
    pytest.skip(f"no {part}: {hint}")


@pytest.fixture(scope="session", name="require")
def require_there() -> Callable[[str, bool, str], None]:
    """`require`, for fixtures of every folder."""
    return require


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder with real corpora that SERTK_DATA names."""
    folder = os.environ.get("SERTK_DATA", "")
    require("data", bool(folder) and Path(folder, "emodb").is_dir(), "set SERTK_DATA")
    return Path(folder)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Callable[[int], Path]]:
    """Mounts a file system of so many KiB, for as long as the test runs."""
    root = tmp_path / "disk"

    def mounted(size_kb: int) -> Path:
        root.mkdir()
        mount, made = shutil.which("mount"), False
        if mount and os.geteuid() == 0:
            command = [mount, "-t", "tmpfs", "-o", f"size={size_kb}k", "tmpfs", str(root)]
            made = subprocess.run(command, capture_output=True).returncode == 0
        require("tmpfs", made, "mounting one takes root, and a machine that permits it")
        return root

    yield mounted
    if root.is_mount():
        subprocess.run(["umount", "--lazy", str(root)], check=True)


@pytest.fixture(autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache; it is shared within one test run."""
    base = tmp_path_factory.getbasetemp() / "sertk-cache"
    monkeypatch.setenv("SERTK_CACHE", str(base))
