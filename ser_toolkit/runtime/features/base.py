"""Define extractors: from a signal to frames, offline and in a stream by the same code.

Frame t of an extractor covers the samples [t * hop_length, t * hop_length + frame_length): no
centre padding, so that a stream never waits for more than its own frame.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Hashable, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..component import AssetLoader, Component
from ..errors import SertkError

F32 = NDArray[np.float32]
"""An array of float32."""
T = TypeVar("T")


class Signal:
    """Mono audio, and what has already been computed from it.

    Attributes:
        samples: Float32 (N,), full scale 1.
        rate_hz: Samples per second.
    """

    def __init__(self, samples: NDArray[Any], rate_hz: int) -> None:
        """Hold samples (N,). Raises SertkError for several channels, and for integers."""
        _check_samples(samples)
        self.samples: F32 = np.ascontiguousarray(samples, dtype=np.float32)
        self.rate_hz = rate_hz
        self._memo: dict[Hashable, Any] = {}

    def __len__(self) -> int:
        return len(self.samples)

    def memo(self, key: Hashable, compute: Callable[[], T]) -> T:
        """Return `compute()`, called once per key: so extractors share an STFT. Do not alter it."""
        if key not in self._memo:
            self._memo[key] = compute()
        result: T = self._memo[key]
        return result

    def tail(self, offset: int) -> Signal:
        """Return the signal from sample `offset` on, memoised as well."""
        if offset == 0:
            return self
        return self.memo(("tail", offset), lambda: Signal(self.samples[offset:], self.rate_hz))


def _check_samples(samples: NDArray[Any]) -> None:
    array = np.asarray(samples)
    if array.ndim != 1:
        raise SertkError(
            f"mono samples (N,) expected, received an array {array.shape}",
            "Take one channel, or the mean over the channels",
        )
    if array.dtype.kind != "f":
        raise SertkError(
            f"float samples of full scale 1 expected, received {array.dtype}",
            "Divide integers by their full scale: int16 by 32768",
        )


@dataclasses.dataclass(frozen=True)
class Heatmap:
    """How `sertk inspect` draws frames: their columns as rows, block above block.

    Attributes:
        title: What stands above it.
        blocks: From the bottom, the label of each block and the columns that are its rows.
        ylabel: What the labels are.
        unit: What the values are.
        scale: What they are multiplied by.
    """

    title: str
    blocks: tuple[tuple[str, tuple[int, ...]], ...]
    ylabel: str
    unit: str
    scale: float = 1.0


class Extractor(Component):
    """Base of `FrameExtractor` and `WindowExtractor`.

    The attributes may be fields or properties.

    Attributes:
        edge_ready: True unless a subclass says otherwise, see `Component`.
        rate_hz: The rate of the audio that it takes; the toolkit resamples to it.
        frame_length: Samples of a frame.
        hop_length: Samples from one frame to the next.
        licence: A line for users, where the library behind it is not free for every use.
    """

    edge_ready: ClassVar[bool] = True
    licence: ClassVar[str] = ""
    rate_hz: int
    frame_length: int
    hop_length: int

    @property
    def span_s(self) -> tuple[float, float] | None:
        """Return the part of a clip to use, as (start, end) in seconds; None is the whole clip.

        It is cut before resampling. A stream has no beginning, so it is ignored there.
        """
        return None

    @property
    def columns(self) -> tuple[str, ...]:
        """Return a name for each feature column."""
        raise NotImplementedError

    def prepare(self, load: AssetLoader) -> Extractor:
        """Return this extractor ready to run; with assets, return a copy that has their bytes."""
        del load
        return self

    def frame_count(self, n_samples: int) -> int:
        """Return how many whole frames fit into `n_samples`."""
        return max(0, 1 + (n_samples - self.frame_length) // self.hop_length)

    def sample_count(self, n_frames: int) -> int:
        """Return how many samples `n_frames` frames cover."""
        return (n_frames - 1) * self.hop_length + self.frame_length


class FrameExtractor(Extractor):
    """Compute causal, streamable features: (T, F) float32, each frame from its own samples only."""

    @property
    def warmup_frames(self) -> int:
        """Return how many frames at the start of a stream depend on where the stream began."""
        return 0

    @property
    def heatmap(self) -> Heatmap | None:
        """Return how its frames are drawn; None where the columns need no order or labels.

        Optional: `sertk inspect` draws every installed extractor that has one.
        """
        return None

    def frames(self, signal: Signal) -> F32:
        """Return all whole frames of `signal`: (frame_count(N), F) float32."""
        raise NotImplementedError

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        """Return the k frames of `signal`, which covers exactly `sample_count(k)` samples.

        Calls follow one another: `signal` begins k_before * hop_length samples after that of the
        call before, so its first frame_length - hop_length samples have been seen (not on the
        first call, where `state` is None). Returns the frames and the state for the next call.
        """
        del state
        return self.frames(signal), None

    def stream(self) -> Stream:
        """Return a new stream that gives, chunk by chunk, what `frames` gives at once."""
        return Stream(self)


class StatefulExtractor(FrameExtractor):
    """Compute streamable features with memory (filters, deltas): subclasses define only `step`."""

    def frames(self, signal: Signal) -> F32:
        count = self.frame_count(len(signal))
        if count == 0:
            return np.empty((0, len(self.columns)), np.float32)
        whole = Signal(signal.samples[: self.sample_count(count)], signal.rate_hz)
        return self.step(whole if len(whole) < len(signal) else signal, None)[0]


class WindowExtractor(Extractor):
    """Compute features of a whole window, not streamable: named arrays of a fixed shape.

    Audio shorter than a window is padded with zeros; with `takes_short` it is passed as it is, at
    least `frame_length` samples.
    """

    takes_short: ClassVar[bool] = False

    def arrays(self, signal: Signal) -> dict[str, F32]:
        """Return named float32 arrays for one window of audio; names and shapes never change."""
        raise NotImplementedError


class Stream:
    """Feed an extractor sample by sample and compute each frame once."""

    def __init__(self, extractor: FrameExtractor) -> None:
        self._extractor = extractor
        self._rate_hz = extractor.rate_hz
        self._frame_length = extractor.frame_length
        self._hop_length = extractor.hop_length
        self._width = len(extractor.columns)
        self._pending: list[F32] = []
        self._held = 0
        self._gap = 0
        self._state: Any = None

    def push(self, chunk: NDArray[Any]) -> F32:
        """Append samples (n,) and return the frames that they complete: (k, F), k may be 0."""
        self._hold(np.array(chunk, np.float32))
        if self._held < self._frame_length:
            return np.empty((0, self._width), np.float32)
        samples = np.concatenate(self._pending)
        count = self._extractor.frame_count(len(samples))
        signal = Signal(samples[: self._extractor.sample_count(count)], self._rate_hz)
        frames, self._state = self._extractor.step(signal, self._state)
        self._keep(samples, count * self._hop_length)
        return frames

    def _hold(self, chunk: F32) -> None:
        """Keep a chunk for later, less what lies between two frames."""
        skipped = min(self._gap, len(chunk))
        self._gap -= skipped
        self._pending.append(chunk[skipped:])
        self._held += len(chunk) - skipped

    def _keep(self, samples: F32, used: int) -> None:
        rest = samples[used:]
        self._gap = max(0, used - len(samples))
        self._pending, self._held = [rest], len(rest)


class _Combined(Extractor):
    """Take from the parts what combined extractors have in common."""

    parts: tuple[Extractor, ...]

    @property
    def edge_ready(self) -> bool:  # type: ignore[override]
        """Say whether every part may run on the Pi."""
        return all(part.edge_ready for part in self.parts)

    @property
    def rate_hz(self) -> int:  # type: ignore[override]
        """Return the sampling rate of the parts."""
        return self.parts[0].rate_hz

    @property
    def hop_length(self) -> int:  # type: ignore[override]
        """Return the hop length of the parts, in samples."""
        return self.parts[0].hop_length

    @property
    def span_s(self) -> tuple[float, float] | None:
        return self.parts[0].span_s

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(column for part in self.parts for column in part.columns)


@dataclasses.dataclass(frozen=True)
class Stack(_Combined, StatefulExtractor):
    """Concatenate the columns of several extractors on one frame grid: (T, F1 + F2 + …) float32.

    Parts share rate and hop length. Where their frame lengths differ, frame t of every part ends
    at the same sample. Parts with equal frame length share what `Signal.memo` holds. Raises
    ValueError for parts that do not fit together.
    """

    name: ClassVar[str] = "stack"
    parts: tuple[FrameExtractor, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("a stack needs at least one extractor")
        for part in self.parts:
            if not isinstance(part, FrameExtractor):
                raise ValueError(f"'{part.name}' has no frames, so it cannot be stacked")
        _check_same(self.parts, "rate_hz", "hop_length", "span_s")

    @property
    def frame_length(self) -> int:  # type: ignore[override]
        """Return the longest frame length of the parts, in samples."""
        return max(part.frame_length for part in self.parts)

    @property
    def warmup_frames(self) -> int:
        return max(part.warmup_frames for part in self.parts)

    def prepare(self, load: AssetLoader) -> Stack:
        return Stack(tuple(_prepared(part, load) for part in self.parts))

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        states = state or (None,) * len(self.parts)
        results = [
            part.step(signal.tail(self.frame_length - part.frame_length), before)
            for part, before in zip(self.parts, states, strict=True)
        ]
        return np.hstack([frames for frames, _ in results]), tuple(after for _, after in results)


def _prepared(part: FrameExtractor, load: AssetLoader) -> FrameExtractor:
    ready = part.prepare(load)
    if not isinstance(ready, FrameExtractor):
        raise SertkError(f"'{part.name}'.prepare must return a frame extractor")
    return ready


@dataclasses.dataclass(frozen=True)
class Joined(_Combined, WindowExtractor):
    """Return the named arrays of several window extractors, each float32 of a fixed shape.

    Raises ValueError for parts that do not fit together, SertkError where two give one name.
    """

    name: ClassVar[str] = "joined"
    parts: tuple[WindowExtractor, ...] = ()

    def __post_init__(self) -> None:
        if not self.parts:
            raise ValueError("at least one extractor expected")
        for part in self.parts:
            if not isinstance(part, WindowExtractor):
                raise ValueError(f"'{part.name}' gives frames, so it cannot stand beside windows")
        _check_same(self.parts, "rate_hz", "frame_length", "hop_length", "span_s", "takes_short")

    @property
    def takes_short(self) -> bool:  # type: ignore[override]
        """Say whether the parts take less than a window."""
        return self.parts[0].takes_short

    @property
    def frame_length(self) -> int:  # type: ignore[override]
        """Return the frame length of the parts, in samples."""
        return self.parts[0].frame_length

    def prepare(self, load: AssetLoader) -> Joined:
        ready = tuple(part.prepare(load) for part in self.parts)
        return Joined(ready)  # type: ignore[arg-type]

    def arrays(self, signal: Signal) -> dict[str, F32]:
        arrays: dict[str, F32] = {}
        for part in self.parts:
            for name, values in part.arrays(signal).items():
                if name in arrays:
                    problem = f"two extractors give an array called '{name}'"
                    raise SertkError(problem, "Leave out one of them")
                arrays[name] = values
        return arrays


def _check_same(parts: Sequence[Extractor], *fields: str) -> None:
    for field in fields:
        values = [(part.name, getattr(part, field)) for part in parts]
        if len({value for _, value in values}) > 1:
            each = ", ".join(f"{name} {value}" for name, value in values)
            raise ValueError(f"extractors beside each other need one {field}, received {each}")
