"""The last seconds of a stream, by the number of the sample."""

from __future__ import annotations

import numpy as np

from ser_toolkit.runtime.features.base import F32


class RingBuffer:
    """Holds the last `capacity` samples; the first sample that ever came has number 0."""

    def __init__(self, capacity: int) -> None:
        self._held = np.zeros(capacity, np.float32)
        self.end = 0

    def append(self, samples: F32) -> None:
        """Take samples (n,); the oldest make room."""
        capacity = len(self._held)
        kept = samples[-capacity:]
        first = self.end + len(samples) - len(kept)
        self._held[np.arange(first, first + len(kept)) % capacity] = kept
        self.end += len(samples)

    def read(self, start: int, end: int) -> F32:
        """Return samples start to end, as far as they are still held: float32 (<= end - start,)."""
        start = max(start, self.end - len(self._held), 0)
        end = min(end, self.end)
        found: F32 = self._held[np.arange(start, max(start, end)) % len(self._held)]
        return found
