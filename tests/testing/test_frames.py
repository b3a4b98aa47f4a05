"""Frame extractors that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest
from good_extractors import Loud, Slow

from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32, FrameExtractor, Signal
from ser_toolkit.testing import CheckFailed, NotChecked, asset, checks_for


@dataclass(frozen=True)
class WithoutFloor(Loud):
    """The logarithm of silence."""

    def of_rows(self, rows: F32) -> F32:
        with np.errstate(divide="ignore"):
            return np.log(np.square(rows).mean(axis=1))[:, None]


@dataclass(frozen=True)
class WithoutSpread(Loud):
    """Divides by a spread that a constant does not have."""

    def of_rows(self, rows: F32) -> F32:
        still = (np.ptp(rows, axis=1) == 0) & (rows[:, 0] != 0)
        return np.where(still[:, None], np.float32(np.nan), super().of_rows(rows))


@dataclass(frozen=True)
class Headroom(Loud):
    """How far it is to full scale, in dB."""

    def of_rows(self, rows: F32) -> F32:
        with np.errstate(divide="ignore"):
            return np.log10(1 - np.abs(rows).max(axis=1))[:, None]


@dataclass(frozen=True)
class Squeezed(Loud):
    """Loses an axis where there is one frame."""

    def frames(self, signal: Signal) -> F32:
        found = self.levels(signal.samples)
        return found[0] if len(found) == 1 else found


@dataclass(frozen=True)
class Shapeless(Loud):
    """Nothing, without columns."""

    def frames(self, signal: Signal) -> F32:
        found = self.levels(signal.samples)
        return found if len(found) else np.empty(0, np.float32)


@dataclass(frozen=True)
class Impatient(Loud):
    """Takes half a minute at most."""

    def frames(self, signal: Signal) -> F32:
        if len(signal) > 30 * self.rate_hz:
            raise MemoryError("clip too long")
        return self.levels(signal.samples)


@dataclass(frozen=True)
class Namesakes(Loud):
    """Two columns of one name."""

    @property
    def columns(self) -> tuple[str, ...]:
        return ("loud", "loud")

    def of_rows(self, rows: F32) -> F32:
        return np.repeat(super().of_rows(rows), 2, axis=1)


@dataclass(frozen=True)
class Rounding(Loud):
    """Rounds the number of frames."""

    def frames(self, signal: Signal) -> F32:
        count = max(0, 1 + round((len(signal) - self.frame_length) / self.hop_length))
        missing = max(0, self.sample_count(count) - len(signal))
        return self.levels(np.pad(signal.samples, (0, missing if count else 0)))


@dataclass(frozen=True)
class Dithered(Loud):
    """Adds noise that nobody can draw again."""

    def frames(self, signal: Signal) -> F32:
        noise = np.random.default_rng().uniform(0, 1e-3)
        return signal.memo(self, lambda: self.levels(signal.samples) + np.float32(noise)).copy()


@dataclass(frozen=True)
class Greedy(Loud):
    """Writes into the samples."""

    def frames(self, signal: Signal) -> F32:
        found = self.levels(signal.samples)
        signal.samples *= np.float32(0.5)
        signal.samples *= np.float32(2)
        signal.samples[-1:] = 0
        return found


@dataclass(frozen=True)
class Lender(Loud):
    """Gives away what others ask for, too."""

    def frames(self, signal: Signal) -> F32:
        return signal.memo(self, lambda: self.levels(signal.samples))


@dataclass(frozen=True)
class Tired(Loud):
    """Hears half from the second step on."""

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        found = self.levels(signal.samples)
        return (found if state is None else found / 2), "tired"


@dataclass(frozen=True)
class Overwriting(Slow):
    """Writes into its state."""

    def following(self, before: Any, level: Any) -> Any:
        before *= self.keep
        before += (1 - self.keep) * level
        return before


@dataclass(frozen=True)
class Forgetful(Slow):
    """Says that it remembers nothing."""

    keep: float = 0.98

    @property
    def warmup_frames(self) -> int:
        return 2


@dataclass(frozen=True)
class Borrowed(Loud):
    """Needs what no device has."""

    def frames(self, signal: Signal) -> F32:
        import joblib

        assert joblib
        return self.levels(signal.samples)


BAD: dict[str, FrameExtractor] = {
    "silence": WithoutFloor(),
    "dc": WithoutSpread(),
    "full_scale": Headroom(),
    "one_frame": Squeezed(),
    "one_sample": Shapeless(),
    "long": Impatient(),
    "columns": Namesakes(),
    "frame_count": Rounding(),
    "deterministic": Dithered(),
    "input_unchanged": Greedy(),
    "result_owned": Lender(),
    "streaming": Tired(),
    "state_unchanged": Overwriting(),
    "warmup": Forgetful(),
    "pi": Borrowed(),
}
MESSAGES = {
    "silence": "finite numbers alone, received -inf at [0, 0], 21 of 21 in all. Guard logarithms",
    "one_frame": "shape (T, F) = (1, 1), received (1,). T is 1 +",
    "long": "MemoryError: clip too long",
    "columns": "name of its own, received 'loud' twice",
    "frame_count": "received 1 frames. 1 + (N - frame_length) // hop_length, without padding",
    "input_unchanged": "received 1 of",
    "streaming": "in chunks of 1 sample to give what the whole clip gives, received -",
    "warmup": "forgotten after warmup_frames = 2, received column 'slow_db' off by",
    "pi": "'joblib' is not on a device, and blocked here. Do without",
}


@pytest.mark.parametrize("good", [Loud(), Slow(), Slow(keep=0.9)], ids=str)
def test_a_good_one_fails_nothing(failing: Any, good: FrameExtractor) -> None:
    assert failing(good) == {}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_one_fails_that_check_alone(failing: Any, name: str) -> None:
    found = failing(BAD[name])
    assert set(found) == {name}
    assert MESSAGES.get(name, "") in str(found[name])


def test_every_check_has_a_bad_extractor() -> None:
    assert {check.name for check in checks_for(Loud())} == set(BAD) | {"declared", "json"}


def test_one_that_is_not_for_devices_need_not_run_there() -> None:
    @dataclass(frozen=True)
    class Big(Loud):
        """Stays at home."""

        edge_ready: ClassVar[bool] = False

    assert "pi" not in {check.name for check in checks_for(Big())}


def test_a_class_inside_a_function_is_no_component_for_a_device(failing: Any) -> None:
    @dataclass(frozen=True)
    class Hidden(Loud):
        """No other process finds it."""

    (failed,) = failing(Hidden()).values()
    assert "a class at the top of a module" in str(failed)


@dataclass(frozen=True)
class Weighted(Loud):
    """Level times a number that comes as an asset."""

    factor: Asset | None = None
    held: float = 1.0

    def prepare(self, load: Any) -> Weighted:
        content = load(self.factor) if self.factor else b"1"
        return Weighted(self.rate_hz, self.frame_length, self.hop_length, None, float(content))

    def of_rows(self, rows: F32) -> F32:
        return super().of_rows(rows) * np.float32(self.held)


def test_an_asset_reaches_the_extractor_here_and_on_the_device(failing: Any) -> None:
    component = Weighted(factor=asset(b"0.25", "factor.txt"))
    assert failing(component, assets=[b"0.25"]) == {}
    by_name = {check.name: check for check in checks_for(component, assets=[b"0.25"])}
    by_name["pi"]()
    assert failing(component, assets=lambda wanted: b"0.25") == {}


def test_without_its_asset_nothing_is_checked_and_nothing_passes() -> None:
    component = Weighted(factor=asset(b"0.25", "factor.txt"))
    for check in checks_for(component):
        if check.name not in ("declared", "json", "columns"):
            with pytest.raises(Exception, match=r"give assets=\[BYTES\]"):
                check()


@dataclass(frozen=True)
class Needy(Weighted):
    """Does without its asset what others do with it: nothing."""

    def prepare(self, load: Any) -> Weighted:
        if self.factor is None:
            raise SertkError("'needy' needs a file", "Give --set extractor.factor=@FILE")
        return super().prepare(load)


def test_one_that_refuses_to_work_without_an_asset_is_not_checked(failing: Any) -> None:
    assert failing(Needy(factor=asset(b"0.25")), assets=[b"0.25"]) == {}
    for check in checks_for(Needy()):
        if check.name not in ("declared", "json", "columns"):
            with pytest.raises(NotChecked, match="'factor' is empty"):
                check()


def test_a_failure_says_what_was_expected_what_came_and_what_to_do() -> None:
    (check,) = [one for one in checks_for(WithoutFloor()) if one.name == "silence"]
    with pytest.raises(CheckFailed) as caught:
        check()
    assert caught.value.expected == "frames(signal) to hold finite numbers alone"
    assert caught.value.received.startswith("-inf at [0, 0]")
    assert caught.value.todo.startswith("Guard logarithms")
