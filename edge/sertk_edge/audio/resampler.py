"""Audio of any rate to one rate, in a stream that gives the same whatever the chunks."""

from __future__ import annotations

import numpy as np
import soxr

from ser_toolkit.runtime.features.base import F32


class Resampler:
    """soxr HQ, as training uses it, with a memory. One stream of mono float32 samples."""

    def __init__(self, from_hz: int, to_hz: int) -> None:
        same = from_hz == to_hz
        self._stream = None if same else soxr.ResampleStream(from_hz, to_hz, 1, dtype="float32")

    def push(self, samples: F32) -> F32:
        """Return what these samples (n,) complete; some milliseconds stay inside."""
        return self._resampled(samples, last=False)

    def finish(self) -> F32:
        """Return what is still inside; nothing may follow."""
        return self._resampled(np.zeros(0, np.float32), last=True)

    def _resampled(self, samples: F32, last: bool) -> F32:
        if self._stream is None:
            return np.asarray(samples, np.float32)
        found: F32 = self._stream.resample_chunk(np.asarray(samples, np.float32), last=last)
        return found
