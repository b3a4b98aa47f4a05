"""A stream gives what offline gives, whatever the chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import soundfile

from ser_toolkit import FrameExtractor, Signal, Stack
from ser_toolkit.testing import relative_error
from sertk_msf import Msf

PAPER = Msf()
GRID_16 = Msf(rate_hz=16000, frame_length=4096, hop_length=256)
# Two ways of rounding the same sums, on values between -23 and 5.
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Peak(FrameExtractor):
    """The largest magnitude of a frame."""

    name: ClassVar[str] = "peak"
    rate_hz: int = 16000
    frame_length: int = 512
    hop_length: int = 256
    columns: ClassVar[tuple[str, ...]] = ("peak",)

    def frames(self, signal):
        count = self.frame_count(len(signal))
        starts = [t * self.hop_length for t in range(count)]
        found = [np.abs(signal.samples[s : s + self.frame_length]).max() for s in starts]
        return np.array(found, np.float32).reshape(count, 1)


def sound(extractor, seconds=1.3):
    rng = np.random.default_rng(3)
    samples = 0.1 * rng.standard_normal(int(seconds * extractor.rate_hz) + 11)
    return samples.astype(np.float32)


def streamed(extractor, samples, sizes):
    stream, start, found = extractor.stream(), 0, []
    for size in sizes:
        found.append(stream.push(samples[start : start + size]))
        start += size
    assert start >= len(samples)
    return np.vstack(found)


def sizes_of(chunk, n_samples):
    if chunk == "random":
        rng = np.random.default_rng(4)
        sizes = rng.integers(0, 3000, 10 + n_samples // 500)
        return [*sizes, max(0, n_samples - int(sizes.sum()))]
    size = n_samples if chunk == "whole" else chunk
    return [size] * -(-n_samples // size)


def test_stream_equals_offline_on_speech(data_dir):
    path = data_dir / "emodb" / "wav" / "03a01Fa.wav"
    samples, rate_hz = soundfile.read(path, dtype="float32")
    assert rate_hz == GRID_16.rate_hz
    whole = GRID_16.frames(Signal(samples, rate_hz))
    for chunk in (256, 8000, "random"):
        found = streamed(GRID_16, samples, sizes_of(chunk, len(samples)))
        assert relative_error(found, whole) <= TOLERANCE, chunk


@pytest.mark.parametrize("longest", [512, 8192], ids=["msf is longest", "another is longest"])
def test_stream_equals_offline_in_a_stack(longest):
    stack = Stack((Peak(frame_length=longest), GRID_16))
    samples = sound(stack)
    whole = stack.frames(Signal(samples, stack.rate_hz))
    for chunk in (160, 1280, "random"):
        found = streamed(stack, samples, sizes_of(chunk, len(samples)))
        assert relative_error(found, whole) <= TOLERANCE, chunk
    late = samples[max(0, longest - GRID_16.frame_length) :]
    alone = GRID_16.frames(Signal(late, stack.rate_hz))
    assert relative_error(whole[:, 1:], alone[: len(whole)]) <= TOLERANCE
    assert whole.shape == (stack.frame_count(len(samples)), 96)


def test_step_looks_at_new_samples_alone():
    samples = sound(PAPER)
    _, state = PAPER.step(Signal(samples[: PAPER.frame_length], PAPER.rate_hz), None)
    following = samples[PAPER.hop_length :][: PAPER.frame_length]
    expected, _ = PAPER.step(Signal(following, PAPER.rate_hz), state)
    spoilt = following.copy()
    spoilt[: PAPER.frame_length - PAPER.hop_length] = np.nan
    found, _ = PAPER.step(Signal(spoilt, PAPER.rate_hz), state)
    assert np.array_equal(found, expected)


def test_streams_do_not_disturb_each_other():
    samples = sound(PAPER)
    expected = PAPER.frames(Signal(samples, PAPER.rate_hz))
    one, other = PAPER.stream(), PAPER.stream()
    found = []
    for start in range(0, len(samples), 700):
        found.append(one.push(samples[start : start + 700]))
        other.push(-3 * samples[start : start + 500])
    assert relative_error(np.vstack(found), expected) <= TOLERANCE


def test_long_audio_needs_little_memory():
    import tracemalloc

    samples = sound(GRID_16, 60)
    GRID_16.frames(Signal(samples[:16000], 16000))
    tracemalloc.start()
    frames = GRID_16.frames(Signal(samples, 16000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20e6 + 4 * frames.nbytes
