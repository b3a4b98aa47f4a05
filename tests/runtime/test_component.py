"""Components: specs that survive JSON, parameters with types, errors that name what is right."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import FrozenInstanceError, dataclass, field
from typing import ClassVar, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.runtime.component import (
    Asset,
    Component,
    assets_of,
    configure,
    fields_of,
    from_spec,
    to_spec,
)
from ser_toolkit.runtime.errors import SertkError


@dataclass(frozen=True)
class Bank(Component):
    name: ClassVar[str] = "bank"
    version: ClassVar[int] = 3
    bands: int = 40
    low_hz: float = 20.0
    shape: Literal["mel", "bark"] = "mel"
    edges_hz: tuple[float, ...] = (100.0, 200.0)
    limit: int | None = None
    centred: bool = False
    weights: Asset | None = None
    options: Mapping[str, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.bands < 1:
            raise ValueError("bands must be at least 1")


@dataclass(frozen=True)
class Pair(Component):
    name: ClassVar[str] = "pair"
    of: Component = Bank()
    more: tuple[Component, ...] = ()


DEFAULTS: dict[str, Component] = {"bank": Bank(), "pair": Pair()}
ASSET = Asset("weights.npz", "ab" * 32, 10)
banks = st.builds(
    Bank,
    bands=st.integers(1, 10_000),
    low_hz=st.floats(allow_nan=False, allow_infinity=False),
    shape=st.sampled_from(["mel", "bark"]),
    edges_hz=st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=4).map(tuple),
    limit=st.none() | st.integers(),
    centred=st.booleans(),
    weights=st.none() | st.just(ASSET),
    options=st.dictionaries(st.text(max_size=3), st.integers(), max_size=2),
)


def resolve(name: str) -> Component:
    return DEFAULTS[name]


def through_json(component: Component) -> Component:
    return from_spec(json.loads(json.dumps(to_spec(component))), resolve, exact=True)


@given(banks)
def test_a_spec_survives_json(bank: Bank) -> None:
    assert through_json(bank) == bank


@given(banks, st.lists(banks, max_size=2))
def test_a_component_inside_another_survives_too(bank: Bank, more: list[Bank]) -> None:
    pair = Pair(Pair(bank), tuple(more))
    assert through_json(pair) == pair


def test_a_spec_says_name_version_and_every_field() -> None:
    spec = to_spec(Bank(limit=3))
    assert list(spec)[:2] == ["name", "version"]
    assert (spec["name"], spec["version"], spec["limit"]) == ("bank", 3, 3)
    assert set(spec) == {"name", "version", *fields_of(Bank())}


def test_another_version_is_refused() -> None:
    spec = {**to_spec(Bank()), "version": 2}
    with pytest.raises(SertkError, match="'bank' version 2 expected, version 3 installed"):
        from_spec(spec, resolve)


def test_a_version_inside_another_component_is_refused() -> None:
    spec = to_spec(Pair())
    spec["of"]["version"] = 1
    with pytest.raises(SertkError, match="'bank' version 1 expected"):
        from_spec(spec, resolve)


def test_a_spec_written_by_hand_may_leave_out_the_version_unless_it_must_be_exact() -> None:
    assert from_spec({"name": "bank", "bands": 8}, resolve) == Bank(bands=8)
    with pytest.raises(SertkError, match="version None expected"):
        from_spec({"name": "bank", "bands": 8}, resolve, exact=True)


def test_configure_leaves_the_original_alone() -> None:
    bank = Bank()
    assert configure(bank, {"bands": 8}).bands == 8  # type: ignore[attr-defined]
    assert bank == Bank()
    with pytest.raises(FrozenInstanceError):
        bank.bands = 1  # type: ignore[misc]


def test_an_unknown_parameter_lists_the_right_ones() -> None:
    with pytest.raises(SertkError) as caught:
        configure(Bank(), {"n_bands": 8})
    assert str(caught.value) == (
        "'bank' has no parameter 'n_bands'. "
        "It has: bands, low_hz, shape, edges_hz, limit, centred, weights, options"
    )


WRONG = (
    ("bands", "40", "'bank.bands' expects a whole number, received '40'"),
    ("bands", 40.0, "'bank.bands' expects a whole number, received 40.0"),
    ("bands", True, "'bank.bands' expects a whole number, received True"),
    ("low_hz", False, "'bank.low_hz' expects a number, received False"),
    ("centred", 1, "'bank.centred' expects true or false, received 1"),
    ("shape", "erb", "'bank.shape' expects one of mel, bark, received 'erb'"),
    ("edges_hz", 3, "'bank.edges_hz' expects a list"),
    ("edges_hz", [1, "x"], "'bank.edges_hz' expects a number, received 'x'"),
    ("limit", "x", "'bank.limit' expects a whole number, received 'x'"),
)


def test_a_wrong_type_says_what_is_expected_and_what_came() -> None:
    for key, value, message in WRONG:
        with pytest.raises(SertkError) as caught:
            configure(Bank(), {key: value})
        assert message in str(caught.value)


def test_whole_numbers_do_for_fractions_and_lists_for_tuples() -> None:
    bank = configure(Bank(), {"low_hz": 50, "edges_hz": [1, 2.5]})
    assert isinstance(bank, Bank)
    assert (bank.low_hz, bank.edges_hz) == (50.0, (1.0, 2.5))
    assert all(type(value) is float for value in (bank.low_hz, *bank.edges_hz))


def test_what_a_component_itself_refuses_is_an_error_for_users() -> None:
    with pytest.raises(SertkError, match="'bank': bands must be at least 1"):
        configure(Bank(), {"bands": 0})


def test_assets_are_found_at_any_depth() -> None:
    other = Asset("b", "cd" * 32, 1)
    pair = Pair(Pair(Bank(weights=ASSET)), (Bank(), Bank(weights=other)))
    assert list(assets_of(pair)) == [ASSET, other]
    assert list(assets_of(Bank())) == []
