"""From chunks of audio of any size to standardised windows, computing each frame once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import SertkError
from ..features.base import F32, Extractor, FrameExtractor, Signal, WindowExtractor
from ..features.normalizer import Normalizer
from ..features.window import Window, WindowStream


@dataclass(frozen=True, eq=False)
class AudioWindow:
    """One window: its first sample and the one after its last, and what the network sees of it.

    `inputs` are standardised, one array per input, without the batch.
    """

    start: int
    end: int
    inputs: Mapping[str, F32]


class AudioWindows:
    """What training does to a whole clip, done to a stream that ends or does not.

    `push` takes samples (n,) float32 at the extractor's rate and yields every window that they
    complete; `finish` gives the one that ends with the audio. Together they are the windows that
    training cuts from a clip of these samples, whatever the chunk size. Frame features are computed
    once per frame; features of a whole window once per window.
    """

    def __init__(
        self, extractor: Extractor, normalizers: Mapping[str, Normalizer], window: Window
    ) -> None:
        self._features = _features_of(extractor, normalizers, window)
        self._window = window
        self._extractor = extractor
        self._samples = 0
        self._given = 0

    @property
    def next_end(self) -> int:
        """Return how many samples must have come for the next window."""
        first = self._given * self._window.hop_frames * self._extractor.hop_length
        return first + self._extractor.sample_count(self._window.length_frames)

    def push(self, chunk: NDArray[Any]) -> Iterator[AudioWindow]:
        """Yield every window that these samples complete, oldest first."""
        self._samples += len(chunk)
        for inputs in self._features.push(chunk):
            frame = self._given * self._window.hop_frames
            self._given += 1
            yield self._span(frame, inputs)

    def finish(self) -> AudioWindow | None:
        """Return the window that ends with the audio; None where `push` gave it or there was no
        audio.
        """
        if not self._samples:
            return None
        inputs = self._features.finish(self._samples)
        if inputs is None:
            return None
        frames = max(1, self._extractor.frame_count(self._samples))
        return self._span(max(0, frames - self._window.length_frames), inputs)

    def _span(self, frame: int, inputs: Mapping[str, F32]) -> AudioWindow:
        start = frame * self._extractor.hop_length
        length = self._extractor.sample_count(self._window.length_frames)
        return AudioWindow(start, min(start + length, self._samples), inputs)


def window_at(window: Window, extractor: Extractor, hop_s: float) -> Window:
    """Return the bundle's window with another hop, in whole frames, at least one."""
    hop = max(1, round(hop_s * extractor.rate_hz / extractor.hop_length))
    return replace(window, hop_frames=hop)


class _Frames:
    """Frames as they come, standardised, then cut."""

    def __init__(self, extractor: FrameExtractor, normalizer: Normalizer, window: Window) -> None:
        self._stream = extractor.stream()
        self._frame_length = extractor.frame_length
        self._normalizer = normalizer
        self._state: Any = None
        self._windows = WindowStream(window)

    def push(self, chunk: NDArray[Any]) -> Iterator[Mapping[str, F32]]:
        frames, self._state = self._normalizer.apply(self._stream.push(chunk), self._state)
        return ({"frames": window} for window in self._windows.push(frames))

    def finish(self, n_samples: int) -> Mapping[str, F32] | None:
        if not self._windows.count:
            # As training does with a clip shorter than one frame.
            missing = np.zeros(max(0, self._frame_length - n_samples), np.float32)
            frames, self._state = self._normalizer.apply(self._stream.push(missing), self._state)
            if (whole := next(self._windows.push(frames), None)) is not None:
                return {"frames": whole}
        window = self._windows.finish()
        return None if window is None else {"frames": window}


class _Samples:
    """Samples as they come, cut to windows, then features of each."""

    def __init__(
        self, extractor: WindowExtractor, normalizers: Mapping[str, Normalizer], window: Window
    ) -> None:
        self._extractor = extractor
        self._normalizers = normalizers
        length = extractor.sample_count(window.length_frames)
        hop = window.hop_frames * extractor.hop_length
        self._length = length
        self._cut = WindowStream(Window(length, hop))
        self._rest = np.zeros(0, np.float32)

    def push(self, chunk: NDArray[Any]) -> Iterator[Mapping[str, F32]]:
        samples = np.concatenate([self._rest, np.asarray(chunk, np.float32)])
        # A window begins and ends with a frame, so only whole frames go on.
        total = self._cut.count + len(samples)
        frames = self._extractor.frame_count(total)
        whole = max(0, self._extractor.sample_count(frames) - self._cut.count) if frames else 0
        self._rest = samples[whole:]
        return (self._arrays(piece[:, 0]) for piece in self._cut.push(samples[:whole, None]))

    def finish(self, n_samples: int) -> Mapping[str, F32] | None:
        extractor = self._extractor
        if n_samples >= self._length:
            piece = self._cut.finish()
            return None if piece is None else self._arrays(piece[:, 0])
        least = extractor.frame_length if extractor.takes_short else self._length
        samples = np.concatenate([self._cut.held.ravel(), self._rest])
        return self._arrays(np.pad(samples, (0, max(0, least - len(samples)))))

    def _arrays(self, samples: F32) -> Mapping[str, F32]:
        found = self._extractor.arrays(Signal(samples, self._extractor.rate_hz))
        return {name: self._normalizers[name].apply(array)[0] for name, array in found.items()}


def _features_of(
    extractor: Extractor, normalizers: Mapping[str, Normalizer], window: Window
) -> _Frames | _Samples:
    if isinstance(extractor, FrameExtractor):
        return _Frames(extractor, normalizers["frames"], window)
    if isinstance(extractor, WindowExtractor):
        return _Samples(extractor, normalizers, window)
    raise SertkError(f"'{extractor.name}' is neither a frame nor a window extractor")
