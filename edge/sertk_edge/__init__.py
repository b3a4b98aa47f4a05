"""SER Toolkit at the edge: a daemon that detects the emotion of live speech.

Names are loaded when they are used: the command's help needs no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_MODULES = {"StreamClassifier": "audio.stream_classifier"}
__all__ = ["StreamClassifier", "__version__"]

if TYPE_CHECKING:
    from .audio.stream_classifier import StreamClassifier


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module 'sertk_edge' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_MODULES[name]}", __name__), name)
