"""What a source of sound is: an asynchronous iterator of sound, and of holes in it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

import numpy as np

from ser_toolkit.runtime.audio.channels import mean
from ser_toolkit.runtime.audio.decode import from_pcm16
from ser_toolkit.runtime.features.base import F32

T = TypeVar("T")
BLOCK_S = 0.1
FULL_SCALE = np.float32(32767 / 32768)
State = Literal["starting", "ok", "waiting", "lost", "ended"]


@dataclass(frozen=True, eq=False)
class Chunk:
    """Mono samples (N,), full scale 1; `time_s` is the Unix time of the last one.

    `clipped` counts the samples at full scale, before channels were averaged.
    """

    samples: F32
    rate_hz: int
    time_s: float
    clipped: int = 0


@dataclass(frozen=True)
class Gap:
    """What follows does not continue what came before; `lost_s` is None where nobody knows."""

    reason: str
    lost_s: float | None

    @property
    def cause(self) -> Literal["overflow", "lost"]:
        """Return which kind it is: more sound came than was taken, or none came."""
        return "lost" if self.lost_s is None else "overflow"


@dataclass(frozen=True)
class Status:
    """How a source is; `detail` tells a person what is wrong and what to do."""

    state: State
    name: str
    detail: str = ""


class Source:
    """Sound from somewhere. `realtime`: it comes at its own pace, whoever is slow loses some.

    `chunks` is called once. It ends where the sound ends for ever, or after `close`.
    """

    kind: ClassVar[str]

    def __init__(self, name: str, realtime: bool = False) -> None:
        self.realtime = realtime
        self.status = Status("starting", name)

    @property
    def up(self) -> bool:
        """Say whether it does what it should: sound comes."""
        return self.status.state == "ok"

    def chunks(self) -> AsyncGenerator[Chunk | Gap, None]:
        """Return the sound, in pieces. Raises SertkError for what waiting does not change."""
        raise NotImplementedError

    def __aiter__(self) -> AsyncGenerator[Chunk | Gap, None]:
        return self.chunks()

    def check(self) -> None:
        """Raise SertkError where it can be seen beforehand that no sound would come."""

    async def close(self) -> None:
        """Let go of device, file or socket; the iteration ends."""
        raise NotImplementedError

    def say(self, state: State, detail: str = "", name: str = "") -> None:
        """Replace the status; the name stays unless another is given."""
        self.status = Status(state, name or self.status.name, detail)


def chunk_of(frames: F32, rate_hz: int, time_s: float) -> Chunk:
    """Make a chunk of frames (N, channels)."""
    clipped = int(np.count_nonzero(np.abs(frames) >= FULL_SCALE))
    return Chunk(mean(frames), rate_hz, time_s, clipped)


def frames_of_pcm(pcm: bytes, width: int, channels: int) -> F32:
    """Return frames (N, channels), full scale 1, of interleaved signed samples.

    Args:
        pcm: Little-endian samples.
        width: Bytes of each, 1 to 4.
        channels: How many samples make a frame.
    """
    samples = np.frombuffer(pcm, np.uint8).reshape(-1, width)
    wide = np.zeros((len(samples), 4), np.uint8)
    wide[:, 4 - width :] = samples
    frames: F32 = (wide.view("<i4") / 2**31).astype(np.float32).reshape(-1, channels)
    return frames


def chunk_of_pcm(pcm: bytes, channels: int, rate_hz: int, time_s: float) -> Chunk:
    """Make a chunk of interleaved 16-bit samples."""
    values = np.frombuffer(pcm, "<i2")
    clipped = int(np.count_nonzero((values == 32767) | (values == -32768)))
    return Chunk(from_pcm16(pcm, channels), rate_hz, time_s, clipped)


async def done_within(task: asyncio.Future[T], limit_s: float) -> bool:
    """Wait for `task`, and say whether it is done; it is not cancelled.

    In two halves: a process that was stopped wakes with its time over and its data unread.
    """
    for _ in range(2):
        done, _pending = await asyncio.wait({task}, timeout=limit_s / 2)
        if done:
            return True
    return False
