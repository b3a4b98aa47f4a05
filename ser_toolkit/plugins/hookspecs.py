"""Define the hooks: everything that a plugin may offer. `plugins/README.md` explains each hook.

HOOK_API goes up by one when a plugin written for the previous number may stop working: a hook
removed or renamed, or the meaning of a contract changed. A new hook, or a new argument of a hook,
does not bump it: pluggy passes an implementation only the arguments that it names.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pluggy

if TYPE_CHECKING:
    from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
    from ..contracts.recipe import Recipe
    from ..runtime.events import Sink
    from ..runtime.features.base import Extractor

HOOK_API = 1
"""The number of this contract; a module may set `SERTK_HOOK_API = 1`, the one it is written for."""
GROUP = "sertk"
COMMAND_GROUP = "sertk.commands"

hookspec = pluggy.HookspecMarker(GROUP)
hookimpl = pluggy.HookimplMarker(GROUP)
"""Marks a function of a plugin's module as a hook."""


@hookspec
def sertk_readers() -> list[Reader]:  # type: ignore[empty-body]
    """Return readers of corpora, as default instances.

    Called when data is to be read. `--data` finds them by what they recognise, `--reader` by name.
    """


@hookspec
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:  # type: ignore[empty-body]
    """Return augmenters of audio or of frames, as default instances.

    Called when a recipe with augmenters is assembled. They meet training clips only.
    """


@hookspec
def sertk_extractors() -> list[Extractor]:  # type: ignore[empty-body]
    """Return feature extractors, as default instances.

    Called when a recipe is assembled, a run or a bundle opened; on a device too.
    """


@hookspec
def sertk_models() -> list[ModelBuilder]:  # type: ignore[empty-body]
    """Return builders of networks, as default instances.

    Called when a recipe is assembled. A run and a bundle hold the network itself.
    """


@hookspec
def sertk_recipes() -> list[Recipe]:  # type: ignore[empty-body]
    """Return named sets of extractor, augmenters, model, training parameters and window.

    Called when a recipe is looked for. They name components, those of other plugins too.
    """


@hookspec
def sertk_sinks() -> list[Sink]:  # type: ignore[empty-body]
    """Return sinks of the daemon's events, as default instances.

    Called by `sertk serve-edge` for the sinks that its settings name.
    """
