"""What the daemon tells the world, and who carries it there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from .component import Component


@dataclass(frozen=True)
class Event:
    """A change in the emotion heard. `id` is stable across redelivery, `sequence` counts up."""

    id: str
    sequence: int
    kind: Literal["started", "changed", "ended"]
    time_s: float
    label: str
    probabilities: Mapping[str, float]
    level_dbfs: float


class Sink(Component):
    """Carries events away. `deliver` raises when an event was not taken; it is then tried again."""

    def open(self) -> None:
        """Connect; called once before the first event."""

    def deliver(self, event: Event) -> None:
        """Hand over one event, in order; return only when it was taken."""
        raise NotImplementedError

    def close(self) -> None:
        """Let go of what `open` took."""
