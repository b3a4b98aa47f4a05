"""Give each process a numba cache folder of its own.

numba caches a compiled function and its wrapper in two files that only fit together when one
process wrote both: where two processes compile into one folder at the same moment, the next call
may crash the interpreter. So a process takes a folder that nobody else uses, and keeps it locked
while it lives. What it compiled reaches other processes when its folder is taken again, whole and
at rest, through the folder `shared`.
"""

from __future__ import annotations

import atexit
import hashlib
import itertools
import os
import shutil
import sys
import tempfile
from importlib.abc import MetaPathFinder
from pathlib import Path
from typing import Any

from ..runtime.errors import SertkError
from .files import cache_dir

VARIABLE = "NUMBA_CACHE_DIR"
PREFIX = "process-"
_locks: dict[int, int] = {}


def use_own_numba_cache() -> None:
    """Let numba compile into a folder that no other process uses, taken when it is imported."""
    if "numba" in sys.modules:
        _take_folder()
    elif not any(isinstance(finder, _BeforeNumba) for finder in sys.meta_path):
        sys.meta_path.insert(0, _BeforeNumba())


class _BeforeNumba(MetaPathFinder):
    """Take the folder before numba reads the variable; processes without numba take none."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> None:
        if fullname == "numba":
            sys.meta_path.remove(self)
            _take_folder()


def _take_folder() -> None:
    if os.getpid() in _locks:
        return
    os.environ[VARIABLE] = str(_own_folder())
    if numba := sys.modules.get("numba"):
        numba.config.reload_config()


def _root() -> Path:
    """Return the folder of the folders: below what the user chose, else below the cache."""
    chosen = os.environ.get(VARIABLE)
    if not chosen:
        root = cache_dir() / "numba"
    elif Path(chosen).name.startswith(PREFIX):  # inherited from a process that took it
        return Path(chosen).parent
    else:
        root = Path(chosen)
    return root / hashlib.sha256(sys.prefix.encode()).hexdigest()[:12]


def _own_folder() -> Path:
    try:
        root = _root()
        root.mkdir(parents=True, exist_ok=True)
        taking = _lock(root / "lock", wait=True)
        try:
            return _first_free(root)
        finally:
            os.close(taking)
    except (ImportError, OSError, SertkError):  # no locks here, or nothing can be written
        folder = tempfile.mkdtemp(prefix="sertk-numba-")
        atexit.register(shutil.rmtree, folder, ignore_errors=True)
        _locks[os.getpid()] = -1
        return Path(folder)


def _first_free(root: Path) -> Path:
    for number in itertools.count():
        folder = root / f"{PREFIX}{number}"
        try:
            _locks[os.getpid()] = _lock(folder.with_suffix(".lock"))
        except BlockingIOError:
            continue
        _exchange(folder, root / "shared")
        return folder
    raise AssertionError


def _lock(path: Path, wait: bool = False) -> int:
    """Lock a file until its descriptor is closed or the process ends, however it ends."""
    import fcntl

    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        fcntl.flock(file, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(file)
        raise
    return file


def _exchange(folder: Path, shared: Path) -> None:
    """Replace the older of two caches by a copy of the newer."""
    own, others = _last_write(folder), _last_write(shared)
    if own > others:
        _copy(folder, shared)
    elif others > own:
        _copy(shared, folder)


def _last_write(folder: Path) -> int:
    return max((path.stat().st_mtime_ns for path in folder.rglob("*.nb?")), default=0)


def _copy(source: Path, target: Path) -> None:
    """Put a copy of a folder in place of another, whole at any moment."""
    copied, old = target.with_suffix(".new"), target.with_suffix(".old")
    for left_over in (copied, old):
        shutil.rmtree(left_over, ignore_errors=True)
    shutil.copytree(source, copied)
    if target.exists():
        target.rename(old)
    copied.rename(target)
    shutil.rmtree(old, ignore_errors=True)
