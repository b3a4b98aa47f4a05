"""Use a frozen embedding model from a file as an extractor: `embedding`."""

from __future__ import annotations

from ser_toolkit import Extractor, hookimpl

from .extractor import Embedding

__all__ = ["Embedding", "sertk_extractors"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return the extractor; `--set extractor.file=@FILE` gives its model."""
    return [Embedding()]
