"""Write files that are never half written, and find the folder of caches."""

from __future__ import annotations

import errno
import os
import tempfile
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..runtime import npz
from ..runtime.errors import SertkError
from ..runtime.files import atomic, naming, remove_temporaries

__all__ = ["DAMAGED", "atomic", "cache_dir", "check_file", "check_writable", "existing"]
__all__ += ["file_error", "naming", "read_npz", "remove_temporaries", "writable_cache"]
__all__ += ["write_bytes", "write_npz", "write_text"]

CACHE_TODO = "Set SERTK_CACHE to a folder that can be written"

DAMAGED = (
    OSError,
    ValueError,
    KeyError,
    EOFError,
    NotImplementedError,
    RuntimeError,
    zipfile.BadZipFile,
    zlib.error,
)
"""What reading a file may raise that was cut off or overwritten."""


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text; `path` never holds a half-written file.

    Surrogates, as names of files may have, are escaped: `\\udcff`, which JSON reads back.
    """
    with atomic(path) as file:
        file.write(text.encode("utf-8", "backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes; `path` never holds a half-written file."""
    with atomic(path) as file:
        file.write(content)


def write_npz(path: Path, arrays: Mapping[str, Any], writer: str = "") -> None:
    """Write arrays as `numpy.savez` does; `path` never holds a half-written file.

    Args:
        path: Name of the file.
        arrays: Arrays by name.
        writer: Mark of the temporary file, for `remove_temporaries`.
    """
    with atomic(path, writer) as file:
        npz.write_npz(file, arrays)


def file_error(error: OSError) -> SertkError:
    """Return what a user is told of a file that could not be read or written."""
    if error.errno == errno.ENOSPC:
        where = f" while writing {error.filename}" if error.filename else ""
        return SertkError(f"disk full{where}", "Make room and run the command again")
    where = f"{error.filename}: " if error.filename else ""
    return SertkError(f"{where}{error.strerror or type(error).__name__}")


def existing(path: Path) -> Path:
    """Return the path, or the nearest one above it that exists."""
    return next(place for place in (path, *path.parents) if place.exists())


def check_writable(folder: Path, todo: str = "Choose another place") -> None:
    """Raise SertkError where a folder, or the one above it that exists, cannot hold a new file."""
    try:
        with tempfile.TemporaryFile(dir=existing(folder)):
            pass
    except OSError as error:
        raise SertkError(f"cannot write into '{folder}': {error.strerror}", todo) from error


def check_file(path: str | Path | None) -> None:
    """Raise SertkError for a file that cannot be written, before the work whose result it is."""
    if path is None:
        return
    if Path(path).is_dir():
        raise SertkError(f"a file expected, '{path}' is a folder", "Add the name of a file")
    check_writable(Path(path).parent)


def read_npz(path: Path) -> dict[str, Any]:
    """Return the arrays of an `.npz`, which may be changed.

    Raises OSError for a file that cannot be opened, ValueError for a damaged one.
    """
    content = path.read_bytes()
    try:
        return {name: array.copy(order="K") for name, array in npz.from_npz(content).items()}
    except ValueError as error:
        raise ValueError(f"{path.name} is damaged ({error})") from error


def cache_dir() -> Path:
    """Return the folder of caches: SERTK_CACHE, else `sertk` in the user's cache folder."""
    if own := os.environ.get("SERTK_CACHE"):
        return Path(own)
    if base := os.environ.get("XDG_CACHE_HOME"):
        return Path(base) / "sertk"
    try:
        return Path.home() / ".cache" / "sertk"
    except RuntimeError as error:
        problem = "this user has no home folder, and so no place for a cache"
        raise SertkError(problem, CACHE_TODO) from error


def writable_cache(name: str = "") -> Path:
    """Return a folder of the cache, or the cache itself; SertkError if it cannot be written."""
    folder = cache_dir() / name
    check_writable(folder, CACHE_TODO)
    return folder
