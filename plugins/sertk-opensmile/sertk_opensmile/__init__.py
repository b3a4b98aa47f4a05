"""Offer the feature sets of openSMILE as an extractor: `opensmile`."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Extractor, Recipe, hookimpl

from .extractor import OpenSmile

__all__ = ["OpenSmile", "sertk_extractors", "sertk_recipes"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_extractors() -> list[Extractor]:
    """Return the functionals of a window, by default eGeMAPSv02."""
    return [OpenSmile()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return `opensmile`: eGeMAPSv02 into a small dense network."""
    text = files(__name__).joinpath("opensmile.toml").read_text("utf-8")
    return [Recipe.from_toml(text, "opensmile.toml")]
