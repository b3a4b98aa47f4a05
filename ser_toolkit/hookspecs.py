"""The seam: everything that a plugin may offer. `plugins/README.md` explains each hook.

HOOK_API goes up by one when a plugin written for the previous number may stop working: a hook
removed or renamed, or the meaning of a contract changed. A new hook, or a new argument of a hook,
does not bump it: pluggy passes an implementation only the arguments that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from .contracts import Augmenter, FrameAugmenter, ModelBuilder, Reader
    from .recipe import Recipe
    from .runtime.events import Sink
    from .runtime.extractor import Extractor

HOOK_API = 1
GROUP = "sertk"
COMMAND_GROUP = "sertk.commands"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)


@hookspec
def sertk_readers() -> list[Reader]:  # type: ignore[empty-body]
    """Dataset readers, as default instances."""


@hookspec
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:  # type: ignore[empty-body]
    """Augmenters of audio or of frames, as default instances."""


@hookspec
def sertk_extractors() -> list[Extractor]:  # type: ignore[empty-body]
    """Feature extractors, as default instances."""


@hookspec
def sertk_models() -> list[ModelBuilder]:  # type: ignore[empty-body]
    """Model builders, as default instances."""


@hookspec
def sertk_recipes() -> list[Recipe]:  # type: ignore[empty-body]
    """Named sets of extractor, augmenters, model, training parameters and window."""


@hookspec
def sertk_sinks() -> list[Sink]:  # type: ignore[empty-body]
    """Where the daemon's events go, as default instances."""
