"""SER Toolkit at the edge: a daemon that tells which emotion a microphone hears.

Names are loaded when they are used: the command's help needs no numpy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

_HOMES = {"AudioWindows": "stream", "Span": "stream", "window_at": "stream", "Ear": "ear"}
__all__ = ["AudioWindows", "Ear", "Span", "__version__", "window_at"]

if TYPE_CHECKING:
    from .ear import Ear
    from .stream import AudioWindows, Span, window_at


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sertk_edge' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOMES[name]}", __name__), name)
