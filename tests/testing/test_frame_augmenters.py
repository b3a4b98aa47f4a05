"""Augmenters of frames that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.contracts.components import FrameAugmenter
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.testing import checks_for

Rng = np.random.Generator


@dataclass(frozen=True)
class Jitter(FrameAugmenter):
    """Adds noise."""

    name: ClassVar[str] = "jitter"

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        return frames + rng.standard_normal(frames.shape, dtype=np.float32)


@dataclass(frozen=True)
class Cutting(Jitter):
    """Knows windows of up to 128 frames."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        return super().augment_frames(frames, rng)[:128]


@dataclass(frozen=True)
class Scaling(Jitter):
    """Divides by the size of a window, which zeros have none of."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        with np.errstate(invalid="ignore"):
            return frames / np.abs(frames).max() * np.float32(rng.uniform(0.5, 2))


@dataclass(frozen=True)
class Moving(Jitter):
    """Adds the step to the next frame, where there is one."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        steps = np.diff(frames, axis=0)
        last = steps[-1:] if len(steps) else np.empty((0, frames.shape[1]), np.float32)
        return np.concatenate([frames[:-1] + steps, frames[-1:] + last]) if len(steps) else last


@dataclass(frozen=True)
class Masking(Jitter):
    """Blanks one column that is not the first."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        out = frames.copy()
        out[:, rng.integers(1, frames.shape[1])] = 0
        return out


@dataclass(frozen=True)
class WorldlyFrames(Jitter):
    """Draws from numpy's own generator."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        return frames + np.float32(np.random.uniform(0.5, 2))


@dataclass(frozen=True)
class GreedyFrames(Jitter):
    """Writes into the window."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        frames += np.float32(rng.uniform(0.5, 2))
        return frames.copy()


@dataclass(frozen=True)
class IdleFrames(Jitter):
    """Does nothing."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        return frames.copy()


@dataclass(frozen=True)
class ConstantFrames(Jitter):
    """Seeds numpy's generator with the same number each time."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        np.random.seed(0)
        return frames + np.float32(np.random.uniform(0.5, 2))


@dataclass(frozen=True)
class DecidedFrames(Jitter):
    """Draws once, and stays with it."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        if not hasattr(self, "shift"):
            object.__setattr__(self, "shift", np.float32(rng.uniform(0.5, 2)))
        return frames + self.shift


@dataclass(frozen=True)
class FillingFrames(Jitter):
    """Fills the same array each time."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        found = super().augment_frames(frames, rng)
        held = self.__dict__.get("held", found)
        held = held if held.shape == found.shape else found
        held[:] = found
        object.__setattr__(self, "held", held)
        return held


@dataclass(frozen=True)
class Repeated(Jitter):
    """A part again and again until the window is full; of one frame it may take none."""

    def augment_frames(self, frames: F32, rng: Rng) -> F32:
        part = frames[: round(len(frames) * rng.uniform(0.4, 1))]
        return np.resize(part, frames.shape) if len(part) else part


MORE_FRAMES: list[tuple[str, FrameAugmenter]] = [
    ("generator", ConstantFrames()),
    ("generator", DecidedFrames()),
    ("input_unchanged", FillingFrames()),
    ("one_frame", Repeated()),
]
"""Further ways to be bad."""
BAD_FRAMES: dict[str, FrameAugmenter] = {
    "window": Cutting(),
    "zeros": Scaling(),
    "one_frame": Moving(),
    "one_column": Masking(),
    "generator": WorldlyFrames(),
    "input_unchanged": GreedyFrames(),
    "effect": IdleFrames(),
}


def test_a_good_one_of_frames_fails_nothing(failing: Any) -> None:
    assert failing(Jitter()) == {}


@pytest.mark.parametrize(("name", "bad"), [*BAD_FRAMES.items(), *MORE_FRAMES])
def test_a_bad_one_of_frames_fails_that_check_alone(
    failing: Any, name: str, bad: FrameAugmenter
) -> None:
    assert set(failing(bad)) == {name}


def test_every_check_has_a_bad_augmenter_of_frames() -> None:
    names = {check.name for check in checks_for(Jitter())}
    assert names == set(BAD_FRAMES) | {"declared", "json"}
