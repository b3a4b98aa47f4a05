"""One validator: what a field's type and its bounds say is checked, and errors name the key."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import pytest

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.text import escape_control, plural, shorten
from ser_toolkit.runtime.validate import (
    UnknownKeyError,
    bounded,
    bounds,
    check_bounds,
    check_fields,
    from_mapping,
    refuse_unknown,
)


@dataclass(frozen=True)
class Plug:
    name: str = field(metadata=bounds(characters=(1, 9), pattern=re.compile("[a-z ]+")))
    pins: int = bounded(3, 1, 9)


@dataclass(frozen=True)
class Box:
    plugs: tuple[Plug, ...]
    main: Plug | None = None
    rate: float = bounded(2e-3, above=0)
    share: float = bounded(0.5, 0, 1)
    count: int = bounded(1, 1)
    depth_m: float = bounded(-3.5, high=0)
    shapes: Mapping[str, tuple[int, ...]] = field(
        default_factory=dict, metadata=bounds(1, 99, items=(1, 3))
    )
    limits: Mapping[str, float] = field(default_factory=dict, metadata=bounds(0, 1))
    mode: str = bounded("a", choices=("a", "b"))
    kind: Literal["x", "y"] = "x"
    file: Path | None = None
    least: int | None = bounded(None, 0, 5)
    free: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.count == 13:
            raise ValueError("13 is never good")


GOOD: dict[str, Any] = {"plugs": [{"name": "red"}]}


def refused(**changes: Any) -> str:
    with pytest.raises(SertkError) as caught:
        from_mapping(Box, {**GOOD, **changes}, "box")
    assert str(caught.value).isprintable() and len(str(caught.value)) < 300
    return str(caught.value)


def test_tables_become_dataclasses_lists_tuples_and_text_paths() -> None:
    box = from_mapping(
        Box,
        {
            "plugs": [{"name": "red"}, {"name": "blue", "pins": 5}],
            "main": {"name": "green"},
            "rate": 1,
            "shapes": {"frames": [24, 3]},
            "file": "a/b",
            "free": {"anything": [None]},
        },
        "box",
    )
    assert box.plugs == (Plug("red"), Plug("blue", 5))
    assert (box.main, box.shapes, box.file) == (Plug("green"), {"frames": (24, 3)}, Path("a/b"))
    assert (box.rate, type(box.rate), box.free) == (1.0, float, {"anything": [None]})


def test_each_wrong_value_is_one_line_that_names_its_key() -> None:
    for key, value, message in (
        ("plugs", {}, "'box.plugs' expects a list, received {}"),
        ("plugs", ["red"], "'box.plugs[0]' expects a table, received 'red'"),
        ("plugs", [{"name": 3}], "'box.plugs[0].name' expects text, received 3"),
        ("plugs", [{}], "'box.plugs[0]' lacks 'name'"),
        ("plugs", [{"name": ""}], "'box.plugs[0].name' expects 1 to 9 characters, received ''"),
        ("plugs", [{"name": "x" * 10**6}], "expects 1 to 9 characters, received 'xxx"),
        ("plugs", [{"name": "a\x1b"}], "expects printable text, received 'a\\x1b'"),
        ("plugs", [{"name": "A"}], "expects printable text of its kind, received 'A'"),
        ("plugs", [{"name": "a", "pins": 0}], "'box.plugs[0].pins' expects 1 to 9, received 0"),
        ("main", {"name": "A"}, "'box.main.name' expects printable text of its kind"),
        ("rate", 0, "'box.rate' expects more than 0, received 0"),
        ("rate", math.inf, "'box.rate' expects more than 0, received inf"),
        ("rate", math.nan, "'box.rate' expects more than 0, received nan"),
        ("rate", 10**400, "'box.rate' expects a number, received 1000"),
        ("rate", True, "'box.rate' expects a number, received True"),
        ("share", 1.5, "'box.share' expects 0 to 1, received 1.5"),
        ("share", math.nan, "'box.share' expects 0 to 1, received nan"),
        ("count", 0, "'box.count' expects 1 or more, received 0"),
        ("count", 1.0, "'box.count' expects a whole number, received 1.0"),
        ("count", True, "'box.count' expects a whole number, received True"),
        ("count", 13, "'box': 13 is never good"),
        ("depth_m", 1.0, "'box.depth_m' expects at most 0, received 1"),
        ("shapes", [], "'box.shapes' expects a table, received []"),
        ("shapes", {"a": []}, "'box.shapes.a' expects 1 to 3 items, received 0"),
        ("shapes", {"a": [0]}, "'box.shapes.a' expects 1 to 99, received 0"),
        ("shapes", {"\x1b[31m": [0]}, "'box.shapes.\\x1b[31m' expects 1 to 99"),
        ("limits", {"a": 2}, "'box.limits.a' expects 0 to 1, received 2"),
        ("mode", "c", "'box.mode' expects one of a, b, received 'c'"),
        ("kind", "z", "'box.kind' expects one of x, y, received 'z'"),
        ("file", 3, "'box.file' expects a path, received 3"),
        ("least", 6, "'box.least' expects 0 to 5, received 6"),
        ("free", [], "'box.free' expects a table, received []"),
    ):
        assert message in refused(**{key: value}), (key, value)
    with pytest.raises(SertkError, match="'box' expects a table, received 3"):
        from_mapping(Box, 3, "box")


def test_an_unknown_key_lists_the_right_ones_nearest_first() -> None:
    assert refused(shares=1).startswith("'box' has no parameter 'shares'. It has: share, shapes, ")
    assert "'box.plugs[0]' has no parameter 'pin'. It has: pins, name" in refused(
        plugs=[{"name": "a", "pin": 2}]
    )
    assert "has no parameter '\\x1b[2J'" in refused(**{"\x1b[2J": 1})
    assert "xxx…. It has: plugs, main" in refused(**{"x" * 10**5: 1})
    with pytest.raises(UnknownKeyError, match=r"a recipe has no key 'nam'\. It has: name, model"):
        refuse_unknown(["nam"], ["model", "name"], "a recipe", "key")


def test_a_complete_table_has_every_key_here_and_within() -> None:
    for table, missing in (
        ({"name": "a"}, "'plug' lacks 'pins'"),
        ({"pins": 3}, "'plug' lacks 'name'"),
    ):
        with pytest.raises(SertkError, match=missing):
            from_mapping(Plug, table, "plug", complete=True)
    assert from_mapping(Plug, {"name": "a", "pins": 4}, "plug", complete=True) == Plug("a", 4)


def test_some_fields_may_be_checked_alone() -> None:
    assert check_fields(Box, {"rate": 1}, "box") == {"rate": 1.0}
    with pytest.raises(SertkError, match=r"'box\.share' expects 0 to 1"):
        check_fields(Box, {"share": -1}, "box")


def test_what_was_built_by_hand_has_the_same_bounds() -> None:
    check_bounds(Box((Plug("a"),)), "box")
    for wrong in (Box((), rate=-1.0), Box((), shapes={"a": (0,)}), Box((), least=9)):
        with pytest.raises(SertkError, match=r"^'box\."):
            check_bounds(wrong, "box")


def test_text_for_people() -> None:
    assert escape_control("a\x1b[31m\n\u202eé") == "a\\x1b[31m\\n\\u202eé"
    assert escape_control("a\nb\r", keep="\n") == "a\nb\\r"
    assert shorten(" a\n b ") == "a b"
    assert shorten("x" * 400) == "x" * 299 + "…"
    assert [plural(n, "clip") for n in (0, 1, 2)] == ["0 clips", "1 clip", "2 clips"]
