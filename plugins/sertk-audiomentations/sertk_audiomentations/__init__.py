"""The transforms of audiomentations as augmenters: `audiomentations.AddGaussianSNR` and others."""

from __future__ import annotations

from importlib.resources import files

from ser_toolkit import Augmenter, FrameAugmenter, Recipe, hookimpl

from . import filters, recordings, waveforms
from .transform import LEFT_OUT, Transform

__all__ = ["LEFT_OUT", "Transform", "sertk_augmenters", "sertk_recipes"]

SERTK_HOOK_API = 1

SERTK_EXPECTED_FAILURES = {
    "audiomentations.Clip:effect": "by default it cuts off what is beyond full scale alone",
    "audiomentations.PeakingFilter:other_rate": "its default frequencies lie above 4 kHz too",
}


@hookimpl
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:
    """Every transform that needs no code, with the defaults of the library."""
    modules = (filters, recordings, waveforms)
    kinds = [kind for module in modules for kind in vars(module).values()]
    # The bases have no name.
    named = (kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Transform))
    found = [kind() for kind in named if kind.name]
    return sorted(found, key=lambda one: one.name)


@hookimpl
def sertk_recipes() -> list[Recipe]:
    """`audiomentations`: the recipe `compact` with augmenters of the library."""
    text = files(__name__).joinpath("audiomentations.toml").read_text("utf-8")
    return [Recipe.from_toml(text, "audiomentations.toml")]
