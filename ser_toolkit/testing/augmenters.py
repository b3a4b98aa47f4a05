"""What an augmenter of audio or of frames is asked for."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, cast

import numpy as np

from ..contracts import Augmenter, FrameAugmenter
from ..runtime.extractor import F32
from . import signals
from .check import Check, CheckFailed, expect
from .compare import array, refuses_writing, same, unchanged
from .given import Given

RATE_HZ = 16000
DRAWS = 20
GLOBAL = "Draw from rng alone: not from np.random, not from random, not from a generator you keep"


def audio_checks(component: Augmenter, given: Given) -> Iterator[Check]:
    """All checks of an augmenter of audio but those of every component."""
    for name, (words, make) in signals.EXTREMES.items():
        yield Check(
            name,
            f"{words} gives finite float32",
            partial(_checked, partial(_extreme, make=make), component, given),
        )
    table: dict[str, tuple[str, Callable[[Augmenter], None]]] = {
        "one_sample": ("one sample gives at least one sample", _one_sample),
        "long": ("a minute of audio gives finite float32", _long),
        "other_rate": ("audio at 8 and 48 kHz gives finite float32", _other_rate),
        "generator": ("same generator, same bytes", _generator),
        "input_unchanged": ("the samples stay as they were", _input),
        "effect": ("of some draws, one alters something", _effect),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(_checked, run, component, given))


def _checked(run: Callable[[Augmenter], None], component: Augmenter, given: Given) -> None:
    ready = given.ready(component)
    expect(
        isinstance(ready, Augmenter),
        "prepare(load) to return an augmenter",
        type(ready).__name__,
        "Return self, or a copy that holds the bytes",
    )
    run(cast(Augmenter, ready))


def frame_augmenter_checks(component: FrameAugmenter) -> Iterator[Check]:
    """All checks of an augmenter of frames but those of every component."""
    table: dict[str, tuple[str, Callable[[FrameAugmenter], None]]] = {
        "window": ("a window keeps its shape and stays finite", _window),
        "zeros": ("a window of zeros, the mean of every column, stays finite", _zeros),
        "one_frame": ("a window of one frame keeps its shape", _one_frame),
        "one_column": ("a window of one column keeps its shape", _one_column),
        "generator": ("same generator, same bytes", _frame_generator),
        "input_unchanged": ("the window stays as it was", _frame_input),
        "effect": ("of some draws, one alters something", _frame_effect),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(run, component))


def _rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng([0, seed])


def _audio(component: Augmenter, samples: F32, rate_hz: int = RATE_HZ) -> F32:
    what = f"augment of {len(samples)} samples at {rate_hz} Hz"
    found = array(component.augment(samples.copy(), rate_hz, _rng()), what)
    expect(
        found.ndim == 1 and len(found) > 0,
        f"{what} to give a clip (M,) with M > 0",
        f"shape {found.shape}",
        "Keep at least one sample, and one axis: the audio is mono",
    )
    return found


def _extreme(component: Augmenter, make: signals.MakeSignal) -> None:
    _audio(component, make(RATE_HZ, RATE_HZ))


def _one_sample(component: Augmenter) -> None:
    _audio(component, np.full(1, 0.25, np.float32))


def _long(component: Augmenter) -> None:
    _audio(component, signals.voice(RATE_HZ, round(signals.LONG_S) * RATE_HZ))


def _other_rate(component: Augmenter) -> None:
    for rate_hz in (8000, 48000):
        _audio(component, signals.voice(rate_hz, rate_hz), rate_hz)


def _generator(component: Augmenter) -> None:
    samples = signals.voice(RATE_HZ, RATE_HZ)
    _reproducible(lambda rng: component.augment(samples.copy(), RATE_HZ, rng))


def _frame_generator(component: FrameAugmenter) -> None:
    frames = signals.window(60, 9)
    _reproducible(lambda rng: component.augment_frames(frames.copy(), rng))


def _reproducible(draw: Callable[[np.random.Generator], F32]) -> None:
    first = np.array(draw(_rng()))
    draw(_rng(1))
    states = _global_states()
    again = draw(_rng())
    same(again, first, "the same generator to give the same bytes", GLOBAL)
    expect(
        _global_states() == states,
        "the global generators of numpy and Python to be left alone",
        "one of them was drawn from or seeded",
        GLOBAL,
    )


def _global_states() -> tuple[Any, ...]:
    numpy_state: Any = np.random.get_state(legacy=True)
    return (*(str(part) for part in numpy_state), numpy_state[1].tobytes(), random.getstate())


def _input(component: Augmenter) -> None:
    before = signals.voice(RATE_HZ, RATE_HZ)
    for seed in range(4):
        samples = before.copy()
        found = component.augment(samples, RATE_HZ, _rng(seed))
        unchanged(samples, before, "samples")
        _apart(found, samples)


def _frame_input(component: FrameAugmenter) -> None:
    before = signals.window(60, 9)
    for seed in range(4):
        frames = before.copy()
        frames.flags.writeable = False
        try:
            found = component.augment_frames(frames, _rng(seed))
        except ValueError as error:
            if not refuses_writing(error):
                raise
            raise CheckFailed(
                "frames to be left alone",
                f"a write into them ({error})",
                "Work on a copy (frames.copy()): the window is shown again in the next epoch",
            ) from error
        _apart(found, frames)


def _apart(found: F32, given: F32) -> None:
    expect(
        not np.shares_memory(found, given),
        "a new array",
        "one that shares memory with what was given",
        "Return a copy where nothing is altered, too",
    )


def _effect(component: Augmenter) -> None:
    samples = signals.voice(RATE_HZ, RATE_HZ)
    _alters(samples, lambda rng: component.augment(samples.copy(), RATE_HZ, rng))


def _frame_effect(component: FrameAugmenter) -> None:
    frames = signals.window(60, 9)
    _alters(frames, lambda rng: component.augment_frames(frames.copy(), rng))


def _alters(before: F32, draw: Callable[[np.random.Generator], F32]) -> None:
    expect(
        any(not np.array_equal(draw(_rng(seed)), before) for seed in range(DRAWS)),
        f"one of {DRAWS} draws to alter the input",
        "the input itself each time",
        "Choose defaults that do something: users name it in a recipe as it is",
    )


def _frames(component: FrameAugmenter, frames: F32) -> None:
    found = array(component.augment_frames(frames.copy(), _rng()), "augment_frames")
    expect(
        found.shape == frames.shape,
        f"a window of the shape (T, F) = {frames.shape} again",
        f"{found.shape}",
        "Keep the shape: cut what is longer, repeat what is shorter",
    )


def _window(component: FrameAugmenter) -> None:
    _frames(component, signals.window(60, 9))
    _frames(component, signals.window(188, 40))


def _zeros(component: FrameAugmenter) -> None:
    _frames(component, np.zeros((60, 9), np.float32))


def _one_frame(component: FrameAugmenter) -> None:
    _frames(component, signals.window(1, 9))


def _one_column(component: FrameAugmenter) -> None:
    _frames(component, signals.window(60, 1))
