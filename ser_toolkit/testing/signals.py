"""Make signals, frames and events to try components with."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

import numpy as np

from ..runtime.events import Device, Event
from ..runtime.features.base import F32

LONG_S = 60.0
DEVICE = Device("kit-1", "Kit", ("anger", "happiness"), "kit", "0")


@lru_cache(maxsize=32)
def _voice(rate_hz: int, seconds: float, seed: int) -> F32:
    rng = np.random.default_rng([seed, rate_hz])
    times = np.arange(math.ceil(seconds * rate_hz)) / rate_hz
    f0_hz = rng.uniform(100, 220) * 2 ** (0.3 * np.sin(2 * np.pi * 0.7 * times + seed))
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    voiced = sum(np.sin(k * phase) / k for k in range(1, 9))
    loud = np.clip(np.sin(2 * np.pi * 1.3 * times + rng.uniform(0, 6)) + 0.4, 0, None)
    samples = 0.15 * loud * voiced + 0.003 * rng.standard_normal(len(times))
    whole: F32 = samples.astype(np.float32)
    whole.flags.writeable = False
    return whole


def voice(rate_hz: int, n_samples: int, seed: int = 0) -> F32:
    """Synthesize a voice: a gliding tone with overtones, louder and softer, over faint noise.

    Args:
        rate_hz: Samples per second.
        n_samples: How many samples to return, always as a new array.
        seed: Another one gives another voice.
    """
    seconds = math.ceil(max(1, n_samples) / rate_hz)
    return np.array(_voice(rate_hz, seconds, seed)[:n_samples])


def paused(samples: F32, *parts: slice) -> F32:
    """Return `samples`, softer than faint noise in the middle third, or in `parts`.

    A threshold relative to the loudest part of a clip shows only there.
    """
    third = len(samples) // 3
    for part in parts or (slice(third, 2 * third),):
        samples[part] *= np.float32(1e-4)
    return samples


def between_pauses(samples: F32) -> F32:
    """Return `samples`, loud in the middle third only."""
    third = len(samples) // 3
    return paused(samples, slice(0, third), slice(2 * third, None))


def silence(rate_hz: int, n_samples: int) -> F32:
    """Return zeros."""
    del rate_hz
    return np.zeros(n_samples, np.float32)


def dc(rate_hz: int, n_samples: int) -> F32:
    """Return one constant value above zero, as from a broken microphone."""
    del rate_hz
    return np.full(n_samples, 0.5, np.float32)


def full_scale(rate_hz: int, n_samples: int) -> F32:
    """Return a square wave from -1 to 1: clipped speech at its worst."""
    period = max(2, rate_hz // 100)
    return np.where(np.arange(n_samples) % period < period // 2, 1, -1).astype(np.float32)


MakeSignal = Callable[[int, int], F32]
EXTREMES: Mapping[str, tuple[str, MakeSignal]] = MappingProxyType(
    {
        "silence": ("silence", silence),
        "dc": ("a signal that stands still at 0.5", dc),
        "full_scale": ("a square wave at full scale", full_scale),
    }
)


def window(n_frames: int, n_columns: int, seed: int = 0) -> F32:
    """Return a standardised window (T, F) float32 that is read-only, as in training.

    Args:
        n_frames: T.
        n_columns: F.
        seed: Of the random numbers.
    """
    frames = np.random.default_rng(seed).standard_normal((n_frames, n_columns), dtype=np.float32)
    frames.flags.writeable = False
    return frames


def events(count: int, first: int = 1) -> Sequence[Event]:
    """Return events like the daemon's, with sequences from `first` on."""
    kinds = ("started", "changed", "ended")
    return [
        Event(
            id=f"kit-{number}",
            sequence=number,
            kind=kinds[number % 3],  # type: ignore[arg-type]
            time_s=1.7e9 + number,
            offset_s=float(number),
            label="anger",
            probabilities={"anger": 0.75, "happiness": 0.25},
            level_dbfs=-20.5,
        )
        for number in range(first, first + count)
    ]
