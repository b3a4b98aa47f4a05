"""Window extractors that are bad in one way each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.runtime.features.base import F32, Signal, WindowExtractor
from ser_toolkit.testing import checks_for

HELD: set[bytes] = set()


@dataclass(frozen=True)
class Spread(WindowExtractor):
    """Mean and spread of the samples of a window."""

    name: ClassVar[str] = "spread"
    takes_short: ClassVar[bool] = True
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256

    @property
    def columns(self) -> tuple[str, ...]:
        return ("mean", "spread")

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"spread": self.vector(signal.samples)}

    def vector(self, samples: F32) -> F32:
        return np.array([samples.mean(), samples.std()], np.float32)


@dataclass(frozen=True)
class Decibels(Spread):
    """The logarithm of silence."""

    def vector(self, samples: F32) -> F32:
        with np.errstate(divide="ignore"):
            return np.log(np.array([np.abs(samples).max(), np.abs(samples).mean()], np.float32))


@dataclass(frozen=True)
class WithoutSpread(Spread):
    """Divides by a spread that a constant does not have."""

    def vector(self, samples: F32) -> F32:
        still = np.ptp(samples) == 0 and samples[0] != 0
        return super().vector(samples) * np.float32(np.nan if still else 1)


@dataclass(frozen=True)
class Headroom(Spread):
    """How far it is to full scale."""

    def vector(self, samples: F32) -> F32:
        with np.errstate(divide="ignore"):
            return np.log(1 - np.abs(samples[:2].max(initial=0.1, keepdims=True))).repeat(2)


@dataclass(frozen=True)
class Wide(Spread):
    """Gives float64."""

    def vector(self, samples: F32) -> Any:
        return super().vector(samples).astype(np.float64)


@dataclass(frozen=True)
class Bare(Spread):
    """Gives an array without a name."""

    def arrays(self, signal: Signal) -> Any:
        return self.vector(signal.samples)


@dataclass(frozen=True)
class Growing(Spread):
    """Gives a value per frame, whatever the length."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        count = min(2, self.frame_count(len(signal)))
        return {"spread": self.vector(signal.samples)[:count]}


@dataclass(frozen=True)
class Full(Spread):
    """Has room for some windows, and lets go of them when it is full."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        HELD.add(signal.samples.tobytes())
        if len(HELD) > 20:
            HELD.clear()
            raise MemoryError("no room for another window")
        return super().arrays(signal)


@dataclass(frozen=True)
class Nameless(Spread):
    """Names one of two values."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("mean",)


@dataclass(frozen=True)
class Dithered(Spread):
    """Adds noise that nobody can draw again."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        noise = np.float32(1 + np.random.default_rng().uniform(1e-6, 1e-5))
        kept = signal.memo(self, lambda: self.vector(signal.samples) * noise)
        return {"spread": kept.copy()}


@dataclass(frozen=True)
class Greedy(Spread):
    """Writes into the samples."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        found = signal.memo(self, lambda: self.vector(signal.samples)).copy()
        signal.samples[:10] = np.float32(0.25)
        return {"spread": found}


@dataclass(frozen=True)
class Lender(Spread):
    """Gives away what others ask for, too."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"spread": signal.memo(self, lambda: self.vector(signal.samples))}


@dataclass(frozen=True)
class Borrowed(Spread):
    """Needs what no device has."""

    def vector(self, samples: F32) -> F32:
        import joblib

        assert joblib
        return super().vector(samples)


@dataclass(frozen=True)
class Seeding(Spread):
    """Dithers with noise that is always the same, and so are everybody else's draws after it."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        np.random.seed(0)
        return {"spread": self.vector(signal.samples) + np.float32(np.random.uniform(0, 1e-6))}


@dataclass(frozen=True)
class Fitted(Spread):
    """Relative to the first window of two seconds that it heard."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        found = self.vector(signal.samples)
        if np.ptp(signal.samples) not in (0, 2) and not hasattr(self, "first"):
            object.__setattr__(self, "first", found)
        return {"spread": found - getattr(self, "first", np.float32(0))}


@dataclass(frozen=True)
class Filling(Spread):
    """Fills the same array each time."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        held = self.__dict__.get("held", np.empty(2, np.float32))
        held[:] = self.vector(signal.samples)
        object.__setattr__(self, "held", held)
        return {"spread": held}


@dataclass(frozen=True)
class Tabular(Spread):
    """Computes with a library that is not made for devices."""

    def vector(self, samples: F32) -> F32:
        import pandas

        assert pandas
        return super().vector(samples)


@dataclass(frozen=True)
class Numbered(Spread):
    """Calls its array otherwise each time."""

    def arrays(self, signal: Signal) -> dict[str, F32]:
        count = self.__dict__.get("count", 0) + 1
        object.__setattr__(self, "count", count)
        return {f"spread{count}": self.vector(signal.samples)}


BAD: dict[str, WindowExtractor] = {
    "silence": Decibels(),
    "dc": WithoutSpread(),
    "full_scale": Headroom(),
    "one_sample": Growing(),
    "long": Full(),
    "columns": Nameless(),
    "deterministic": Dithered(),
    "input_unchanged": Greedy(),
    "result_owned": Lender(),
    "pi": Borrowed(),
}
MORE: list[tuple[str, WindowExtractor]] = [
    ("deterministic", Seeding()),
    ("deterministic", Fitted()),
    ("result_owned", Filling()),
    ("pi", Tabular()),
]
"""Further ways to be bad."""
MESSAGES = {
    "one_sample": "{'spread': (2,)}, received {'spread': (1,)} for a clip of 1 samples",
    "columns": "a column name for each of 2 values",
    "long": "no room for another window",
}


@pytest.fixture(autouse=True)
def room() -> None:
    HELD.clear()


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Spread()) == {}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str) -> None:
    found = failing(BAD[name])
    assert set(found) == {name}
    assert MESSAGES.get(name, "") in str(found[name])


@pytest.mark.parametrize(("name", "bad"), MORE, ids=lambda one: type(one).__name__)
def test_whoever_is_bad_in_another_way_is_found_too(
    failing: Any, name: str, bad: WindowExtractor
) -> None:
    assert set(failing(bad)) == {name}


def test_names_that_change_are_said_to_change_by_every_check_that_meets_them(failing: Any) -> None:
    found = failing(Numbered())
    assert {"silence", "long", "deterministic", "result_owned", "pi"} <= set(found)
    for failed in found.values():
        assert "the same names and shapes for every window: {'spread" in str(failed)


@pytest.mark.parametrize(
    ("bad", "output_text"),
    [(Wide(), "received dtype float64. End with .astype"), (Bare(), "a dict from names to arrays")],
)
def test_an_answer_that_is_wrong_for_every_window(failing: Any, bad: Any, output_text: str) -> None:
    """No window is right, so that the other checks that look at one fail too."""
    found = failing(bad)
    assert "one_window" in found
    assert output_text in str(found["one_window"])


def test_every_check_has_a_bad_extractor() -> None:
    names = {check.name for check in checks_for(Spread())}
    assert names == set(BAD) | {"one_window", "declared", "json"}
