"""Measure features beside librosa and the bare FFT: one process, one thread, alternating rounds.

    python benchmarks/features.py [--rounds 31] [--audio FILE]

The clip has 2.5 s at 22,050 Hz, the frames 2,048 samples every 512: 108 frames. librosa is called
as a notebook would, one function per feature with center=True, which pads 1,024 samples at each
end; ours are causal and get the clip with those samples already there. The floor is a float32
rfft of the same frames, already cut, in cache-sized blocks: no window, no power, nothing else.
Times are medians over rounds; ratios are medians of the ratios within a round.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"
os.environ["OPENBLAS_NUM_THREADS"] = "1"
os.environ["MKL_NUM_THREADS"] = "1"
os.environ["NUMBA_NUM_THREADS"] = "1"

import argparse
import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import librosa
import numpy as np
from numpy.typing import NDArray

from ser_toolkit.runtime.features import dsp
from ser_toolkit.runtime.features.base import F32, FrameExtractor, Signal, Stack
from ser_toolkit.runtime.features.spectral import Feature, LogMel, Mfcc, Pitch, Rms, Zcr
from ser_toolkit.utils.numba_cache import use_own_numba_cache

RATE_HZ, CLIP_S, FRAME, HOP = 22050, 2.5, 2048, 512
EDGE_RATE_HZ, WINDOW_S, STEP_S = 16000, 3.0, 0.5
CALLS_PER_ROUND = 5
Candidates = Mapping[str, Callable[[], Any]]


def times_ms(candidates: Candidates, rounds: int) -> dict[str, NDArray[Any]]:
    """Return the time of each candidate per round; every other round is in reverse order."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    for run in candidates.values():
        run()
    for index in range(rounds):
        names = list(candidates)
        for name in names if index % 2 else reversed(names):
            times[name].append(call_ms(candidates[name]))
    return {name: np.array(values) for name, values in times.items()}


def call_ms(run: Callable[[], Any]) -> float:
    """Return the mean time of a few calls in a row."""
    start = time.perf_counter()
    for _ in range(CALLS_PER_ROUND):
        run()
    return 1000 * (time.perf_counter() - start) / CALLS_PER_ROUND


def on(feature: Feature, fft: dsp.Fft) -> Feature:
    """Return the same feature with another FFT."""
    kind = type(feature)
    values = {field.name: getattr(feature, field.name) for field in dataclasses.fields(feature)}
    return type(kind.__name__, (kind,), {"fft": lambda self: fft})(**values)


def synthetic(rate_hz: int, length_s: float) -> F32:
    """Return a rising tone in noise, then near silence."""
    time_s = np.arange(int(rate_hz * length_s)) / rate_hz
    tone = 0.3 * np.sin(2 * np.pi * (120 * time_s + 60 * time_s**2))
    noise = 0.01 * np.random.default_rng(0).standard_normal(len(time_s))
    return (np.where(time_s < 0.8 * length_s, tone, 0) + noise).astype(np.float32)


def clip(path: str | None, rate_hz: int, length_s: float) -> F32:
    """Return the first seconds of a file, or the synthetic clip.

    Args:
        path: The file, repeated where it is short; None is the synthetic clip.
        rate_hz: The rate to return.
        length_s: How many seconds.
    """
    if path is None:
        return synthetic(rate_hz, length_s)
    samples, _ = librosa.load(path, sr=rate_hz, duration=length_s)
    return np.resize(samples, int(rate_hz * length_s)).astype(np.float32)


def rfft_floor(samples: F32, frame: int, hop: int, fft: dsp.Fft) -> Callable[[], None]:
    """Run rfft on every frame, in blocks as large as those of `power_spectrogram`.

    Args:
        samples: Float32 (N,).
        frame: Samples of a frame.
        hop: Samples from one frame to the next.
        fft: The FFT to measure.
    """
    frames = np.array(dsp.frame_view(samples, frame, hop))
    rows = dsp.block_rows(frames[0].nbytes)

    def run() -> None:
        for start in range(0, len(frames), rows):
            fft.rfft(frames[start : start + rows])

    return run


def librosa_calls(samples: F32) -> Candidates:
    """Return calls of librosa: the three features, one call each, and all of them."""
    feature = librosa.feature
    calls: dict[str, Callable[[], Any]] = {
        "zcr": lambda: feature.zero_crossing_rate(samples, frame_length=FRAME, hop_length=HOP),
        "rms": lambda: feature.rms(y=samples, frame_length=FRAME, hop_length=HOP),
        "mfcc": lambda: feature.mfcc(y=samples, sr=RATE_HZ, n_mfcc=20, n_fft=FRAME, hop_length=HOP),
    }
    return {**calls, "total": lambda: [call() for call in list(calls.values())]}


