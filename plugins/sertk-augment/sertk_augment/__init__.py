"""Offer augmenters that need more than numpy: `stretch`, `pitch`, `notebook_pitch`."""

from __future__ import annotations

from ser_toolkit import Augmenter, FrameAugmenter, hookimpl

from .augmenters import NotebookPitch, Pitch, Stretch

__all__ = ["NotebookPitch", "Pitch", "Stretch", "sertk_augmenters"]

SERTK_HOOK_API = 1


@hookimpl
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:
    """Return time stretch and pitch shift, as default instances."""
    return [Stretch(), Pitch(), NotebookPitch()]
