"""Read Hugging Face audio folders and datasets on disk: the reader `datasets`."""

from __future__ import annotations

from ser_toolkit import Reader, hookimpl

from .reader import DatasetsReader

__all__ = ["DatasetsReader", "sertk_readers"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_readers() -> list[Reader]:
    """Return the reader of datasets."""
    return [DatasetsReader()]