def our_calls(padded: F32, fft: dsp.Fft) -> Candidates:
    """Return calls of our three features, each from a fresh signal; `total` shares one."""
    grid = {"rate_hz": RATE_HZ, "frame_length": FRAME, "hop_length": HOP}
    parts = (Zcr(**grid), Rms(**grid), Mfcc(**grid, n_mfcc=20, fmax_hz=RATE_HZ / 2))
    features = {part.name: on(part, fft) for part in parts}

    extractors = {**features, "total": Stack(tuple(features.values()))}
    return {name: recomputer(part, padded, RATE_HZ) for name, part in extractors.items()}


def clip_rows(samples: F32, rounds: int) -> Iterator[tuple[str, ...]]:
    """Yield one row per feature and FFT: librosa, ours, floor and their ratios."""
    padded = np.pad(samples, FRAME // 2)
    ffts = list(dict.fromkeys((dsp.best_fft(), dsp.numpy_fft())))
    candidates: dict[str, Callable[[], Any]] = {
        f"librosa {name}": call for name, call in librosa_calls(samples).items()
    }
    for fft in ffts:
        candidates[f"{fft.name} floor"] = rfft_floor(padded, FRAME, HOP, fft)
        for name, call in our_calls(padded, fft).items():
            candidates[f"{fft.name} {name}"] = call
    ms = times_ms(candidates, rounds)
    for fft in ffts:
        for name in ("zcr", "rms", "mfcc", "total"):
            keys = (f"librosa {name}", f"{fft.name} {name}", f"{fft.name} floor")
            theirs, ours, floor = (ms[key] for key in keys)
            columns = (theirs, ours, floor, theirs / ours, ours / floor)
            yield fft.name, name, *(f"{np.median(column):.3f}" for column in columns)


def stream_rows(samples: F32, rounds: int) -> Iterator[tuple[str, ...]]:
    """Measure half a second more of a stream beside its whole window computed anew."""
    extractors = [Zcr(), Rms(), LogMel(), Mfcc(), Pitch(), Stack((Zcr(), Rms(), LogMel(), Pitch()))]
    step = samples[: int(STEP_S * EDGE_RATE_HZ)]
    for extractor in extractors:
        whole = recomputer(extractor, samples, EDGE_RATE_HZ)
        ms = times_ms({"push": pusher(extractor, step), "whole": whole}, rounds)
        columns = (ms["push"], ms["whole"], ms["whole"] / ms["push"], ms["push"] / (10 * STEP_S))
        yield extractor.name, *(f"{np.median(column):.3f}" for column in columns)


def pusher(extractor: FrameExtractor, step: F32) -> Callable[[], Any]:
    """Push one step into a running stream."""
    stream = extractor.stream()
    return lambda: stream.push(step)


def recomputer(extractor: FrameExtractor, samples: F32, rate_hz: int) -> Callable[[], Any]:
    """Compute all frames of a fresh signal of `samples` at `rate_hz`."""
    return lambda: extractor.frames(Signal(samples, rate_hz))


def show(title: str, header: tuple[str, ...], rows: Iterator[tuple[str, ...]]) -> None:
    """Print a plain table under a title."""
    print(f"\n{title}")
    for row in (header, *rows):
        print("  ".join(f"{cell:>12}" for cell in row))


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=31, help="rounds per table")
    parser.add_argument("--audio", help="a speech file instead of the synthetic clip")
    args = parser.parse_args()
    use_own_numba_cache()
    show(
        f"{CLIP_S} s at {RATE_HZ} Hz, medians of {args.rounds} rounds, ms",
        ("fft", "feature", "librosa", "ours", "rfft floor", "x librosa", "x floor"),
        clip_rows(clip(args.audio, RATE_HZ, CLIP_S), args.rounds),
    )
    show(
        f"stream: {STEP_S} s more beside {WINDOW_S} s anew, {EDGE_RATE_HZ} Hz, ms",
        ("feature", "push", "whole", "x less", "load %"),
        stream_rows(clip(args.audio, EDGE_RATE_HZ, WINDOW_S), args.rounds),
    )


if __name__ == "__main__":
    main()
