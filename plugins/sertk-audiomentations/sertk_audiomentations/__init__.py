"""Offer the transforms of audiomentations as one augmenter: a transform and its parameters."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Augmenter, FrameAugmenter, Recipe, hookimpl

from .transform import LEFT_OUT, Audiomentations

__all__ = ["LEFT_OUT", "Audiomentations", "sertk_augmenters", "sertk_recipes"]

SERTK_HOOK_API = 1
SERTK_RENAMED = {
    "audiomentations.*": 'Write name = "audiomentations", transform = "what stood after the dot" '
    "and its parameters as a table, params = { … }; recordings = … where it takes some"
}


@hookimpl
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:
    """Return the augmenter, with a transform that alters audio."""
    return [Audiomentations()]


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return `audiomentations`: the recipe `compact` with augmenters of the library."""
    text = files(__name__).joinpath("audiomentations.toml").read_text("utf-8")
    return [Recipe.from_toml(text, "audiomentations.toml")]
