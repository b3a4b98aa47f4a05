"""Fixtures for every test: where real speech lies, and parts that must not be missing."""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from ser_toolkit.utils.files import cache_dir
from ser_toolkit.utils.numba_cache import VARIABLE, use_own_numba_cache

# Before a test imports librosa: the processes of pytest-xdist compile side by side. What they
# compile takes each 12 s; it is kept from run to run, in no test's own cache.
os.environ.setdefault(VARIABLE, str(cache_dir() / "numba"))
use_own_numba_cache()

# The same examples in every run, and no test that fails because a machine is busy.
settings.register_profile("sertk", deadline=None, derandomize=True, database=None)
settings.load_profile("sertk")


def pytest_configure() -> None:
    """Let children be interrupted, even where a shell runs the tests in the background."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let workers begin with the files that last longest, so that none works alone at the end."""
    if not hasattr(config, "workerinput"):
        return
    longest: dict[str, int] = {}
    for item in items:
        longest[group_of(item)] = max(longest.get(group_of(item), 0), allowed_s(item))
    items.sort(key=lambda item: -longest[group_of(item)])


def group_of(item: pytest.Item) -> str:
    """Return the name of what one worker runs: a mark `xdist_group`, or the file."""
    mark = item.get_closest_marker("xdist_group")
    return str(mark.args[0]) if mark else item.nodeid.partition("::")[0]


def allowed_s(item: pytest.Item) -> int:
    """Return the seconds that a test may last by its marks: none for a fast one."""
    mark = item.get_closest_marker("timeout")
    return int(mark.args[0]) if mark else 1 if item.get_closest_marker("slow") else 0


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Keep the tests of a file on one worker, unless a mark `xdist_group` says otherwise."""
    from xdist.scheduler import LoadGroupScheduling

    class FilesAndGroups(LoadGroupScheduling):
        def _split_scope(self, nodeid: str) -> str:
            scope = super()._split_scope(nodeid)
            return scope.partition("::")[0] if scope == nodeid else scope

    if config.getvalue("dist") != "loadgroup":
        return None
    config.option.loadscopereorder = False
    return FilesAndGroups(config, log)


def run_folder(config: pytest.Config, factory: pytest.TempPathFactory) -> Path:
    """Return the temporary folder of this run of pytest, the same in all its workers."""
    base = factory.getbasetemp()
    return base.parent if hasattr(config, "workerinput") else base


@pytest.fixture(scope="session")
def once(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, Callable[[Path], object]], Path]:
    """Makes a folder of a name once per run of pytest, by whichever worker asks first."""
    base = run_folder(pytestconfig, tmp_path_factory) / "once"

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        base.mkdir(exist_ok=True)
        folder, done = base / name, base / f"{name}.done"
        with (base / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not done.exists():
                # What is there was left by a worker that failed.
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir()
                make(folder)
                done.touch()
        return folder

    return make_once


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


@pytest.fixture(scope="session")
def conforms() -> Callable[..., None]:
    """Runs all checks of the kit on a component: those that are named fail, and no others."""
    from ser_toolkit.testing import CheckFailed, NotChecked, checks_for

    def run(component: Any, *failing: str, **given: Any) -> None:
        failed = {}
        for check in checks_for(component, **given):
            try:
                check()
            except (CheckFailed, NotChecked) as failure:
                failed[check.name] = str(failure)
        assert set(failed) == set(failing), (component, failed)

    return run


@pytest.fixture(scope="session")
def run_cache(pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cache of this run of pytest; its files are written atomically, so workers share it."""
    return run_folder(pytestconfig, tmp_path_factory) / "sertk-cache"


@pytest.fixture(autouse=True)
def own_cache(run_cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep tests out of the user's cache."""
    monkeypatch.setenv("SERTK_CACHE", str(run_cache))
