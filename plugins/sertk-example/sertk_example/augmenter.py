"""Alter audio without altering its emotion, for training clips alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray
from ser_toolkit import Augmenter, FrameAugmenter, hookimpl


@dataclass(frozen=True)
class ExampleAugmenter(Augmenter):
    """Filter as a telephone line does: remove what is below `low_hz` and above `high_hz`.

    Each edge is drawn for each clip, up to `spread` of it away: lines differ.
    """

    name: ClassVar[str] = "example"
    version: ClassVar[int] = 1

    low_hz: float = 300.0
    high_hz: float = 3400.0
    spread: float = 0.2

    def __post_init__(self) -> None:
        if not (0 <= self.low_hz < self.high_hz and 0 <= self.spread < 1):
            raise ValueError("0 <= low_hz < high_hz and 0 <= spread < 1 expected")

    def augment(
        self, samples: NDArray[np.float32], rate_hz: int, rng: np.random.Generator
    ) -> NDArray[np.float32]:
        # Draw from rng alone: same generator, same bytes, on any number of processes.
        low_hz, high_hz = np.array([self.low_hz, self.high_hz]) * rng.uniform(
            1 - self.spread, 1 + self.spread, 2
        )
        spectrum = np.fft.rfft(samples)
        hz = np.fft.rfftfreq(len(samples), 1 / rate_hz)
        spectrum[(hz < low_hz) | (hz > high_hz)] = 0
        return np.fft.irfft(spectrum, len(samples)).astype(np.float32)


@hookimpl
def sertk_augmenters() -> list[Augmenter | FrameAugmenter]:
    """Return the augmenters of this package."""
    return [ExampleAugmenter()]
