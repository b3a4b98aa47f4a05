"""Read published corpora of emotional speech: emodb, tess, savee, ravdess, cremad."""

from __future__ import annotations

from ser_toolkit import Reader, hookimpl

from .corpora import CORPORA
from .reader import CorpusReader

__all__ = ["CORPORA", "CorpusReader", "sertk_readers"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_readers() -> list[Reader]:
    """Return one reader per corpus."""
    return list(CORPORA)
