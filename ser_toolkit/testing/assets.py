"""Give components that hold an `Asset` their bytes, without a bundle."""

from __future__ import annotations

import hashlib
import typing
from collections.abc import Iterable

from ..runtime.component import Asset, AssetLoader, Component, assets_of, fields_of
from .check import NotChecked


def asset(content: bytes, name: str = "asset.bin") -> Asset:
    """Return the `Asset` that stands for `content` in a field; pass `assets=[content]` as well."""
    return Asset(name, hashlib.sha256(content).hexdigest(), len(content))


def loader_of(contents: Iterable[bytes] | AssetLoader) -> AssetLoader:
    """Return a loader that finds contents by their sha256."""
    if callable(contents):
        return contents
    held = {asset(content).sha256: content for content in contents}

    def load(wanted: Asset) -> bytes:
        if wanted.sha256 not in held:
            raise NotChecked(f"the bytes of '{wanted.name}' are not here: give assets=[BYTES]")
        return held[wanted.sha256]

    return load


def loaded(component: Component, load: AssetLoader) -> list[bytes]:
    """Return the bytes of every asset of a component."""
    return [load(wanted) for wanted in assets_of(component)]


def empty_fields(component: Component) -> list[str]:
    """Return the fields that may hold an asset and hold None."""
    hints = typing.get_type_hints(type(component))
    values = fields_of(component)
    return [key for key in values if values[key] is None and Asset in typing.get_args(hints[key])]
