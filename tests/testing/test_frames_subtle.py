"""Frame extractors with the faults that are made most often, and some that hide well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from good_extractors import Loud, Slow

from ser_toolkit.runtime.features.base import F32, FrameExtractor, Signal
from ser_toolkit.testing import NotChecked, checks_for


@dataclass(frozen=True)
class Floored(Loud):
    """Nothing is softer than 60 dB below the loudest frame of the clip."""

    def levels(self, samples: F32) -> F32:
        found = super().levels(samples)
        return np.maximum(found, found.max(initial=-100) - np.float32(60))


@dataclass(frozen=True)
class Centred(Loud):
    """Takes the mean of the clip away."""

    def levels(self, samples: F32) -> F32:
        return super().levels(samples - samples.mean() if len(samples) else samples)


@dataclass(frozen=True)
class Alike(Loud):
    """As loud as any other clip."""

    def levels(self, samples: F32) -> F32:
        found = super().levels(samples)
        return found - found.mean() if len(found) else found

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        return super().levels(signal.samples), None


@dataclass(frozen=True)
class Foreseeing(Loud):
    """The louder of a frame and the next."""

    def levels(self, samples: F32) -> F32:
        found = super().levels(samples)
        return np.maximum(found, np.concatenate([found[1:], found[-1:]]))


@dataclass(frozen=True)
class Reflected(Loud):
    """Centres its frames, with the clip mirrored at both ends."""

    def levels(self, samples: F32) -> F32:
        half, count = self.frame_length // 2, self.frame_count(len(samples))
        padded = np.pad(samples, half, mode="reflect") if count else samples
        return super().levels(padded)[:count]


@dataclass(frozen=True)
class Precise(Loud):
    """Gives float64 in a stream."""

    def step(self, signal: Signal, state: Any) -> tuple[Any, Any]:
        return self.levels(signal.samples).astype(np.float64), None


@dataclass(frozen=True)
class Trimmed(Loud):
    """Cuts the soft end off."""

    def frames(self, signal: Signal) -> F32:
        samples = signal.samples
        results = np.flatnonzero(np.abs(samples) > 1e-3 * np.abs(samples).max(initial=0))
        end = -(-(results[-1] + 1) // 256) * 256 if len(results) else len(samples)
        return self.levels(samples[:end])


@dataclass(frozen=True)
class Seeding(Loud):
    """Dithers with noise that is always the same, and so are everybody else's draws after it."""

    def frames(self, signal: Signal) -> F32:
        np.random.seed(0)
        return self.levels(signal.samples) + np.float32(np.random.uniform(0, 1e-6))


@dataclass(frozen=True)
class Fitted(Loud):
    """Relative to the first clip that it heard in full."""

    def frames(self, signal: Signal) -> F32:
        found = self.levels(signal.samples)
        if len(found) == 41 and not hasattr(self, "first"):
            object.__setattr__(self, "first", found.mean())
        return found - getattr(self, "first", np.float32(0)) if len(found) == 41 else found


@dataclass(frozen=True)
class Filling(Loud):
    """Fills the same array each time."""

    def frames(self, signal: Signal) -> F32:
        found = self.levels(signal.samples)
        held = self.__dict__.get("held", found)
        if held.shape != found.shape:
            held = found
        held[:] = found
        object.__setattr__(self, "held", held)
        return held


@dataclass(frozen=True)
class Sharing(Slow):
    """Its state is the last frame that it gave, and not a copy of it."""

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        frames, _ = super().step(signal, state)
        return frames, frames[-1]


@dataclass(frozen=True)
class Falling(Slow):
    """Holds a peak, and forgets it by and by: what was loud for longer than what was soft."""

    def following(self, before: Any, level: Any) -> Any:
        return np.maximum(before - 0.1, level)


@dataclass(frozen=True)
class Extra(Slow):
    """Gives one frame more where there are many."""

    def frames(self, signal: Signal) -> F32:
        found = super().frames(signal)
        return np.concatenate([found, found[-1:]]) if 55 < len(found) < 60 else found


@dataclass(frozen=True)
class Tabular(Loud):
    """Computes with a library that is not made for devices."""

    def frames(self, signal: Signal) -> F32:
        import pandas

        assert pandas
        return self.levels(signal.samples)


BAD: list[tuple[set[str], FrameExtractor]] = [
    ({"streaming"}, Floored()),
    ({"streaming", "warmup"}, Centred()),
    ({"streaming", "warmup"}, Alike()),
    ({"streaming"}, Foreseeing()),
    ({"streaming", "warmup"}, Reflected()),
    ({"streaming"}, Precise()),
    ({"frame_count"}, Trimmed()),
    ({"deterministic"}, Seeding()),
    ({"deterministic"}, Fitted()),
    ({"result_owned"}, Filling()),
    ({"result_owned"}, Sharing()),
    ({"warmup"}, Falling()),
    ({"warmup"}, Extra()),
    ({"pi"}, Tabular()),
]


@pytest.mark.parametrize(("names", "bad"), BAD, ids=lambda one: type(one).__name__)
def test_a_bad_one_fails_those_checks_alone(
    failing: Any, names: set[str], bad: FrameExtractor
) -> None:
    assert set(failing(bad)) == names


def test_a_frame_too_many_is_said_in_words(failing: Any) -> None:
    assert "from a stream that begins later, received (40, 1)" in str(failing(Extra())["warmup"])


def test_what_is_not_a_warm_up_is_not_called_one() -> None:
    """Where hops are long, fewer frames do; where they are too long, it says so."""
    (check,) = [one for one in checks_for(Loud(hop_length=80_000)) if one.name == "warmup"]
    check()
    (check,) = [one for one in checks_for(Loud(hop_length=800_000)) if one.name == "warmup"]
    with pytest.raises(NotChecked, match=r"6 frames \(warmup_frames is 0\) last 250 s"):
        check()
