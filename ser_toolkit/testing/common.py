"""Check what every component must have: a declaration, and a round trip through JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from ..contracts.components import Augmenter, FrameAugmenter, describe
from ..runtime.component import Component, from_spec, parts_of, to_spec
from ..runtime.errors import SertkError
from .check import Check, CheckFailed, expect
from .compare import raised

FORBIDDEN = ":,= \t\n"


def common_checks(component: Component) -> Iterator[Check]:
    """Yield `declared` and `json`."""
    yield Check(
        "declared",
        "a frozen dataclass with a name, a version and a docstring",
        lambda: _declared(component),
    )
    yield Check("json", "what goes through JSON comes back equal", lambda: _json(component))


def _declared(component: Component) -> None:
    kind = type(component)
    params = vars(kind).get("__dataclass_params__")
    expect(
        params is not None and params.frozen,
        f"{kind.__name__} to be a frozen dataclass",
        "a class without the decorator" if params is None else "one that is not frozen",
        "Write @dataclass(frozen=True) above the class",
    )
    check_name(component.name)
    version = component.version
    expect(
        type(version) is int and version >= 1,
        "version to be a whole number from 1 on",
        repr(version),
        "Write version: ClassVar[int] = 1, and add 1 whenever a number changes",
    )
    expect(
        describe(component) and not describe(component).startswith(f"{kind.__name__}("),
        f"{kind.__name__} to have a docstring",
        "none",
        "Say in one line what it does: `sertk plugins --json` shows it",
    )
    if isinstance(component, (Augmenter, FrameAugmenter)):
        _probability(component.p)


def check_name(name: object) -> None:
    """Refuse a name with a colon, comma, equals sign or space: users type it."""
    todo = 'Write name: ClassVar[str] = "loud": it is what users type'
    expect(isinstance(name, str) and name, "name to be a text that is not empty", repr(name), todo)
    bad = [char for char in FORBIDDEN if char in str(name)]
    expect(
        not bad,
        "a name without colon, comma, equals sign or space",
        repr(name),
        "Use letters, digits, '_', '-' and '.': users type it in --set extractor=A,B",
    )


def _probability(p: object) -> None:
    expect(
        isinstance(p, float) and 0 <= p <= 1,
        "p to be a probability from 0 to 1",
        repr(p),
        "Leave the field p as the base class has it; the toolkit draws whether it applies",
    )


def _json(component: Component) -> None:
    spec = to_spec(component)
    expected = f"the fields of {type(component).__name__} to hold JSON values"
    todo = "A field holds a number, text, bool, None, a tuple of these, an Asset or a component"
    try:
        text = json.dumps(spec, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise CheckFailed(expected, _unfit(spec) or str(error), todo) from error
    by_name = {part.name: part for part in parts_of(component)}
    try:
        again = from_spec(json.loads(text), by_name.__getitem__, exact=True)
    except SertkError as error:
        raise CheckFailed(
            "to_spec, JSON and from_spec to give the component again",
            str(error),
            "Annotate each field with the type that it holds; a sequence is tuple[float, ...]",
        ) from error
    expect(
        again == component,
        f"{component!r:.120} again after JSON",
        f"{again!r:.120}",
        "Give each field a type hint that says what it holds: tuple[float, ...], not list",
    )
    try:
        hash(component)
    except TypeError as error:
        raise CheckFailed(
            "a component that can be a key (features are kept under it)",
            raised(error),
            "Use a tuple where a field holds a list",
        ) from error


def _unfit(spec: dict[str, Any]) -> str:
    for key, value in spec.items():
        try:
            json.dumps(value, allow_nan=False)
        except (TypeError, ValueError) as error:
            return f"{key} = {value!r:.60} ({error})"
    return ""
