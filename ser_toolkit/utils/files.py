"""Files that are never half written, and where caches lie."""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from ..runtime import npz

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


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors name `path`: failures of a write name no file, others a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic(path: Path) -> Iterator[BinaryIO]:
    """A binary file that takes its name only when it is complete."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with naming(path):
            with temporary.open("wb") as file:
                yield file
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    with atomic(path) as file:
        file.write(text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes atomically."""
    with atomic(path) as file:
        file.write(content)


def write_npz(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write what `numpy.savez` writes; `path` never holds a half-written file."""
    with atomic(path) as file:
        npz.write_npz(file, arrays)


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
    """SERTK_CACHE, else `sertk` in the user's cache folder."""
    if own := os.environ.get("SERTK_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sertk"
