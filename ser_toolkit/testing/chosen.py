"""Apply the options of `sertk plugins check`: set fields, and copy the user's corpus."""

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
from ..plugins.loader import PluginComponent
from ..plugins.sandbox import attempt
from ..runtime.component import Component, configure, fields_of
from ..runtime.errors import SertkError
from .assets import asset
from .given import MakeCorpus

MAX_CORPUS_BYTES = 500_000_000
"""Each check of a reader copies it again."""
Instead = dict[tuple[str, str], Component]


def configured(
    offers: Sequence[PluginComponent], settings: Sequence[str]
) -> tuple[Instead, list[bytes]]:
    """Return the components that settings change, by kind and name, and the bytes of files.

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
    readers = [item for item in components if isinstance(item, Reader) and item.needs_folder]
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
    matches = [item for item in known if key in (item[0], f"{item[1].kind}.{item[0]}")]
    if len(matches) == 1:
        return matches[0][1:]
    if matches:
        options = ", ".join(f"{offer.kind}.{place}" for place, offer, _ in matches)
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
    # A reader that raises is kept: its checks show the error.
    return attempt(lambda: reader.recognises(data)) is not None


def _is_too_large(data: Path) -> bool:
    """Say whether a folder is too large to copy. Links are followed, as in copying; loops end."""
    size = 0
    for folder, _, names in os.walk(data, followlinks=True):
        files = (Path(folder, name) for name in names)
        size += sum(path.stat().st_size for path in files if path.is_file())
        if size > MAX_CORPUS_BYTES:
            return True
    return False


def _copy(data: Path, folder: Path) -> None:
    shutil.copytree(data, folder, dirs_exist_ok=True, ignore_dangling_symlinks=True)
