"""SER Toolkit: speech emotion recognition with plugins, honest figures and an edge target.

    import ser_toolkit as sertk
    run = sertk.train("DIR", plugin="msf")
    print(run.metrics["uar"])

Names are loaded when they are used: importing this package costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"
"""The version of the distribution `ser-toolkit`."""

_HOMES = {
    "api": ("train", "crossval", "evaluate", "predict", "extract", "inspect", "quantize", "load"),
    "recipe": ("Recipe", "Training", "Use"),
    "run": ("Run",),
    "plugins": ("load_plugins",),
    "hookspecs": ("HOOK_API", "hookimpl"),
    "contracts": (
        "Augmenter",
        "Clip",
        "FrameAugmenter",
        "Match",
        "ModelBuilder",
        "Reader",
        "Reading",
        "Utterance",
    ),
    "utils.progress": ("Callback",),
    "runtime.audio": ("Audio", "read_audio"),
    "runtime.component": ("Asset", "Component", "configure", "from_spec", "to_spec"),
    "runtime.errors": ("AudioError", "SertkError"),
    "runtime.events": ("Device", "Event", "Outlet", "Sink"),
    "runtime.extractor": (
        "Extractor",
        "FrameExtractor",
        "Joined",
        "Signal",
        "Stack",
        "StatefulExtractor",
        "Stream",
        "WindowExtractor",
    ),
    "runtime.predict": ("features", "signal_of"),
    "runtime.window": ("Window", "WindowStream"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

# Written out, because type checkers of plugins take what stands here for public.
__all__ = [
    "HOOK_API",
    "Asset",
    "Audio",
    "AudioError",
    "Augmenter",
    "Callback",
    "Clip",
    "Component",
    "Device",
    "Event",
    "Extractor",
    "FrameAugmenter",
    "FrameExtractor",
    "Joined",
    "Match",
    "ModelBuilder",
    "Outlet",
    "Reader",
    "Reading",
    "Recipe",
    "Run",
    "SertkError",
    "Signal",
    "Sink",
    "Stack",
    "StatefulExtractor",
    "Stream",
    "Training",
    "Use",
    "Utterance",
    "Window",
    "WindowExtractor",
    "WindowStream",
    "__version__",
    "configure",
    "crossval",
    "evaluate",
    "extract",
    "features",
    "from_spec",
    "hookimpl",
    "inspect",
    "load",
    "load_plugins",
    "predict",
    "quantize",
    "read_audio",
    "signal_of",
    "to_spec",
    "train",
]

if TYPE_CHECKING:
    from .api import crossval, evaluate, extract, inspect, load, predict, quantize, train
    from .contracts import (
        Augmenter,
        Clip,
        FrameAugmenter,
        Match,
        ModelBuilder,
        Reader,
        Reading,
        Utterance,
    )
    from .hookspecs import HOOK_API, hookimpl
    from .plugins import load_plugins
    from .recipe import Recipe, Training, Use
    from .run import Run
    from .runtime.audio import Audio, read_audio
    from .runtime.component import Asset, Component, configure, from_spec, to_spec
    from .runtime.errors import AudioError, SertkError
    from .runtime.events import Device, Event, Outlet, Sink
    from .runtime.extractor import (
        Extractor,
        FrameExtractor,
        Joined,
        Signal,
        Stack,
        StatefulExtractor,
        Stream,
        WindowExtractor,
    )
    from .runtime.predict import features, signal_of
    from .runtime.window import Window, WindowStream
    from .utils.progress import Callback


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ser_toolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
