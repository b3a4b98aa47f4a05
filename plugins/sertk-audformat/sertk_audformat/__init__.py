"""Read audformat databases: the reader `audformat`."""

from __future__ import annotations

from ser_toolkit import Reader, hookimpl

from .reader import AudformatReader

__all__ = ["AudformatReader", "sertk_readers"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_readers() -> list[Reader]:
    """Return the reader of databases."""
    return [AudformatReader()]
