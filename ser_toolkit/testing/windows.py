"""Check window extractors."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from typing import cast

import numpy as np

from ..runtime.features.base import F32, Signal, WindowExtractor
from ..runtime.features.window import Window
from ..runtime.inference.inputs import features
from . import signals
from .check import Check, expect
from .compare import array, generators_alone, overwritten, same, twin, unchanged
from .frames import COPY, KEPT, NEW, check_columns
from .given import Given

WINDOW_S = 2.0
Arrays = Mapping[str, F32]


@dataclass(frozen=True)
class Windows:
    """Hold an extractor under test, and call it."""

    component: WindowExtractor
    given: Given

    @property
    def ready(self) -> WindowExtractor:
        """Return the extractor with its assets."""
        ready = self.given.ready(self.component)
        expect(
            isinstance(ready, WindowExtractor),
            "prepare(load) to return a window extractor",
            type(ready).__name__,
            "Return dataclasses.replace(self, …), or self where there is nothing to load",
        )
        return cast(WindowExtractor, ready)

    @property
    def window(self) -> Window:
        """Return one frame where a frame is long, else about two seconds."""
        grid = self.component
        wanted = round(WINDOW_S * grid.rate_hz) - grid.frame_length
        length = 1 + max(0, wanted) // grid.hop_length
        if grid.frame_length >= grid.rate_hz:
            length = 1
        return Window(length, max(1, length // 2))

    def samples(self, seed: int = 0) -> F32:
        """Return exactly one window of a synthetic voice with a pause."""
        length = self.component.sample_count(self.window.length_frames)
        return signals.paused(signals.voice(self.component.rate_hz, length, seed))

    def signal(self, samples: F32) -> Signal:
        """Return a copy of `samples` at the extractor's rate."""
        return Signal(samples.copy(), self.component.rate_hz)

    def arrays(self, samples: F32) -> Arrays:
        """Return the arrays of one window, checked."""
        return checked(self.ready.arrays(self.signal(samples)))

    def fits(self, samples: F32) -> None:
        """Require that a clip gives finite arrays with the names and shapes of a window."""
        wanted = shapes(self.ready.arrays(self.signal(self.samples())))
        check_shapes(self.ready.arrays(self.signal(self.samples(seed=1))), wanted)
        found = features(self.ready, self.signal(samples), self.window)
        for name, values in found.items():
            array(values, f"array '{name}'")
        rows = {name: values[0] for name, values in found.items()}
        check_shapes(rows, wanted, f" for a clip of {len(samples)} samples")


def checked(found: object) -> Arrays:
    """Return named arrays, after a check that each is float32 and finite."""
    valid = isinstance(found, dict) and found and all(isinstance(name, str) for name in found)
    expect(
        valid,
        "arrays(signal) to return a dict from names to arrays",
        f"{found!r:.80}",
        'Return {"my_features": vector}: the network gets one input per name',
    )
    given = cast("dict[str, object]", found)
    return {name: array(values, f"array '{name}'") for name, values in given.items()}


def shapes(arrays: Arrays) -> dict[str, tuple[int, ...]]:
    """Return the shape of each array."""
    return {name: tuple(values.shape) for name, values in arrays.items()}


def check_shapes(found: Arrays, wanted: Mapping[str, tuple[int, ...]], where: str = "") -> None:
    """Require the names and shapes of another window, else raise CheckFailed.

    Args:
        found: The arrays to check.
        wanted: The names and shapes of the other window.
        where: Of what they are, for the message.
    """
    expect(
        shapes(found) == wanted,
        f"the same names and shapes for every window: {wanted}",
        f"{shapes(found)}{where}",
        "Give arrays of a fixed shape, such as statistics over the frames",
    )


def window_checks(component: WindowExtractor, given: Given) -> Iterator[Check]:
    """Yield the checks of a window extractor, without those of every component."""
    under = Windows(component, given)
    for name, (words, make) in signals.EXTREMES.items():
        yield Check(name, f"{words} gives finite float32", partial(_extreme, under, make))
    table: dict[str, tuple[str, Callable[[Windows], None]]] = {
        "one_window": ("one window gives named finite float32 arrays", _one_window),
        "one_sample": ("a clip of one sample gives what a window gives", _one_sample),
        "long": ("a minute of audio gives one row per window", _long),
        "columns": ("a different name for each column", _columns),
        "deterministic": ("same samples, same bytes", _deterministic),
        "input_unchanged": ("the samples stay as they were", _input),
        "result_owned": ("the result may be changed by who asked for it", _owned),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(run, under))


def _extreme(under: Windows, make: signals.MakeSignal) -> None:
    under.fits(make(under.component.rate_hz, len(under.samples())))


def _one_window(under: Windows) -> None:
    under.arrays(under.samples())


def _one_sample(under: Windows) -> None:
    under.fits(signals.voice(under.component.rate_hz, 1))


def _long(under: Windows) -> None:
    under.fits(signals.voice(under.component.rate_hz, 60 * under.component.rate_hz))


def _columns(under: Windows) -> None:
    names = under.ready.columns
    check_columns(names)
    found = shapes(under.ready.arrays(under.signal(under.samples())))
    width = sum(shape[-1] for shape in found.values() if shape)
    expect(
        len(names) == width,
        f"a column name for each of {width} values (the last axes, array after array)",
        f"{len(names)} names",
        "Make columns as long as the arrays are wide",
    )


def _deterministic(under: Windows) -> None:
    ready, samples, other = under.ready, under.samples(), under.samples(seed=1)
    first = _copied(ready.arrays(under.signal(samples)))
    with generators_alone(KEPT):
        ready.arrays(under.signal(other))
        again = ready.arrays(under.signal(samples))
    _same(again, first, "the same window to give the same after another one", KEPT)
    equal = Windows(twin(under.component), under.given).ready
    equal.arrays(under.signal(other))
    again = equal.arrays(under.signal(samples))
    _same(again, first, "an equal extractor to give the same after another window", KEPT)


def _input(under: Windows) -> None:
    samples = under.samples()
    signal = under.signal(samples)
    under.ready.arrays(signal)
    unchanged(signal.samples, samples, "signal.samples")


def _owned(under: Windows) -> None:
    ready, signal = under.ready, under.signal(under.samples())
    found = ready.arrays(signal)
    before, samples = _copied(found), signal.samples.copy()
    ready.arrays(under.signal(under.samples(seed=1)))
    _same(found, before, "arrays to stay as they were when another window is extracted", NEW)
    for values in found.values():
        overwritten(values, COPY)
    words = "a window not to depend on what became of its first result"
    _same(ready.arrays(signal), before, words, COPY)
    unchanged(signal.samples, samples, "signal.samples, when the result is changed,")


def _same(found: Arrays, before: Arrays, expected: str, todo: str) -> None:
    check_shapes(found, shapes(before))
    for name, values in found.items():
        same(values, before[name], expected, todo)


def _copied(found: Arrays) -> dict[str, F32]:
    return {name: np.array(values) for name, values in found.items()}
