"""Check augmenters of audio and of frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import numpy as np

from ..contracts.components import Augmenter, FrameAugmenter
from ..runtime.features.base import F32
from . import signals
from .check import Check, CheckFailed, expect
from .compare import array, generators_alone, refuses_writing, same, twin, unchanged
from .given import Given

RATE_HZ = 16000
DRAWS = 20
SOME = 4
"""Draws where each costs time."""
Draw = Callable[[np.random.Generator], F32]
GLOBAL = "Draw from rng alone: not from np.random, not from random, not from a generator you keep"


def audio_checks(component: Augmenter, given: Given) -> Iterator[Check]:
    """Yield the checks of an augmenter of audio, without those of every component."""
    for name, (words, make) in signals.EXTREMES.items():
        yield Check(
            name,
            f"{words} gives finite float32",
            partial(_checked, partial(_extreme, make=make), component, given),
        )
    generator = partial(_generator, equal=lambda: _ready(twin(component), given))
    table: dict[str, tuple[str, Callable[[Augmenter], None]]] = {
        "one_sample": ("one sample gives at least one sample", _one_sample),
        "long": ("a minute of audio gives finite float32", _long),
        "other_rate": ("audio at 8 and 48 kHz gives finite float32", _other_rate),
        "generator": ("same generator, same bytes", generator),
        "input_unchanged": ("the samples stay as they were", _input),
        "effect": ("of some draws, one alters something", _effect),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(_checked, run, component, given))


def _checked(run: Callable[[Augmenter], None], component: Augmenter, given: Given) -> None:
    run(_ready(component, given))


def _ready(component: Augmenter, given: Given) -> Augmenter:
    ready = given.ready(component)
    expect(
        isinstance(ready, Augmenter),
        "prepare(load) to return an augmenter",
        type(ready).__name__,
        "Return self, or a copy that holds the bytes",
    )
    return cast(Augmenter, ready)


def frame_augmenter_checks(component: FrameAugmenter) -> Iterator[Check]:
    """Yield the checks of an augmenter of frames, without those of every component."""
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


def _audio(component: Augmenter, samples: F32, rate_hz: int = RATE_HZ, draws: int = SOME) -> None:
    what = f"augment of {len(samples)} samples at {rate_hz} Hz"
    for seed in range(draws):
        augmented = array(component.augment(samples.copy(), rate_hz, _rng(seed)), what)
        expect(
            augmented.ndim == 1 and len(augmented) > 0,
            f"{what} to give a clip (M,) with M > 0",
            f"shape {augmented.shape}",
            "Keep at least one sample, and one axis: the audio is mono",
        )


def _extreme(component: Augmenter, make: signals.MakeSignal) -> None:
    _audio(component, make(RATE_HZ, RATE_HZ))


def _one_sample(component: Augmenter) -> None:
    _audio(component, np.full(1, 0.25, np.float32), draws=DRAWS)


def _long(component: Augmenter) -> None:
    _audio(component, signals.voice(RATE_HZ, round(signals.LONG_S) * RATE_HZ), draws=1)


def _other_rate(component: Augmenter) -> None:
    for rate_hz in (8000, 48000):
        _audio(component, signals.voice(rate_hz, rate_hz), rate_hz, draws=1)


def _generator(component: Augmenter, equal: Callable[[], Augmenter]) -> None:
    samples = signals.voice(RATE_HZ, RATE_HZ)

    def draws(augmenter: Augmenter) -> Draw:
        return lambda rng: augmenter.augment(samples.copy(), RATE_HZ, rng)

    _reproducible(draws(component), draws(equal()))


def _frame_generator(component: FrameAugmenter) -> None:
    frames = signals.window(60, 9)

    def draws(augmenter: FrameAugmenter) -> Draw:
        return lambda rng: augmenter.augment_frames(frames.copy(), rng)

    _reproducible(draws(component), draws(twin(component)))


def _reproducible(draw: Draw, other: Draw) -> None:
    first = np.array(draw(_rng()))
    with generators_alone(GLOBAL):
        for seed in range(1, SOME):
            draw(_rng(seed))
        again = draw(_rng())
    same(again, first, "the same generator to give the same bytes", GLOBAL)
    other(_rng(1))
    words = "the same generator to give the same bytes, whatever was drawn before"
    same(other(_rng()), first, words, "Keep nothing of what you drew: copies are made in any order")


def _input(component: Augmenter) -> None:
    before = signals.voice(RATE_HZ, RATE_HZ)
    kept: list[F32] = []
    for seed in range(SOME):
        samples = before.copy()
        augmented = component.augment(samples, RATE_HZ, _rng(seed))
        unchanged(samples, before, "samples")
        _check_copy(augmented, samples)
        _check_new(augmented, kept)


def _frame_input(component: FrameAugmenter) -> None:
    before = signals.window(60, 9)
    kept: list[F32] = []
    for seed in range(SOME):
        frames = before.copy()
        frames.flags.writeable = False
        try:
            augmented = component.augment_frames(frames, _rng(seed))
        except ValueError as error:
            if not refuses_writing(error):
                raise
            raise CheckFailed(
                "frames to be left alone",
                f"a write into them ({error})",
                "Work on a copy (frames.copy()): the window is shown again in the next epoch",
            ) from error
        _check_copy(augmented, frames)
        _check_new(augmented, kept)


def _check_copy(augmented: F32, given: F32) -> None:
    expect(
        not np.shares_memory(augmented, given),
        "a new array",
        "one that shares memory with what was given",
        "Return a copy where nothing is altered, too",
    )


def _check_new(augmented: F32, kept: list[F32]) -> None:
    expect(
        not any(np.shares_memory(augmented, before) for before in kept),
        "a new array for each copy",
        "one that shares memory with the copy before",
        "Make a new array, rather than fill one that you keep",
    )
    kept.append(augmented)


def _effect(component: Augmenter) -> None:
    samples = signals.voice(RATE_HZ, RATE_HZ)
    _alters(samples, lambda rng: component.augment(samples.copy(), RATE_HZ, rng))


def _frame_effect(component: FrameAugmenter) -> None:
    frames = signals.window(60, 9)
    _alters(frames, lambda rng: component.augment_frames(frames.copy(), rng))


def _alters(before: F32, draw: Draw) -> None:
    expect(
        any(not np.array_equal(draw(_rng(seed)), before) for seed in range(DRAWS)),
        f"one of {DRAWS} draws to alter the input",
        "the input itself each time",
        "Choose defaults that do something: users name it in a recipe as it is",
    )


def _frames(component: FrameAugmenter, frames: F32) -> None:
    for seed in range(DRAWS):
        augmented = array(component.augment_frames(frames.copy(), _rng(seed)), "augment_frames")
        expect(
            augmented.shape == frames.shape,
            f"a window of the shape (T, F) = {frames.shape} again",
            f"{augmented.shape}",
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
