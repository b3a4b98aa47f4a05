"""Check frame extractors."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from ..runtime.features.base import F32, FrameExtractor, Signal, StatefulExtractor
from . import signals
from .check import Check, NotChecked, expect
from .compare import array, close, generators_alone, overwritten, same, twin, unchanged
from .given import Given

MOST_S = 120.0
FADED = 0.02
"""How far a value may be off after the warm-up, as a share of the range of its column."""
FADED_LOUD = 0.1
"""The same after something much louder, of which 60 dB less is still more."""
KEPT = "Draw nothing at random, and keep nothing between calls: the fields are the whole state"
COPY = "Return a copy of what signal.memo holds, and of what is a view on signal.samples"
NEW = "Make a new array for each result, rather than fill one that you keep"
OWN = "Compute frame t from samples [t * hop_length, t * hop_length + frame_length) alone"


@dataclass(frozen=True)
class Frames:
    """Hold an extractor under test, and call it."""

    component: FrameExtractor
    given: Given

    @property
    def ready(self) -> FrameExtractor:
        """Return the extractor with its assets, after a check that it is one."""
        ready = self.given.ready(self.component)
        expect(
            isinstance(ready, FrameExtractor),
            "prepare(load) to return a frame extractor",
            type(ready).__name__,
            "Return dataclasses.replace(self, …), or self where there is nothing to load",
        )
        return cast(FrameExtractor, ready)

    def samples(self, n_frames: int = 40, seed: int = 0) -> F32:
        """Return a synthetic voice with a pause, longer than whole frames by some samples."""
        grid = self.component
        length = grid.frame_length + n_frames * grid.hop_length + max(1, grid.hop_length // 3)
        return signals.paused(signals.voice(grid.rate_hz, length, seed))

    def signal(self, samples: F32) -> Signal:
        """Return a copy of `samples` at the extractor's rate."""
        return Signal(samples.copy(), self.component.rate_hz)

    def frames(self, samples: F32, what: str = "frames(signal)") -> F32:
        """Return the frames of `samples`, checked for dtype, shape and finiteness."""
        found = array(self.ready.frames(self.signal(samples)), what)
        wanted = (formula(self.component, len(samples)), len(self.ready.columns))
        expect(
            found.shape == wanted,
            f"{what} of {len(samples)} samples to have the shape (T, F) = {wanted}",
            f"{found.shape}",
            "T is 1 + (N - frame_length) // hop_length, 0 where N is shorter than a frame; F is "
            "len(columns)",
        )
        return found


