"""Files that are never half written, and where caches lie."""

from __future__ import annotations

import contextlib
import io
import os
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

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
    """Write UTF-8 text; `path` never holds a half-written file."""
    with atomic(path) as file:
        file.write(text.encode())


def write_bytes(path: Path, content: bytes) -> None:
    """Write bytes; `path` never holds a half-written file."""
    with atomic(path) as file:
        file.write(content)


def read_npz(path: Path) -> dict[str, Any]:
    """The arrays of a file that `numpy.savez` wrote.

    Every member is read whole, so that its checksum is compared: `numpy.load` stops where an
    altered header tells it to, and gives fewer rows without complaint. Raises OSError for a file
    that cannot be opened, ValueError for a damaged one.
    """
    import numpy as np

    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            members = {name: io.BytesIO(archive.read(name)) for name in archive.namelist()}
        return {
            name.removesuffix(".npy"): np.lib.format.read_array(member, allow_pickle=False)
            for name, member in members.items()
        }
    except Exception as error:  # zipfile, its decompressors and numpy each raise their own
        raise ValueError(f"{path.name} is damaged ({type(error).__name__}: {error})") from error


def cache_dir() -> Path:
    """Return the folder of caches: SERTK_CACHE, else `sertk` in the user's cache folder."""
    if own := os.environ.get("SERTK_CACHE"):
        return Path(own)
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "sertk"
