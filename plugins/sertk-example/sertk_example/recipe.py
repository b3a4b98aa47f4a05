"""Offer a set of extractor, augmenters, model and training parameters: the file recipe.toml."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Recipe, hookimpl


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """Return the recipes of this package."""
    text = files(__package__).joinpath("recipe.toml").read_text("utf-8")
    return [Recipe.from_toml(text, "recipe.toml")]
