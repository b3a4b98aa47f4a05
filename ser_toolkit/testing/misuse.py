"""Refuse wrong arguments of the kit, which would check nothing."""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable, Mapping
from typing import Any

from ..runtime.component import AssetLoader
from ..runtime.errors import SertkError
from .check import Check

KIND_OF = {"corpora": "reader", "peers": "sink", "inputs": "model"}
VALUE_OF = {
    "corpora": "a function that writes a corpus into a folder",
    "peers": "a context manager that gets a folder and gives a Peer",
    "inputs": '{"frames": (T, F)}',
}


def check_values(name: str, given: Any) -> None:
    """Refuse `corpora`, `peers` or `inputs` that is no mapping, or has a wrong value."""
    if not isinstance(given, Mapping):
        wanted = f'{{"{KIND_OF[name]}": {VALUE_OF[name]}}}'
        raise SertkError(f"{name} expects {wanted}, received {given!r:.80}")
    for key, value in given.items():
        valid = _are_shapes(value) if name == "inputs" else callable(value)
        if not valid:
            wanted = f"{name}[{key!r}] expects {VALUE_OF[name]}"
            raise SertkError(f"{wanted}, received {value!r:.80}")
        if name == "peers" and inspect.isgeneratorfunction(value):
            raise SertkError(
                f"{name}[{key!r}] expects {VALUE_OF[name]}, received a function that yields",
                "Write @contextlib.contextmanager above it",
            )


def contents_of(assets: Any) -> tuple[bytes, ...] | AssetLoader:
    """Return the contents in `assets`, or the loader that it is. SertkError for anything else."""
    if callable(assets):
        loader: AssetLoader = assets
        return loader
    several = isinstance(assets, Iterable) and not isinstance(assets, (bytes, str))
    contents = tuple(assets) if several else (assets,)
    wrong = [content for content in contents if not (several and isinstance(content, bytes))]
    if wrong:
        wanted = "assets expects a list of bytes, or a function that finds them"
        raise SertkError(f"{wanted}, received {wrong[0]!r:.80}", "Write assets=[path.read_bytes()]")
    return contents


def check_names(given: Mapping[str, Mapping[str, Any]], checks: Iterable[Check]) -> None:
    """Refuse arguments for a component that is not checked.

    A plugin that is broken has no components; its check `hooks` says so.
    """
    subjects = {check.subject for check in checks}
    if all(subject.startswith("plugin:") for subject in subjects):
        return
    for name, values in given.items():
        kind = KIND_OF[name]
        known = [each.partition(":")[2] for each in subjects if each.startswith(f"{kind}:")]
        for key in values:
            if key not in known:
                raise SertkError(
                    f"{name} has {key!r}, and no {kind} of that name is checked here",
                    _todo(key, sorted(known)),
                )


def _todo(key: Any, known: list[str]) -> str:
    near = difflib.get_close_matches(str(key), known, 1)
    if near:
        return f"Did you mean '{near[0]}'?"
    return f"There are: {', '.join(known)}" if known else "Leave it out"


def _are_shapes(value: Any) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(shape, tuple) and all(type(size) is int and size > 0 for size in shape)
        for shape in value.values()
    )
