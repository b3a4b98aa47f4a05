"""Offer LSTM networks: over MFCC frames, and over their means as a notebook has it."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Extractor, ModelBuilder, Recipe, hookimpl

from .extractor import MfccMean
from .model import Lstm

__all__ = ["Lstm", "MfccMean", "sertk_extractors", "sertk_models", "sertk_recipes"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return the extractor of the notebook's means of MFCC."""
    return [MfccMean()]


@hookimpl
def sertk_models() -> list[ModelBuilder]:
    """Return the network of both recipes."""
    return [Lstm()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return `lstm` and `lstm-notebook`."""
    names = ("lstm.toml", "lstm-notebook.toml")
    folder = files(__name__)
    return [Recipe.from_toml(folder.joinpath(name).read_text("utf-8"), name) for name in names]
