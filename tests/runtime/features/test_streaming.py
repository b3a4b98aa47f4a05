"""A stream computes each frame once and in time, whatever the chunks, and shares nothing."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.runtime.features.base import FrameExtractor, Signal, Stack, StatefulExtractor
from ser_toolkit.runtime.features.spectral import Deltas, LogMel, Mfcc, Pitch, Rms, Zcr

RATE_HZ = 16000
Array = np.ndarray
PARTS = (Zcr(), Rms(), LogMel(), Mfcc(), Pitch(), Pitch(scale="gated"), Deltas())
ODD = {"frame_length": 401, "hop_length": 160}
SPARSE = {"frame_length": 300, "hop_length": 512}
EXTRACTORS = [
    *PARTS,
    Deltas(Deltas(Rms(), width=3), width=5, order=2),
    Deltas(Stack((Rms(), Pitch()))),
    Stack(PARTS),
    Stack((Rms(**ODD), Zcr(**ODD), Mfcc(**ODD, n_mels=40))),
    Zcr(**SPARSE),
    Deltas(Rms(**SPARSE)),
    Stack((Rms(**SPARSE), Zcr(frame_length=700, hop_length=512))),
]


def audio(n: int) -> Array:
    """Return a voice-like buzz in noise with a silent middle."""
    time_s = np.arange(n) / RATE_HZ
    buzz = sum(np.sin(2 * np.pi * k * 140 * time_s) / k for k in range(1, 12))
    loud = np.abs(np.arange(n) - n / 2) > n / 8
    noise = np.random.default_rng(5).standard_normal(n)
    return ((0.2 * np.asarray(buzz) + 0.01 * noise) * loud).astype(np.float32)


def chunks(samples: Array, sizes: Sequence[int]) -> Iterator[Array]:
    """Return `samples` cut into `sizes`, over and over until they end."""
    start = turn = 0
    while start < len(samples):
        size = sizes[turn % len(sizes)]
        yield samples[start : start + size]
        start, turn = start + size, turn + 1


def streamed(extractor: FrameExtractor, pieces: Iterator[Array]) -> Array:
    stream = extractor.stream()
    return np.concatenate([stream.push(piece) for piece in pieces])


def scale_of(extractor: FrameExtractor, signal: Signal) -> Array:
    """The size of what each column is computed from: slopes are differences of large values."""
    if isinstance(extractor, Deltas):
        return scale_of(extractor.of, signal)
    if isinstance(extractor, Stack):
        return np.concatenate([scale_of(part, signal) for part in extractor.parts])
    return np.abs(extractor.frames(signal)).max(axis=0, initial=1e-3)


def assert_same(got: Array, whole: Array, scale: Array | None = None) -> None:
    """Equal but for the rounding of matrix products of another size."""
    assert got.shape == whole.shape and got.dtype == whole.dtype == np.float32
    scale = np.abs(whole).max(axis=0, initial=1e-3) if scale is None else scale
    assert (np.abs(got - whole) <= 2e-5 * scale).all()


@given(
    extractor=st.sampled_from(EXTRACTORS),
    n=st.integers(1, 4000),
    sizes=st.lists(st.integers(0, 1500), min_size=1, max_size=6).filter(any),
)
def test_chunks_of_any_size_equal_the_whole(
    extractor: FrameExtractor, n: int, sizes: list[int]
) -> None:
    samples = audio(n)
    signal = Signal(samples, RATE_HZ)
    whole, scale = extractor.frames(signal), scale_of(extractor, signal)
    assert_same(streamed(extractor, chunks(samples, sizes)), whole, scale)


def test_a_frame_comes_with_its_last_sample() -> None:
    for extractor in EXTRACTORS:
        stream, samples = extractor.stream(), audio(3000)
        for n in range(1, 3001):
            came = len(stream.push(samples[n - 1 : n]))
            due = extractor.frame_count(n) - extractor.frame_count(n - 1)
            assert came == due, f"{extractor}: {came} frames at sample {n}, {due} expected"


@dataclass(frozen=True)
class Recorder(StatefulExtractor):
    """Passes on to another extractor and writes down what it was given."""

    name: ClassVar[str] = "recorder"
    of: FrameExtractor
    seen: list[Array] = field(default_factory=list)
    states: list[Any] = field(default_factory=list)

    rate_hz = property(lambda self: self.of.rate_hz)
    frame_length = property(lambda self: self.of.frame_length)
    hop_length = property(lambda self: self.of.hop_length)
    columns = property(lambda self: self.of.columns)

    def step(self, signal: Signal, state: Any) -> tuple[Array, Any]:
        self.seen.append(signal.samples.copy())
        self.states.append(state)
        frames, _ = self.of.step(signal, None)
        return frames, (state or 0) + len(frames)


@pytest.mark.parametrize("grid", [{}, SPARSE], ids=["overlapping", "apart"])
def test_only_new_frames_reach_step(grid: dict[str, int]) -> None:
    for size in (1, 100, 256, 1000, 5000):
        recorder, samples = Recorder(Rms(**grid)), audio(6000)
        frames = streamed(recorder, chunks(samples, [size]))
        first = 0
        for part, state in zip(recorder.seen, recorder.states, strict=True):
            count = recorder.frame_count(len(part))
            assert count >= 1 and len(part) == recorder.sample_count(count), size
            start = first * recorder.hop_length
            np.testing.assert_array_equal(part, samples[start : start + len(part)])
            assert state == (first or None), size
            first += count
        assert first == len(frames) == recorder.frame_count(6000), size


def test_parts_of_a_stack_see_only_their_own_new_frames_and_end_together() -> None:
    short, long = Recorder(Rms(frame_length=256)), Recorder(Rms(frame_length=1024))
    samples = audio(4000)
    frames = streamed(Stack((short, long)), chunks(samples, [300]))
    late = Rms(frame_length=256).frames(Signal(samples[768:], RATE_HZ))
    assert_same(frames[:, :1], late)
    for part in (short, long):
        counts = [part.frame_count(len(seen)) for seen in part.seen]
        assert sum(counts) == len(frames)


def test_a_caller_may_reuse_its_buffer() -> None:
    samples, buffer = audio(2000), np.empty(100, np.float32)
    stream, got = Rms().stream(), []
    for chunk in chunks(samples, [100]):
        buffer[:] = chunk
        got.append(stream.push(buffer))
        buffer[:] = np.nan
    assert_same(np.concatenate(got), Rms().frames(Signal(samples, RATE_HZ)))


def test_what_step_keeps_of_a_signal_stays_as_it_was() -> None:
    kept: list[tuple[Array, Array]] = []

    class BufferedCallback(Rms):
        def step(self, signal: Signal, state: Any) -> tuple[Array, Any]:
            kept.append((signal.samples, signal.samples.copy()))
            return super().step(signal, state)

    streamed(BufferedCallback(), chunks(audio(3000), [130]))
    assert len(kept) > 5
    assert all(np.array_equal(view, copy) for view, copy in kept)


def test_streams_do_not_share_state() -> None:
    extractor, samples = Deltas(Rms()), audio(4000)
    first, second = extractor.stream(), extractor.stream()
    first.push(samples)
    assert_same(second.push(samples), extractor.frames(Signal(samples, RATE_HZ)))


def test_warm_up_adds_up() -> None:
    twice = Deltas(Deltas(Rms(), width=3), width=5)
    assert [part.warmup_frames for part in (Rms(), Deltas(), twice, Stack((Rms(), twice)))] == [
        0,
        8,
        6,
        6,
    ]


def test_deltas_prepare_what_they_are_of() -> None:
    @dataclass(frozen=True)
    class Gain(Rms):
        gain: float = 0.0

        def prepare(self, load: Any) -> Gain:
            return dataclasses.replace(self, gain=float(load(None)))

        def _compute(self, signal: Signal) -> Array:
            return super()._compute(signal) * np.float32(self.gain)

    ready = Deltas(Gain()).prepare(lambda asset: b"2")
    signal = Signal(audio(4000), RATE_HZ)
    assert_same(ready.frames(signal), 2 * Deltas(Rms()).frames(signal))
