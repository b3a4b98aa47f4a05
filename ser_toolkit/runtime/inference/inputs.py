"""From audio to windows to one prediction per utterance: the way that training and device share."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from ..audio.decode import Audio, resample
from ..errors import AudioError, SertkError
from ..features.base import F32, Extractor, FrameExtractor, Signal, WindowExtractor
from ..features.normalizer import Normalizer
from ..features.window import Window


def signal_of(audio: Audio, extractor: Extractor, shown: str = "the audio") -> Signal:
    """Return the part of a clip that the extractor takes, at its rate.

    The part is cut before resampling, as a loader with an offset and a duration does. Raises
    AudioError for a clip that ends before that part begins.
    """
    samples = audio.samples
    if extractor.span_s is not None:
        start_s, end_s = extractor.span_s
        first = int(start_s * audio.rate_hz)
        samples = samples[first : first + int((end_s - start_s) * audio.rate_hz)]
        if not len(samples):
            raise AudioError(
                f"'{shown}' lasts {audio.duration_s:.2f} s, and '{extractor.name}' uses what "
                f"comes after {start_s:g} s"
            )
    return Signal(resample(samples, audio.rate_hz, extractor.rate_hz), extractor.rate_hz)


def features(extractor: Extractor, signal: Signal, window: Window) -> dict[str, F32]:
    """Return {"frames": (T, F)} of a frame extractor, or named (W, …) arrays of a window extractor.

    Audio shorter than one frame is lengthened with zeros to one frame, and for a window extractor
    that does not take short audio to one window.
    """
    if isinstance(extractor, FrameExtractor):
        return {"frames": extractor.frames(_at_least(signal, extractor.frame_length))}
    if not isinstance(extractor, WindowExtractor):
        raise SertkError(f"'{extractor.name}' is neither a frame nor a window extractor")
    length = extractor.sample_count(window.length_frames)
    whole = _at_least(signal, extractor.frame_length if extractor.takes_short else length)
    starts = window.starts(extractor.frame_count(len(whole)))
    pieces = [
        extractor.arrays(Signal(whole.samples[first : first + length], whole.rate_hz))
        for first in (start * extractor.hop_length for start in starts)
    ]
    return {name: np.stack([piece[name] for piece in pieces]) for name in pieces[0]}


def _at_least(signal: Signal, length: int) -> Signal:
    missing = length - len(signal)
    return signal if missing <= 0 else Signal(np.pad(signal.samples, (0, missing)), signal.rate_hz)


def windows(
    extractor: Extractor,
    window: Window,
    normalizers: Mapping[str, Normalizer],
    arrays: Mapping[str, F32],
) -> dict[str, F32]:
    """Return what the network sees: standardised (W, …) arrays, one per input."""
    scaled = {name: normalizers[name].apply(values)[0] for name, values in arrays.items()}
    if isinstance(extractor, FrameExtractor):
        return {name: window.cut(frames) for name, frames in scaled.items()}
    return scaled


def window_times(extractor: Extractor, window: Window, signal: Signal) -> list[tuple[float, float]]:
    """Start and end in seconds of each window of a clip, as `features` and `windows` cut it."""
    length = extractor.sample_count(window.length_frames)
    starts = window.starts(max(1, extractor.frame_count(len(signal))))
    firsts = [start * extractor.hop_length for start in starts]
    offset_s = extractor.span_s[0] if extractor.span_s else 0.0
    rate_hz = extractor.rate_hz
    return [
        (offset_s + first / rate_hz, offset_s + min(first + length, len(signal)) / rate_hz)
        for first in firsts
    ]


def utterance_score(probabilities: F32) -> F32:
    """Return the mean of the window probabilities: (W, n) -> (n,)."""
    mean: F32 = probabilities.mean(axis=0)
    return mean
