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
SILENT = 1e-8


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
            cancellation.add(block)
        else:
            mono.append(block[:, _index(channel, n_channels, shown)])
    cancellation.check(shown)
    return np.concatenate(mono) if mono else np.zeros(0, np.float32)


def mean(frames: F32) -> F32:
    """Return the mean (N,) of channels (N, C)."""
    # `check_samples` refuses what is too large or not finite.
    with np.errstate(over="ignore", invalid="ignore"):
        if frames.shape[1] == 2:  # as below, four times as fast
            mixed: F32 = (frames[:, 0] + frames[:, 1]) / np.float32(2)
        else:
            mixed = frames.mean(axis=1, dtype=np.float32)
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
    """The covariance of channels, which says what is left of them in their mean."""

    def __init__(self) -> None:
        self._count = 0
        self._sums: NDArray[np.floating] | float = 0.0
        self._products: NDArray[np.floating] | float = 0.0

    def add(self, frames: F32) -> None:
        """Add channels (N, C)."""
        self._count += len(frames)
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums = self._sums + np.ones(len(frames), np.float32) @ frames
            self._products = self._products + frames.T @ frames

    def check(self, shown: str) -> None:
        """Raise AudioError where the mean lacks what the channels have."""
        if not self._count:
            return
        with np.errstate(over="ignore", invalid="ignore"):
            offsets = np.multiply.outer(self._sums, self._sums) / self._count
            covariance = (self._products - offsets) / self._count
            power, in_sum = np.trace(covariance), covariance.sum()
        if power > SILENT and in_sum < CANCELLED * power:
            raise AudioError(
                f"'{shown}': its {len(covariance)} channels cancel each other when averaged",
                "Take one of them, as with --channel left",
            )
