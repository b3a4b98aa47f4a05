"""Windows and standardisation: the same in a clip and in a stream."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.normalizer import (
    Normalizer,
    fit,
    normalizers_from_bytes,
    normalizers_to_bytes,
)
from ser_toolkit.runtime.features.window import Window, WindowStream


@given(
    frames=st.integers(1, 80),
    length=st.integers(1, 20),
    hop=st.integers(1, 30),
    cut=st.integers(1, 9),
)
def test_a_stream_of_frames_gives_the_regular_windows(
    frames: int, length: int, hop: int, cut: int
) -> None:
    data = np.arange(frames, dtype=np.float32)[:, None]
    window = Window(length, hop)
    stream = WindowStream(window)
    streamed = [w for i in range(0, frames, cut) for w in stream.push(data[i : i + cut])]
    expected = [data[s : s + length] for s in range(0, frames - length + 1, hop)]
    assert len(streamed) == len(expected)
    assert all(np.array_equal(a, b) for a, b in zip(streamed, expected, strict=True))


@given(
    frames=st.integers(1, 80),
    length=st.integers(1, 20),
    hop=st.integers(1, 30),
    cut=st.integers(1, 90),
    short=st.sampled_from(["tile", "zero"]),
)
def test_a_stream_that_ends_gives_the_windows_of_the_clip(
    frames: int, length: int, hop: int, cut: int, short: Literal["tile", "zero"]
) -> None:
    data = np.arange(1, frames + 1, dtype=np.float32)[:, None]
    window = Window(length, hop, short)
    stream = WindowStream(window)
    streamed = [w for i in range(0, frames, cut) for w in stream.push(data[i : i + cut])]
    last = stream.finish()
    streamed += [] if last is None else [last]
    assert stream.count == frames
    assert np.array_equal(np.stack(streamed), window.cut(data))


def test_a_stream_of_nothing_ends_with_nothing() -> None:
    assert WindowStream(Window(3, 1)).finish() is None


@given(frames=st.integers(1, 80), length=st.integers(1, 20), hop=st.integers(1, 19))
def test_the_windows_of_a_clip_cover_all_of_it(frames: int, length: int, hop: int) -> None:
    data = np.arange(frames, dtype=np.float32)[:, None]
    windows = Window(length, min(hop, length)).cut(data)
    assert windows.shape[1:] == (length, 1)
    assert set(windows.ravel()) == set(data.ravel())


def test_short_clips_are_tiled_or_filled_with_zeros() -> None:
    data = np.array([[1.0], [2.0], [3.0]], np.float32)
    assert Window(7, 1, "tile").cut(data)[0].ravel().tolist() == [1, 2, 3, 1, 2, 3, 1]
    assert Window(5, 1, "zero").cut(data)[0].ravel().tolist() == [1, 2, 3, 0, 0]


def test_a_window_of_nothing_is_refused() -> None:
    with pytest.raises(SertkError, match=r"expects 1 to 1000000, received 0"):
        Window(0, 1)


def test_the_fit_equals_numpy_even_far_from_zero() -> None:
    rng = np.random.default_rng(0)
    parts = [rng.normal((1e4, 0.08, -250), (0.5, 0.03, 120), (n, 3)) for n in (50, 1, 300)]
    normalizer = fit(part.astype(np.float64) for part in parts)
    whole = np.concatenate(parts)
    assert normalizer.mean == pytest.approx(whole.mean(0), rel=1e-6)
    assert normalizer.std == pytest.approx(whole.std(0), rel=1e-5)
    scaled, _ = normalizer.apply(whole.astype(np.float32))
    assert np.abs(scaled.mean(0)).max() < 2e-3 and scaled.dtype == np.float32
    expected = (whole - whole.mean(0)) / whole.std(0)
    assert np.abs(scaled - expected).max() <= 2e-3 * np.abs(expected).max()


def test_a_constant_column_stays_finite() -> None:
    normalizer = fit([np.full((10, 2), 7.0)])
    assert normalizer.std.tolist() == [1, 1]
    assert normalizer.apply(np.full((3, 2), 7, np.float32))[0].tolist() == [[0, 0]] * 3


def test_it_survives_a_file_and_refuses_other_columns() -> None:
    normalizer = Normalizer(np.array([1, 2], np.float32), np.array([3, 4], np.float32))
    again = normalizers_from_bytes(normalizers_to_bytes({"frames": normalizer}))["frames"]
    assert np.array_equal(again.mean, normalizer.mean) and np.array_equal(again.std, normalizer.std)
    with pytest.raises(SertkError, match="2 feature columns expected, 3 received"):
        normalizer.apply(np.zeros((1, 3), np.float32))


def test_nothing_to_fit_is_an_error() -> None:
    with pytest.raises(SertkError, match="no frames"):
        fit([])
