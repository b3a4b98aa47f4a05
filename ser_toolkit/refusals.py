"""What a user is told who asks the plugins for what they cannot give."""

from __future__ import annotations

import difflib
import fnmatch
from collections.abc import Iterable, Mapping
from typing import NoReturn

from .hookspecs import COMMAND_GROUP
from .loading import Broken, Loaded, installed, origin
from .offers import Offer
from .runtime.errors import SertkError

MEND = "Mend, upgrade or uninstall it"
FIRST_PARTY = {
    "msf": "sertk-msf",
    "lstm": "sertk-lstm",
    "corpora": "sertk-corpora",
    "augment": "sertk-augment",
    "audiomentations": "sertk-audiomentations",
    "embedding": "sertk-embedding",
    "opensmile": "sertk-opensmile",
    "audformat": "sertk-audformat",
    "datasets": "sertk-datasets",
}


def unknown(
    kind: str,
    name: str,
    known: Iterable[str],
    loaded: Iterable[Loaded],
    broken: Iterable[Broken],
) -> NoReturn:
    """Nobody offers `name`; a plugin that is broken or not installed might."""
    if name in FIRST_PARTY and not any(one.is_called(FIRST_PARTY[name]) for one in loaded):
        todo = f"Run `pip install {FIRST_PARTY[name]}`"
    else:
        todo = f"Known: {', '.join(_nearest_first(name, known)) or 'none'}"
    suspects = ", ".join(f"'{one.plugin}' ({one.error})" for one in broken)
    if suspects:
        todo += f". It may be in a broken plugin: {suspects}"
    raise SertkError(f"there is no {kind} '{name}'", todo)


def renamed(kind: str, name: str, renamings: Iterable[Mapping[str, str]]) -> None:
    """Refuse a name that a plugin no longer offers, with its author's line on what to write now."""
    for renaming in renamings:
        for pattern, todo in renaming.items():
            if fnmatch.fnmatchcase(name, pattern):
                raise SertkError(f"there is no {kind} '{name}' any more", todo)


def _nearest_first(name: str, known: Iterable[str]) -> list[str]:
    names = sorted(set(known))
    near = difflib.get_close_matches(name, names, 3)
    return near + [other for other in names if other not in near]


def clash(kind: str, found: list[Offer]) -> NoReturn:
    """Several plugins offer one name."""
    origins = [offer.plugin.distribution for offer in found]
    if len(set(origins)) == 1:
        origins = [offer.plugin.plugin for offer in found]
    choices = " or ".join(f"{origin}:{found[0].name}" for origin in origins)
    raise SertkError(
        f"{kind} '{found[0].name}' is offered by {' and '.join(origins)}", f"Type {choices}"
    )


def command(name: str) -> None:
    """Refuse `name` if it is a command, or a distribution of commands."""
    for point in installed(COMMAND_GROUP):
        if point.name == name or origin(point).is_called(name):
            raise SertkError(
                f"'{name}' offers a command and nothing to train with",
                f"Run `sertk {point.name}`",
            )


def useless(plugin: Loaded, offers: Iterable[Offer]) -> NoReturn:
    """The plugin has nothing that training could use."""
    sinks = [offer.name for offer in offers if offer.kind == "sink"]
    if not sinks:
        command(plugin.distribution)
        raise SertkError(
            f"plugin '{plugin.plugin}' offers nothing", "Ask its author what it is for"
        )
    raise SertkError(
        f"plugin '{plugin.plugin}' offers only sinks ({', '.join(sinks)}), which carry the "
        "a device's events and cannot be trained with",
        "Train with another plugin",
    )
