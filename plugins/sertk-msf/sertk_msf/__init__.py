"""Modulation spectral features for SER Toolkit: the extractor `msf` and the recipe `msf`."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit.hookspecs import hookimpl
from ser_toolkit.recipe import Recipe
from ser_toolkit.runtime.extractor import Extractor

from .extractor import Msf

__all__ = ["Msf", "sertk_extractors", "sertk_recipes"]


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """The extractor, with the parameters of the paper."""
    return [Msf()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """The recipe of the same name."""
    text = files(__name__).joinpath("msf.toml").read_text(encoding="utf-8")
    return [Recipe.from_toml(text, "msf.toml")]
