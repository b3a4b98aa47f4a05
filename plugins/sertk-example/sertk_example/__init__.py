"""Reader, augmenter, extractor, model, recipe, sink and command for SER Toolkit."""

from __future__ import annotations

from .augmenter import sertk_augmenters
from .extractor import sertk_extractors
from .model import sertk_models
from .reader import sertk_readers
from .recipe import sertk_recipes
from .sink import sertk_sinks

__all__ = [
    "SERTK_HOOK_API",
    "sertk_augmenters",
    "sertk_extractors",
    "sertk_models",
    "sertk_readers",
    "sertk_recipes",
    "sertk_sinks",
]

# The HOOK_API that this was written for: an older toolkit says to upgrade instead of failing.
SERTK_HOOK_API = 1
