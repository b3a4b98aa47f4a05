"""What is given to `sertk plugins check`: fields that are set, and a corpus of the user's."""

from __future__ import annotations

import dataclasses
import difflib
import os
import shutil
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.components import Reader
from ..contracts.recipe import Recipe, parse_value
from ..plugins.components import PluginComponent
from ..plugins.sandbox import attempt
from ..runtime.component import Component, configure, fields_of
from ..runtime.errors import SertkError
from .assets import asset
from .given import MakeCorpus

MAX_CORPUS_BYTES = 500_000_000
"""Each check of a reader takes a copy of its own."""
Instead = dict[tuple[str, str], Component]


def configured(
    offers: Sequence[PluginComponent], settings: Sequence[str]
) -> tuple[Instead, list[bytes]]:
    """Return the components in which something is set, by kind and name, and the bytes of files.

    A setting is COMPONENT.FIELD=VALUE, or KIND.COMPONENT.FIELD=VALUE where two kinds have the name;
    the value @FILE stands for the bytes of a file. Raises SertkError for anything else.
    """
    changed: Instead = {}
    contents: list[bytes] = []
    for setting in settings:
        key, _, text = setting.partition("=")
        offer, name = _field(offers, key.strip(), setting)
        place = (offer.kind, offer.name)
        value = _value(text.strip(), contents)
        changed[place] = configure(changed.get(place, offer.component), {name: value})
    return changed, contents


def corpora(components: Sequence[Any], data: Path | None) -> Mapping[str, MakeCorpus]:
    """Return `data` for the readers that recognise it, or for the only one.

    Raises SertkError where no reader does, and for what is no folder or too large to be copied.
    """
    if data is None:
        return {}
    if not data.is_dir():
        raise SertkError(f"'{data}' is no folder with a corpus", "Check the path")
    readers = [one for one in components if isinstance(one, Reader) and one.needs_folder]
    if not readers:
        raise SertkError("the plugin has no reader of folders", "Leave out --data")
    if len(readers) > 1:
        readers = [reader for reader in readers if _may_read(reader, data)]
    if not readers:
        raise SertkError(f"no reader of the plugin recognises '{data}'", "Check the folder")
    if _is_too_large(data):
        raise SertkError(
            f"checks copy the corpus: expected at most {MAX_CORPUS_BYTES / 1e6:.0f} MB, "
            f"'{data}' has more",
            "Give a folder with a part of it",
        )
    return dict.fromkeys((reader.name for reader in readers), partial(_copy, data))


def _field(
    offers: Sequence[PluginComponent], key: str, setting: str
) -> tuple[PluginComponent, str]:
    if "=" not in setting or "." not in key:
        raise SertkError(f"--set expects COMPONENT.FIELD=VALUE, received {setting!r}")
    known = [
        (f"{offer.name}.{field}", offer, field)
        for offer in offers
        if not isinstance(offer.component, Recipe)
        for field in fields_of(offer.component)
    ]
    found = [one for one in known if key in (one[0], f"{one[1].kind}.{one[0]}")]
    if len(found) == 1:
        return found[0][1:]
    if found:
        options = ", ".join(f"{offer.kind}.{place}" for place, offer, _ in found)
        raise SertkError(f"'{key}' is ambiguous", f"Choose from: {options}")
    places = [place for place, _, _ in known]
    near = difflib.get_close_matches(key, places, 5, 0.0)
    raise SertkError(
        f"the plugin has no '{key}'",
        f"Nearest: {', '.join(near)}" if near else "Leave out --set: nothing can be set there",
    )


def _value(text: str, contents: list[bytes]) -> Any:
    if not text.startswith("@"):
        return parse_value(text)
    path = Path(text[1:])
    try:
        content = path.read_bytes()
    except OSError as error:
        raise SertkError(f"cannot read '{path}': {error.strerror}", "Check the path") from error
    contents.append(content)
    return dataclasses.asdict(asset(content, path.name))


def _may_read(reader: Reader, data: Path) -> bool:
    found: list[Any] = []
    error = attempt(lambda: found.append(reader.recognises(data)))
    # One that raises is not passed over: its checks say so.
    return error is not None or found[0] is not None


def _is_too_large(data: Path) -> bool:
    """Follow links, as copying does; one that leads back to itself ends at the limit
    too.
    """
    size = 0
    for folder, _, names in os.walk(data, followlinks=True):
        files = (Path(folder, name) for name in names)
        size += sum(path.stat().st_size for path in files if path.is_file())
        if size > MAX_CORPUS_BYTES:
            return True
    return False


def _copy(data: Path, folder: Path) -> None:
    shutil.copytree(data, folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
