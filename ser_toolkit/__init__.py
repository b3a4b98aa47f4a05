"""SER Toolkit: speech emotion recognition with plugins, honest metrics and an edge target.

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
    "api": (
        *("train", "crossval", "resume", "evaluate", "predict", "extract", "inspect"),
        *("quantize", "load"),
    ),
    "training.backend": ("import_keras",),
    "builtin.augmenters": (
        "Equalise",
        "Gain",
        "Mask",
        "Noise",
        "NotebookNoise",
        "Shift",
        "Speed",
        "Tempo",
    ),
    "builtin.dense": ("Mlp",),
    "builtin.models": ("Tcn",),
    "builtin.readers": ("FolderReader", "TableReader"),
    "builtin.synthetic": ("SyntheticReader",),
    "plugins.bundles": ("open_bundle",),
    "contracts.components": (
        "Augmenter",
        "Clip",
        "FrameAugmenter",
        "Match",
        "ModelBuilder",
        "Reader",
        "Reading",
        "Subset",
        "Utterance",
    ),
    "utils.files": ("cache_dir", "write_bytes", "write_text"),
    "plugins.hookspecs": ("HOOK_API", "hookimpl"),
    "data.labels": ("EMOTIONS", "SUBSET_WORDS", "canonical_emotion"),
    "utils.progress": ("Callback",),
    "plugins.registry": ("Plugins", "load_plugins"),
    "contracts.recipe": ("ComponentSpec", "Recipe", "Training", "Use"),
    "inference.model": ("Model",),
    "inference.run": ("Run",),
    "training.options": ("TrainOptions",),
    "training.outputs": ("OutputError",),
    "utils.tables": ("Result",),
    "runtime.inference.prediction": ("FailedPrediction", "Prediction", "TimedPrediction"),
    "runtime.audio.decode": ("Audio", "read_audio"),
    "runtime.audio.files": ("audio_files",),
    "runtime.audio.formats": ("AUDIO_SUFFIXES",),
    "runtime.component": ("Asset", "AssetLoader", "Component", "configure", "from_spec", "to_spec"),
    "runtime.errors": ("AudioError", "MissingExtra", "SertkError"),
    "runtime.events": ("Device", "DeviceStatus", "Event", "Outlet", "Sink"),
    "runtime.features.base": (
        "F32",
        "Extractor",
        "FrameExtractor",
        "Heatmap",
        "Joined",
        "Signal",
        "Stack",
        "StatefulExtractor",
        "Stream",
        "WindowExtractor",
    ),
    "runtime.features.spectral": ("Deltas", "LogMel", "Mfcc", "Pitch", "Rms", "Zcr"),
    "runtime.features.functionals": ("Functionals",),
    "runtime.inference.tflite": ("find_runtime", "load_interpreter"),
    "runtime.inference.inputs": ("features", "signal_of"),
    "runtime.features.window": ("Window", "WindowStream"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

# Written out, because type checkers of plugins take what stands here for public.
__all__ = [
    "AUDIO_SUFFIXES",
    "EMOTIONS",
    "F32",
    "HOOK_API",
    "SUBSET_WORDS",
    "Asset",
    "AssetLoader",
    "Audio",
    "AudioError",
    "Augmenter",
    "Callback",
    "Clip",
    "Component",
    "ComponentSpec",
    "Deltas",
    "Device",
    "DeviceStatus",
    "Equalise",
    "Event",
    "Extractor",
    "FailedPrediction",
    "FolderReader",
    "FrameAugmenter",
    "FrameExtractor",
    "Functionals",
    "Gain",
    "Heatmap",
    "Joined",
    "LogMel",
    "Mask",
    "Match",
    "Mfcc",
    "MissingExtra",
    "Mlp",
    "Model",
    "ModelBuilder",
    "Noise",
    "NotebookNoise",
    "Outlet",
    "OutputError",
    "Pitch",
    "Plugins",
    "Prediction",
    "Reader",
    "Reading",
    "Recipe",
    "Result",
    "Rms",
    "Run",
    "SertkError",
    "Shift",
    "Signal",
    "Sink",
    "Speed",
    "Stack",
    "StatefulExtractor",
    "Stream",
    "Subset",
    "SyntheticReader",
    "TableReader",
    "Tcn",
    "Tempo",
    "TimedPrediction",
    "TrainOptions",
    "Training",
    "Use",
    "Utterance",
    "Window",
    "WindowExtractor",
    "WindowStream",
    "Zcr",
    "__version__",
    "audio_files",
    "cache_dir",
    "canonical_emotion",
    "configure",
    "crossval",
    "evaluate",
    "extract",
    "features",
    "find_runtime",
    "from_spec",
    "hookimpl",
    "import_keras",
    "inspect",
    "load",
    "load_interpreter",
    "load_plugins",
    "open_bundle",
    "predict",
    "quantize",
    "read_audio",
    "resume",
    "signal_of",
    "to_spec",
    "train",
    "write_bytes",
    "write_text",
]

if TYPE_CHECKING:
    from .api import crossval, evaluate, extract, inspect, load, predict, quantize, resume, train
    from .builtin.augmenters import Equalise, Gain, Mask, Noise, NotebookNoise, Shift, Speed, Tempo
    from .builtin.dense import Mlp
    from .builtin.models import Tcn
    from .builtin.readers import FolderReader, TableReader
    from .builtin.synthetic import SyntheticReader
    from .contracts.components import (
        Augmenter,
        Clip,
        FrameAugmenter,
        Match,
        ModelBuilder,
        Reader,
        Reading,
        Subset,
        Utterance,
    )
    from .contracts.recipe import ComponentSpec, Recipe, Training, Use
    from .data.labels import EMOTIONS, SUBSET_WORDS, canonical_emotion
    from .inference.model import Model
    from .inference.run import Run
    from .plugins.bundles import open_bundle
    from .plugins.hookspecs import HOOK_API, hookimpl
    from .plugins.registry import Plugins, load_plugins
    from .runtime.audio.decode import Audio, read_audio
    from .runtime.audio.files import audio_files
    from .runtime.audio.formats import AUDIO_SUFFIXES
    from .runtime.component import Asset, AssetLoader, Component, configure, from_spec, to_spec
    from .runtime.errors import AudioError, MissingExtra, SertkError
    from .runtime.events import Device, DeviceStatus, Event, Outlet, Sink
    from .runtime.features.base import (
        F32,
        Extractor,
        FrameExtractor,
        Heatmap,
        Joined,
        Signal,
        Stack,
        StatefulExtractor,
        Stream,
        WindowExtractor,
    )
    from .runtime.features.functionals import Functionals
    from .runtime.features.spectral import Deltas, LogMel, Mfcc, Pitch, Rms, Zcr
    from .runtime.features.window import Window, WindowStream
    from .runtime.inference.inputs import features, signal_of
    from .runtime.inference.prediction import FailedPrediction, Prediction, TimedPrediction
    from .runtime.inference.tflite import find_runtime, load_interpreter
    from .training.backend import import_keras
    from .training.options import TrainOptions
    from .training.outputs import OutputError
    from .utils.files import cache_dir, write_bytes, write_text
    from .utils.progress import Callback
    from .utils.tables import Result


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ser_toolkit' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return list(__all__)
