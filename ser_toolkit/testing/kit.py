"""Collect the checks of a component, a recipe, a command or a plugin."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from ..contracts.components import Augmenter, FrameAugmenter, ModelBuilder, Reader
from ..contracts.recipe import Recipe
from ..plugins.errors import Broken
from ..plugins.registry import Plugins, load_plugins
from ..runtime.component import AssetLoader, Component
from ..runtime.errors import SertkError
from ..runtime.events import Sink
from ..runtime.features.base import FrameExtractor, WindowExtractor
from . import misuse
from . import plugin as plugins_of
from .augmenters import audio_checks, frame_augmenter_checks
from .check import Check
from .common import common_checks
from .device import device_checks
from .frames import frame_checks
from .given import Given, MakeCorpus, MakePeer, title
from .models import model_checks
from .readers import reader_checks
from .recipes import recipe_checks
from .sinks import sink_checks
from .windows import window_checks

KINDS: tuple[tuple[type, str, Callable[[Any, Given], Iterator[Check]]], ...] = (
    (FrameExtractor, "extractor", frame_checks),
    (WindowExtractor, "extractor", window_checks),
    (Augmenter, "augmenter", audio_checks),
    (FrameAugmenter, "augmenter", lambda component, given: frame_augmenter_checks(component)),
    (Reader, "reader", reader_checks),
    (ModelBuilder, "model", model_checks),
    (Sink, "sink", sink_checks),
)
CHECKED = "an extractor, augmenter, reader, model, recipe, sink, click command or plugin module"


def checks_for(
    subject: Any,
    *,
    assets: Iterable[bytes] | AssetLoader = (),
    corpora: Mapping[str, MakeCorpus] | None = None,
    peers: Mapping[str, MakePeer] | None = None,
    inputs: Mapping[str, Mapping[str, tuple[int, ...]]] | None = None,
    plugins: Callable[[], Plugins] | None = None,
) -> Iterator[Check]:
    """Yield the checks of a component, a recipe, a click command, or a plugin module's components.

    Without what it needs a check raises NotChecked.

    Args:
        subject: What is checked.
        assets: The bytes of `Asset` fields, or a function that finds them.
        corpora: A reader's name to a function that writes a small corpus into a folder.
        peers: A sink's name to a context manager that yields a `Peer`.
        inputs: A model's name to the shapes that it takes, without the batch.
        plugins: Returns the plugins that offer what a recipe names (default: those installed).

    Raises:
        SertkError: For another subject, or an argument that does not fit.
    """
    given = given_of(assets, corpora, peers, inputs, plugins)
    yield from fitting(list(checks_given(subject, given)), given)


def given_of(
    assets: Iterable[bytes] | AssetLoader = (),
    corpora: Mapping[str, MakeCorpus] | None = None,
    peers: Mapping[str, MakePeer] | None = None,
    inputs: Mapping[str, Mapping[str, tuple[int, ...]]] | None = None,
    plugins: Callable[[], Plugins] | None = None,
) -> Given:
    """Return the arguments of `checks_for` in one value. Raises SertkError for wrong ones."""
    contents = misuse.contents_of(assets)
    for name, values in {"corpora": corpora, "peers": peers, "inputs": inputs}.items():
        misuse.check_values(name, {} if values is None else values)
    if plugins is not None and not callable(plugins):
        raise SertkError(f"plugins expects a function, received {plugins!r:.80}")
    return Given(
        contents,
        corpora or {},
        peers or {},
        inputs or {},
        plugins or load_plugins,
    )


def fitting(checks: list[Check], given: Given) -> list[Check]:
    """Return the same checks. Raises SertkError for an argument that none of them uses."""
    names = {"corpora": given.corpora, "peers": given.peers, "inputs": given.inputs}
    misuse.check_names(names, checks)
    return checks


def checks_given(subject: Any, given: Given) -> Iterator[Check]:
    """Yield `checks_for`, with the arguments in one value."""
    if _is_command(subject):
        from .commands import command_checks

        yield from _named(f"command:{subject.name}", command_checks(subject))
    elif isinstance(subject, Recipe):
        yield from _named(f"recipe:{subject.name}", recipe_checks(subject, given))
    elif isinstance(subject, Component):
        yield from _of_component(subject, given)
    elif plugins_of.is_plugin(subject):
        yield from _of_plugin(subject, given)
    else:
        raise SertkError(f"checks_for expects {CHECKED}, received {subject!r:.80}")


def _of_component(component: Component, given: Given) -> Iterator[Check]:
    for base, kind, checks in KINDS:
        if isinstance(component, base):
            name = title(kind, component)
            yield from _named(name, common_checks(component))
            yield from _named(name, checks(component, given))
            yield from _named(name, device_checks(component, given))
            return
    raise SertkError(
        f"checks_for expects {CHECKED}, received {type(component).__name__}",
        "Derive it from FrameExtractor, WindowExtractor, Augmenter, FrameAugmenter, Reader, "
        "ModelBuilder or Sink",
    )


def _of_plugin(module: Any, given: Given) -> Iterator[Check]:
    found = plugins_of.offers(module)
    name = plugins_of.entry_point(module).name
    yield from _named(f"plugin:{name}", plugins_of.plugin_checks(module, found))
    if isinstance(found, Broken):
        return
    if given.plugins is load_plugins:
        given = dataclasses.replace(given, plugins=lambda: plugins_of.with_others(module))
    for offer in found:
        if isinstance(offer.component, Recipe):
            checks = recipe_checks(offer.component, given)
            yield from _named(f"recipe:{offer.name}", checks)
        else:
            component = given.instead.get((offer.kind, offer.name), offer.component)
            yield from _of_component(component, given)


def _named(subject: str, checks: Iterable[Check]) -> Iterator[Check]:
    return (dataclasses.replace(check, subject=subject) for check in checks)


def _is_command(subject: Any) -> bool:
    # Without importing click for those who check an extractor.
    return any(kind.__module__.startswith("click.") for kind in type(subject).__mro__)
