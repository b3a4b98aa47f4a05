"""Offer modulation spectral features: the extractors `msf` and `msf_stats`, and recipes."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Extractor, ModelBuilder, Recipe, hookimpl

from .extractor import Msf
from .notebook import NotebookCnn, NotebookMsf
from .stats import MsfStats

__all__ = [
    "Msf",
    "MsfStats",
    "NotebookCnn",
    "NotebookMsf",
    "sertk_extractors",
    "sertk_models",
    "sertk_recipes",
]

SERTK_HOOK_API = 1


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return the paper's energies, its statistics, and what a notebook computes instead."""
    return [Msf(), MsfStats(), NotebookMsf()]


@hookimpl
def sertk_models() -> list[ModelBuilder]:
    """Return the notebook's network."""
    return [NotebookCnn()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return the recipe files beside this module."""
    tables = sorted(files(__name__).iterdir(), key=lambda file: file.name)
    return [
        Recipe.from_toml(file.read_text("utf-8"), file.name)
        for file in tables
        if file.name.endswith(".toml")
    ]
