"""From chunks of audio of any size to standardised windows, computing each frame once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ser_toolkit.runtime.adapter import Adapter
from ser_toolkit.runtime.extractor import F32, FrameExtractor
from ser_toolkit.runtime.window import Window, WindowStream


class AudioWindows:
    """What training does to a whole clip, done to an endless stream.

    `push` takes samples (n,) float32 at the extractor's rate and yields every window
    (length_frames, F) that they complete; the result does not depend on the chunk size.
    """

    def __init__(self, extractor: FrameExtractor, adapter: Adapter, window: Window) -> None:
        self._frames = extractor.stream()
        self._adapter = adapter
        self._state: Any = None
        self._windows = WindowStream(window)

    def push(self, chunk: NDArray[np.float32]) -> Iterator[F32]:
        """Every window that these samples complete, oldest first."""
        frames, self._state = self._adapter.apply(self._frames.push(chunk), self._state)
        yield from self._windows.push(frames)
