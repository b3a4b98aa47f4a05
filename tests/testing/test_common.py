"""Components that are badly declared, or that JSON does not give back."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts.components import Augmenter
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.testing import checks_for


@dataclass(frozen=True)
class Louder(Augmenter):
    """Louder or softer."""

    name: ClassVar[str] = "louder"
    factor: float = 2.0

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        return samples * np.float32(rng.uniform(1 / self.factor, self.factor))


class Undecorated(Louder):
    """Adds a field that is none."""

    more: float = 1.0


@dataclass(frozen=True)
class Nameless(Louder):
    """Has no name."""

    name: ClassVar[str] = ""


@dataclass(frozen=True)
class Colon(Louder):
    """Has a name that looks like two."""

    name: ClassVar[str] = "mine:louder"


@dataclass(frozen=True)
class Listed(Louder):
    """Has a name that looks like a list."""

    name: ClassVar[str] = "loud,louder"


@dataclass(frozen=True)
class Versioned(Louder):
    """Has a version of two parts."""

    version: ClassVar[Any] = "1.0"


@dataclass(frozen=True)
class Silent(Louder):
    __doc__ = ""


@dataclass(frozen=True)
class Undocumented(Louder):
    pass


@dataclass(frozen=True)
class Sure(Louder):
    """Applies twice."""

    p: float = field(default=2.0, kw_only=True)


DECLARED: dict[str, Augmenter] = {
    "to be a frozen dataclass": Undecorated(),
    "a text that is not empty": Nameless(),
    "received 'mine:louder'": Colon(),
    "received 'loud,louder'": Listed(),
    "a whole number from 1 on, received '1.0'": Versioned(),
    "Silent to have a docstring": Silent(),
    "Undocumented to have a docstring": Undocumented(),
    "a probability from 0 to 1, received 2.0": Sure(),
}


@pytest.mark.parametrize("output_text", DECLARED)
def test_a_bad_declaration(failing: Any, output_text: str) -> None:
    found = failing(DECLARED[output_text])
    assert set(found) == {"declared"}
    assert output_text in str(found["declared"])


@dataclass(frozen=True)
class Filed(Louder):
    """Holds a path."""

    place: Path = Path("x")


@dataclass(frozen=True)
class Infinite(Louder):
    """Holds what JSON has no word for."""

    most: float = float("inf")


@dataclass(frozen=True)
class Mutable(Louder):
    """Holds a list, which cannot be a key."""

    steps: list[int] = field(default_factory=lambda: [1, 2])


@dataclass(frozen=True)
class Mistyped(Louder):
    """Declares one type and holds another."""

    count: int = "three"  # type: ignore[assignment]


@dataclass(frozen=True)
class Loose(Louder):
    """Declares nothing of what the tuple holds, so that JSON gives a list."""

    steps: Any = (1, 2)


JSON: dict[str, Augmenter] = {
    "place = PosixPath('x')": Filed(),
    "most = inf": Infinite(),
    "can be a key": Mutable(),
    "'louder.count' expects a whole number, received 'three'": Mistyped(),
    "Give each field a type hint": Loose(),
}


@pytest.mark.parametrize("output_text", JSON)
def test_a_bad_round_trip(failing: Any, output_text: str) -> None:
    found = failing(JSON[output_text])
    assert set(found) == {"json"}
    assert output_text in str(found["json"])


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Louder(factor=3.0)) == {}


@pytest.mark.parametrize("subject", [3, "louder", Louder])
def test_what_is_no_component_is_refused(subject: Any) -> None:
    with pytest.raises(SertkError, match="checks_for expects an extractor, augmenter"):
        list(checks_for(subject))
