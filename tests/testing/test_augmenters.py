"""Augmenters that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts.components import Augmenter
from ser_toolkit.runtime.component import Asset, AssetLoader
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.testing import NotChecked, asset, checks_for

Rng = np.random.Generator


@dataclass(frozen=True)
class Louder(Augmenter):
    """Louder or softer."""

    name: ClassVar[str] = "louder"

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples * np.float32(rng.uniform(0.5, 2))


@dataclass(frozen=True)
class Normal(Louder):
    """Divides by the peak of silence."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        with np.errstate(invalid="ignore"):
            return super().augment(samples, rate_hz, rng) / np.abs(samples).max()


@dataclass(frozen=True)
class Centred(Louder):
    """Divides by the spread of what stands still."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        still = len(samples) > 1 and np.ptp(samples) == 0 and samples[0] != 0
        return super().augment(samples, rate_hz, rng) * np.float32(np.nan if still else 1)


@dataclass(frozen=True)
class Tube(Louder):
    """The inverse of a soft limiter, which full scale has none of."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        with np.errstate(divide="ignore"):
            return np.arctanh(samples) * np.float32(rng.uniform(0.5, 1))


@dataclass(frozen=True)
class Shorter(Louder):
    """Cuts a tenth off."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples[: int(0.9 * len(samples))] * np.float32(rng.uniform(0.5, 2))


@dataclass(frozen=True)
class Impatient(Louder):
    """Takes half a minute at most."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        if len(samples) > 30 * rate_hz:
            raise MemoryError("clip too long")
        return super().augment(samples, rate_hz, rng)


@dataclass(frozen=True)
class Stubborn(Louder):
    """Knows one rate."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        if rate_hz != 16000:
            raise ValueError("16 kHz expected")
        return super().augment(samples, rate_hz, rng)


@dataclass(frozen=True)
class Worldly(Louder):
    """Draws from numpy's own generator."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples * np.float32(np.random.uniform(0.5, 2))


@dataclass(frozen=True)
class Seeding(Louder):
    """Seeds Python's generator, and with it everybody else's draws."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        random.seed(int(rng.integers(100)))
        return samples * np.float32(random.uniform(0.5, 2))


@dataclass(frozen=True)
class Greedy(Louder):
    """Writes into the samples."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        samples *= np.float32(rng.uniform(0.5, 2))
        return samples.copy()


@dataclass(frozen=True)
class Lender(Louder):
    """Gives a part of what it was given."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples[int(rng.integers(len(samples) // 2 + 1)) :]


@dataclass(frozen=True)
class Idle(Louder):
    """Does nothing."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples.copy()


@dataclass(frozen=True)
class Borrowed(Louder):
    """Says that it runs on a device, and needs what none has."""

    edge_ready: ClassVar[bool] = True

    def __post_init__(self) -> None:
        import joblib

        assert joblib


@dataclass(frozen=True)
class Fixed(Louder):
    """Louder by what its asset says."""

    factor: Asset | None = None

    def prepare(self, load: AssetLoader) -> Augmenter:
        if self.factor is None:
            raise SertkError("'fixed' needs a file")
        return Times(factor=float(load(self.factor)))

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        raise AssertionError("nobody prepared it")


@dataclass(frozen=True)
class Times(Augmenter):
    """Louder by a number."""

    name: ClassVar[str] = "times"
    factor: float = 2.0

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples * np.float32(self.factor)


@dataclass(frozen=True)
class Constant(Louder):
    """Seeds numpy's generator with the same number each time, and does not ask its own."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        np.random.seed(0)
        return samples * np.float32(np.random.uniform(0.5, 2))


@dataclass(frozen=True)
class ConstantInPython(Louder):
    """The same with Python's."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        random.seed(0)
        return samples * np.float32(random.uniform(0.5, 2))


@dataclass(frozen=True)
class Rarely(Louder):
    """Draws from numpy's own generator in some copies."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        if rng.random() < 0.5:
            return samples * np.float32(1.5)
        np.random.uniform()
        return samples * np.float32(0.5)


@dataclass(frozen=True)
class Decided(Louder):
    """Draws once, and stays with it."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        if not hasattr(self, "factor"):
            object.__setattr__(self, "factor", np.float32(rng.uniform(0.5, 2)))
        return samples * self.factor


@dataclass(frozen=True)
class Filling(Louder):
    """Fills the same array each time."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        found = super().augment(samples, rate_hz, rng)
        held = self.__dict__.get("held", found)
        held = held if held.shape == found.shape else found
        held[:] = found
        object.__setattr__(self, "held", held)
        return held


@dataclass(frozen=True)
class Cropped(Louder):
    """A part of any length, and so sometimes of none."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        return samples[: round(len(samples) * rng.uniform(0.3, 1))] * np.float32(1.5)


@dataclass(frozen=True)
class Muffled(Louder):
    """Divides full scale by what it drew: of two copies, one by nothing."""

    def augment(self, samples: F32, rate_hz: int, rng: Rng) -> F32:
        divisor = np.float32(rng.random() > 0.5 if np.ptp(samples) == 2 else 2)
        with np.errstate(divide="ignore"):
            return samples / divisor


BAD: list[tuple[str, Augmenter]] = [
    ("silence", Normal()),
    ("dc", Centred()),
    ("full_scale", Tube()),
    ("one_sample", Shorter()),
    ("long", Impatient()),
    ("other_rate", Stubborn()),
    ("generator", Worldly()),
    ("generator", Seeding()),
    ("generator", Constant()),
    ("generator", ConstantInPython()),
    ("generator", Rarely()),
    ("generator", Decided()),
    ("input_unchanged", Filling()),
    ("one_sample", Cropped()),
    ("full_scale", Muffled()),
    ("input_unchanged", Greedy()),
    ("input_unchanged", Lender()),
    ("effect", Idle()),
    ("pi", Borrowed()),
]


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Louder()) == {}


@pytest.mark.parametrize(("name", "bad"), BAD)
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str, bad: Augmenter) -> None:
    assert set(failing(bad)) == {name}


def test_one_with_an_asset_is_prepared_and_one_without_is_not_checked(failing: Any) -> None:
    assert failing(Fixed(factor=asset(b"3")), assets=[b"3"]) == {}
    assert set(failing(Fixed(factor=asset(b"1")), assets=[b"1"])) == {"effect"}
    for check in checks_for(Fixed()):
        if check.name not in ("declared", "json"):
            with pytest.raises(NotChecked, match="'factor' is empty"):
                check()


def test_messages_say_what_to_do(failing: Any) -> None:
    assert "Draw from rng alone" in str(failing(Worldly())["generator"])
    assert "the global generators" in str(failing(Seeding())["generator"])
    assert "Keep at least one sample" in str(failing(Shorter())["one_sample"])
    assert "shares memory" in str(failing(Lender())["input_unchanged"])
    assert "augment of 8000 samples at 8000 Hz" not in str(failing(Louder()))


def test_every_check_has_a_bad_augmenter() -> None:
    names = {check.name for check in checks_for(Borrowed())}
    assert names == {name for name, _ in BAD} | {"declared", "json"}
