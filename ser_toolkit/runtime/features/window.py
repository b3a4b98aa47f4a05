"""Cut windows from frames: the only copy, for training and for the device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ..validate import bounded, check_bounds
from .base import F32

MAX_FRAMES = 1_000_000


@dataclass(frozen=True)
class Window:
    """Define the network's input in time, in whole frames.

    Raises SertkError for less than one frame, or more than MAX_FRAMES.

    Attributes:
        length_frames: Frames of a window.
        hop_frames: Frames from one window to the next.
        short: How frames that do not fill one window are lengthened: `tile` repeats them, `zero`
            appends zeros (after standardisation: the mean of each column).
    """

    length_frames: int = bounded(188, 1, MAX_FRAMES)
    hop_frames: int = bounded(94, 1, MAX_FRAMES)
    short: Literal["tile", "zero"] = bounded("tile", choices=("tile", "zero"))

    def __post_init__(self) -> None:
        check_bounds(self, "window")

    def starts(self, n_frames: int) -> list[int]:
        """Return the first frames of the windows of a clip; the last window ends with the clip."""
        last = max(0, n_frames - self.length_frames)
        starts = list(range(0, last + 1, self.hop_frames))
        return starts if starts[-1] == last else [*starts, last]

    def fill(self, frames: F32) -> F32:
        """Lengthen `frames` (T, F) to at least one window."""
        missing = self.length_frames - len(frames)
        if missing <= 0:
            return frames
        if self.short == "zero":
            return np.pad(frames, ((0, missing), (0, 0)))
        repeats = -(-self.length_frames // len(frames))
        return np.tile(frames, (repeats, 1))[: self.length_frames]

    def cut(self, frames: F32) -> F32:
        """Cut all windows of a clip: (W, length_frames, F), W >= 1."""
        filled = self.fill(frames)
        starts = self.starts(len(frames))
        return np.stack([filled[start : start + self.length_frames] for start in starts])


class WindowStream:
    """Cut windows from frames as they come: (k, F) in, whole windows out.

    What `push` gives and what `finish` gives at the end are the windows that `Window.cut` gives.
    """

    def __init__(self, window: Window) -> None:
        self._window = window
        self._held: F32 | None = None
        self._first = 0
        self._next = 0

    @property
    def count(self) -> int:
        """Return how many frames were pushed."""
        return self._first + len(self.held)

    @property
    def held(self) -> F32:
        """Return the last frames pushed: at least a window's length, or all of them."""
        return np.zeros((0, 0), np.float32) if self._held is None else self._held

    def push(self, frames: F32) -> Iterator[F32]:
        """Yield each window (length_frames, F) that `frames` complete, oldest first."""
        if not len(frames):
            return iter(())
        held = frames if self._held is None else np.concatenate([self._held, frames])
        length, count = self._window.length_frames, self._first + len(held)
        windows = []
        while self._next + length <= count:
            start = self._next - self._first
            windows.append(held[start : start + length])
            self._next += self._window.hop_frames
        # `finish` may need the last window's length of frames.
        spent = max(0, min(self._next, count - length) - self._first)
        self._held, self._first = held[spent:], self._first + spent
        return iter(windows)

    def finish(self) -> F32 | None:
        """Return the window that ends with the last frame; None where `push` gave it, or none."""
        if self._held is None:
            return None
        length = self._window.length_frames
        last = self.count - length
        if last < 0:
            return self._window.fill(self._held)
        given = last % self._window.hop_frames == 0
        return None if given else self._held[last - self._first : last - self._first + length]
