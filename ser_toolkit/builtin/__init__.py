"""Offer the built-in components through the same entry points as any plugin.

Each hook imports what it offers, so that the daemon, which uses extractors, loads no reader.
"""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from ..plugins.hookspecs import hookimpl

if TYPE_CHECKING:
    from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
    from ..contracts.recipe import Recipe
    from ..runtime.features.base import Extractor


@hookimpl
def sertk_readers() -> list[Reader]:
    """Return the readers of folders named after emotions, tables, and the synthetic corpus."""
    from .readers import FolderReader, TableReader
    from .synthetic import SyntheticReader

    return [FolderReader(), TableReader(), SyntheticReader()]


@hookimpl
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:
    """Return augmenters by numpy and soxr; stretching, pitch and rooms are in sertk-augment."""
    from . import augmenters as a

    return [
        a.Noise(),
        a.NotebookNoise(),
        a.Shift(),
        a.Gain(),
        a.Speed(),
        a.Equalise(),
        a.Mask(),
        a.Tempo(),
    ]


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return streamable extractors that share one STFT, and statistics over a window."""
    from ..runtime.features import spectral as f
    from ..runtime.features.functionals import Functionals

    return [f.Zcr(), f.Rms(), f.Mfcc(), f.LogMel(), f.Pitch(), f.Deltas(), Functionals()]


@hookimpl
def sertk_models() -> list[ModelBuilder]:
    """Return the default network, and a dense one for features of whole windows."""
    from .dense import Mlp
    from .models import Tcn

    return [Tcn(), Mlp()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return the recipes of the TOML files beside this module."""
    from ..contracts.recipe import Recipe

    tables = sorted(files(__package__).iterdir(), key=lambda file: file.name)
    return [
        Recipe.from_toml(file.read_text("utf-8"), file.name)
        for file in tables
        if file.name.endswith(".toml")
    ]