def formula(extractor: FrameExtractor, n_samples: int) -> int:
    """Return how many whole frames fit, as the contract counts them."""
    return max(0, 1 + (n_samples - extractor.frame_length) // extractor.hop_length)


def frame_checks(component: FrameExtractor, given: Given) -> Iterator[Check]:
    """Yield the checks of a frame extractor, without those of every component."""
    under = Frames(component, given)
    for name, (words, make) in signals.EXTREMES.items():
        yield Check(name, f"{words} gives finite float32", partial(_extreme, under, make))
    yield Check(
        "one_frame", "exactly one frame of samples gives one frame", partial(_one_frame, under)
    )
    yield Check("one_sample", "one sample gives no frame", partial(_one_sample, under))
    yield Check("long", "a minute of audio gives finite float32", partial(_long, under))
    table: dict[str, tuple[str, Callable[[Frames], None]]] = {
        "columns": ("a different name for each column", _columns),
        "frame_count": ("as many frames as the formula says", _frame_count),
        "deterministic": ("same samples, same bytes", _deterministic),
        "input_unchanged": ("the samples stay as they were", _input),
        "result_owned": ("the result may be changed by who asked for it", _owned),
        "streaming": ("a stream gives what the whole clip gives", _streaming),
        "state_unchanged": ("step leaves the state that it was given", _state),
        "warmup": ("after the warm-up, a frame depends on its own samples alone", _warmup),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(run, under))


def _extreme(under: Frames, make: signals.MakeSignal) -> None:
    length = under.component.frame_length + 20 * under.component.hop_length
    under.frames(make(under.component.rate_hz, length))


def _one_frame(under: Frames) -> None:
    under.frames(signals.voice(under.component.rate_hz, under.component.frame_length))


def _one_sample(under: Frames) -> None:
    short = min(1, under.component.frame_length - 1)
    under.frames(signals.voice(under.component.rate_hz, short))
    under.frames(np.zeros(0, np.float32))


def _long(under: Frames) -> None:
    under.frames(signals.voice(under.component.rate_hz, round(60 * under.component.rate_hz)))


def _columns(under: Frames) -> None:
    names = under.ready.columns
    check_columns(names)


def check_columns(names: object) -> None:
    """Require a tuple of names, each once."""
    todo = "Name each column once: they stand in tables and pictures"
    valid = isinstance(names, tuple) and names and all(isinstance(n, str) and n for n in names)
    expect(valid, "columns to be a tuple of texts", f"{names!r:.80}", todo)
    listed = list(cast(tuple[str, ...], names))
    twice = [name for name in dict.fromkeys(listed) if listed.count(name) > 1]
    expect(not twice, "each column to have a name of its own", f"'{', '.join(twice)}' twice", todo)


def _frame_count(under: Frames) -> None:
    grid = under.component
    lengths = {0, grid.frame_length - 1, grid.frame_length, grid.frame_length + 1}
    for count in (1, 2, 7):
        lengths |= {grid.frame_length + count * grid.hop_length + extra for extra in (-1, 0, 1)}
    for length in sorted(n for n in lengths if n >= 0):
        wanted = formula(grid, length)
        todo = "1 + (N - frame_length) // hop_length, without padding; 0 where N is too short"
        expect(
            grid.frame_count(length) == wanted,
            f"frame_count({length}) to be {wanted}",
            grid.frame_count(length),
            todo,
        )
        samples = signals.between_pauses(signals.voice(grid.rate_hz, length))
        found = under.ready.frames(under.signal(samples))
        expect(
            len(found) == wanted,
            f"{wanted} frames of {length} samples (frame_length {grid.frame_length}, "
            f"hop_length {grid.hop_length})",
            f"{len(found)} frames",
            f"{todo}; nothing cut off that is soft",
        )


def _deterministic(under: Frames) -> None:
    ready, samples, other = under.ready, under.samples(), under.samples(seed=1)
    first = np.array(ready.frames(under.signal(samples)))
    with generators_alone(KEPT):
        ready.frames(under.signal(other))
        again = ready.frames(under.signal(samples))
    same(again, first, "frames of the same samples to be the same after another clip", KEPT)
    equal = Frames(twin(under.component), under.given).ready
    equal.frames(under.signal(other))
    again = equal.frames(under.signal(samples))
    same(again, first, "an equal extractor to give the same frames after another clip", KEPT)


def _input(under: Frames) -> None:
    samples = under.samples()
    signal = under.signal(samples)
    under.ready.frames(signal)
    unchanged(signal.samples, samples, "signal.samples")
    count = under.component.frame_count(len(samples))
    signal = under.signal(samples[: under.component.sample_count(count)])
    under.ready.step(signal, None)
    unchanged(signal.samples, samples[: len(signal)], "signal.samples in step")


def _owned(under: Frames) -> None:
    ready, signal = under.ready, under.signal(under.samples())
    frames = ready.frames(signal)
    before, samples = frames.copy(), signal.samples.copy()
    ready.frames(under.signal(under.samples(seed=1)))
    same(frames, before, "frames to stay as they were when another clip is extracted", NEW)
    overwritten(frames, COPY)
    again = ready.frames(signal)
    same(again, before, "frames of the same signal not to depend on what became of the first", COPY)
    unchanged(signal.samples, samples, "signal.samples, when the result is changed,")
    _step_owned(under)


def _step_owned(under: Frames) -> None:
    ready, (first, second) = under.ready, _two_steps(under)
    frames, state = ready.step(under.signal(first), None)
    before = frames.copy()
    wanted = np.array(ready.step(under.signal(second), state)[0])
    same(frames, before, "the frames of a step to stay as they were after the next", NEW)
    frames, state = ready.step(under.signal(first), None)
    overwritten(frames, COPY)
    again, _ = ready.step(under.signal(second), state)
    todo = "Give a copy as the state where it is a part of the result: frames[-1].copy()"
    same(again, wanted, "a step not to depend on what became of the frames before", todo)


def _two_steps(under: Frames) -> tuple[F32, F32]:
    samples, grid = under.samples(), under.component
    start, after = 12, 9
    second = samples[start * grid.hop_length :][: grid.sample_count(after)]
    return samples[: grid.sample_count(start)], second


def _streaming(under: Frames) -> None:
    ready, samples = under.ready, under.samples(60)
    whole = ready.frames(under.signal(samples))
    for title, cuts in _chunks(under.component, len(samples)):
        stream = ready.stream()
        parts = [array(stream.push(part), "step(…)") for part in np.split(samples, cuts)]
        found = np.concatenate(parts)
        close(
            found,
            whole,
            f"a stream in chunks of {title} to give what the whole clip gives",
            f"{OWN}, or give what is remembered to step as its state",
            under.ready.columns,
        )


def _chunks(grid: FrameExtractor, n_samples: int) -> Iterator[tuple[str, Sequence[int]]]:
    sizes = (1, grid.hop_length, 160, grid.frame_length + grid.hop_length + 1)
    for size in dict.fromkeys(sizes):
        # One sample at a time is slow; the first frames are enough.
        most = grid.frame_length + 2 * grid.hop_length if size == 1 else n_samples
        yield f"{size} sample" + "s" * (size > 1), range(size, min(most, n_samples), size)
    rng = np.random.default_rng(0)
    yield "any size", sorted(rng.integers(0, n_samples, 25).tolist())


def _state(under: Frames) -> None:
    ready, (first, second) = under.ready, _two_steps(under)
    _, state = ready.step(under.signal(first), None)
    once, _ = ready.step(under.signal(second), state)
    once = np.array(once)
    again, _ = ready.step(under.signal(second), state)
    same(
        np.asarray(again),
        once,
        "step(signal, state) to give the same frames when it is asked again with the same state",
        "Return a new state: copy an array before you write into it",
    )


def _warmup(under: Frames) -> None:
    grid, ready = under.component, under.ready
    warmup = grid.warmup_frames
    expect(
        isinstance(warmup, int) and warmup >= 0,
        "warmup_frames to be a whole number from 0 on",
        repr(warmup),
        "Count the frames after which the beginning of the stream makes no difference",
    )
    late, length = _late(grid, warmup)
    samples, start = signals.voice(grid.rate_hz, length), late * grid.hop_length
    soft, loud = np.float32(0.05) * samples[:start], signals.full_scale(grid.rate_hz, start) / 4
    # What came before is unlike what comes then; some memories forget what was soft alone.
    for before, most in ((soft, FADED), (loud, FADED_LOUD)):
        samples[:start] = before
        whole = ready.frames(under.signal(samples))[late + warmup :]
        begun_late = ready.frames(under.signal(samples[start:]))[warmup:]
        _forgotten(begun_late, whole, ready, most)


def _late(grid: FrameExtractor, warmup: int) -> tuple[int, int]:
    """Return the frame that a second stream begins with, and how many samples the first has."""
    for late, seen in ((8, 40), (2, 4)):
        length = grid.sample_count(late + warmup + seen)
        if length <= MOST_S * grid.rate_hz:
            return late, length
    raise NotChecked(
        f"{late + warmup + seen} frames (warmup_frames is {warmup}) last "
        f"{length / grid.rate_hz:.0f} s, and no more than {MOST_S:g} s are tried here"
    )


def _forgotten(begun_late: F32, whole: F32, ready: FrameExtractor, most: float) -> None:
    if ready.warmup_frames == 0 and not isinstance(ready, StatefulExtractor):
        close(
            begun_late,
            whole,
            "a frame to depend on its own samples alone",
            f"{OWN}: no padding, no mean or maximum over the clip",
            ready.columns,
        )
    else:
        _faded(begun_late, whole, ready, most)


def _faded(found: F32, whole: F32, ready: FrameExtractor, most: float) -> None:
    expect(
        found.shape == whole.shape,
        f"frames of the shape {whole.shape} from a stream that begins later",
        f"{found.shape}",
        "Give 1 + (N - frame_length) // hop_length frames, in every length",
    )
    scale = np.ptp(whole, axis=0) + np.abs(whole).max(axis=0) * 1e-3 + 1e-6
    apart = np.abs(found.astype(np.float64) - whole) / scale
    worst = float(np.max(apart, initial=0.0))
    frame, column = np.unravel_index(int(np.argmax(apart)), apart.shape)
    name = ready.columns[int(column)]
    expect(
        worst <= most and math.isfinite(worst),
        f"the start of the stream to be forgotten after warmup_frames = {ready.warmup_frames}",
        f"column '{name}' off by {worst:.1%} of its range {frame} frames later",
        "Let warmup_frames say when it has faded (by 60 dB, say), or compute without a memory",
    )
