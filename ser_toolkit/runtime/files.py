"""Write files that are never half written."""

from __future__ import annotations

import contextlib
import glob
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO


@contextlib.contextmanager
def naming(path: Path) -> Iterator[None]:
    """Let errors name `path`: failures of a write name no file, others a temporary one."""
    try:
        yield
    except OSError as error:
        error.filename = str(path)
        raise


@contextlib.contextmanager
def atomic(path: Path, writer: str = "") -> Iterator[BinaryIO]:
    """Open a binary file that takes its name only when it is complete.

    `writer` marks the temporary file, see `remove_temporaries`.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Several processes, threads and machines may write the same file.
    temporary = path.with_name(f".{path.name}.{writer}{secrets.token_hex(4)}.tmp")
    try:
        with naming(path):
            with temporary.open("wb") as file:
                yield file
            temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def remove_temporaries(path: Path, writer: str) -> None:
    """Remove what a killed process left that wrote `path` as `writer`."""
    for left_over in path.parent.glob(f".{glob.escape(path.name)}.{writer}*.tmp"):
        left_over.unlink(missing_ok=True)
