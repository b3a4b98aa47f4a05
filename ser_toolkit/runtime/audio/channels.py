"""Make mono of any number of channels: their mean, or one of them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from ..errors import AudioError, SertkError
from ..features.base import F32

Channel = str | int
"""Which channel of a file: `mix` (the mean of all), `left`, `right`, or a number from 1 on."""
MIX = "mix"
SIDES = {"left": 0, "right": 1}
# Against channels that have nothing to do with each other: -20 dB.
CANCELLED = 0.01


def parse_channel(channel: Channel) -> str:
    """Return a channel as text. Raises SertkError for what is none."""
    text = str(channel).strip().lower()
    if text in (MIX, *SIDES):
        return text
    if text.isascii() and text.isdigit() and int(text) > 0:
        return str(int(text))
    raise SertkError(f"channel expects mix, left, right or a number from 1 on, received {channel}")


def to_mono(blocks: Iterable[F32], channel: str, shown: str) -> F32:
    """Return mono samples (N,) float32.

    Args:
        blocks: Float32 (n, channels) each, in order.
        channel: Of `parse_channel`.
        shown: What errors call the file.

    Raises:
        AudioError: Where there is no such channel, and where channels cancel each other in the
            mean.
    """
    mono, cancellation = [], Cancellation()
    for block in blocks:
        n_channels = block.shape[1]
        if n_channels > 1 and channel == MIX:
            mono.append(mean(block))
            cancellation.add(block, mono[-1])
        else:
            mono.append(block[:, _index(channel, n_channels, shown)])
    cancellation.check(shown)
    return np.concatenate(mono) if mono else np.zeros(0, np.float32)


def mean(frames: F32) -> F32:
    """Return the mean (N,) of channels (N, C)."""
    # `check_samples` refuses what is too large or not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        mixed: F32 = frames.mean(axis=1, dtype=np.float32)
    return mixed


def _index(channel: str, n_channels: int, shown: str) -> int:
    """Return the index of a channel; a mono file has the same on the left and on the right."""
    if channel == MIX:
        return 0
    if channel in SIDES:
        return min(SIDES[channel], n_channels - 1)
    if int(channel) > n_channels:
        raise AudioError(f"'{shown}' has no channel {channel}: it has {n_channels}")
    return int(channel) - 1


class Cancellation:
    """The power of channels and of their mean, without their offsets."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: NDArray[np.float64] | float = 0.0
        self._squares: NDArray[np.float64] | float = 0.0

    def add(self, frames: F32, mixed: F32) -> None:
        """Add channels (N, C) and their mean (N,)."""
        columns = np.column_stack([frames, mixed])
        self._count += len(columns)
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums = self._sums + columns.sum(axis=0, dtype=np.float64)
            squares = np.einsum("ij,ij->j", columns, columns, dtype=np.float64)
            self._squares = self._squares + squares

    def check(self, shown: str) -> None:
        """Raise AudioError where the mean lacks what the channels have."""
        if not self._count:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            *channels, mixed = np.asarray(self._squares - np.square(self._sums) / self._count)
        if mixed < CANCELLED * sum(channels) / len(channels) ** 2:
            raise AudioError(
                f"'{shown}': its {len(channels)} channels cancel each other when averaged",
                "Take one of them, as with --channel left",
            )
