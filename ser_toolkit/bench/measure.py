"""Measure a bundle on this machine: loading, features, network, memory, board and power.

Everything is measured in a child process that does only this. It imports what a device imports: the
runtime, and what opens bundles.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..plugins.bundles import classifier_of, plugins_of
from ..runtime.bundle.file import Bundle, BundleError, parse_bundle
from ..runtime.bundle.selftest import FULL_SCALE, check_selftest
from ..runtime.features.base import F32, Extractor, FrameExtractor, Signal
from ..runtime.features.dsp import best_fft
from ..runtime.features.window import Window
from ..runtime.inference.classifier import BundleClassifier, Classifier
from ..runtime.inference.inputs import features
from ..runtime.inference.streaming import AudioWindows
from ..runtime.inference.tflite import find_runtime
from ..utils.worker import WorkerCrashError, WorkerError, ask_code
from .board import board, cores, memory, power

FORMAT = 1
SECONDS = 2.0
LEAST_ROUNDS = 10
WARM_UP_ROUNDS = 2
# A device gets its audio in small pieces, and each piece has a price of its own.
CHUNK_S = 0.1
TIMEOUT_S = 600.0
STAGES = ("cold", "windows", "stream", "memory", "warm")
WORKER = (
    "import sys, time; began = time.perf_counter(); from ser_toolkit.bench.measure import _stages; "
    "from ser_toolkit.utils.worker import serve; "
    "serve(lambda: _stages(began, int(sys.argv[1]), float(sys.argv[2])))"
)
THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")

Step = tuple[int, str, dict[str, Any]]
Track = Callable[[Iterable[Step], str, int], Iterable[Step]]


def bench(
    content: bytes,
    file: str,
    threads: Sequence[int] | None = None,
    seconds: float = SECONDS,
    public_key: bytes | None = None,
    track: Track = lambda steps, title, total: steps,
) -> dict[str, Any]:
    """Measure a bundle with each number of threads, and return JSON values.

    Other load on the machine shows in every measurement.

    Args:
        content: Content of the bundle.
        file: Its name, for the report.
        threads: Numbers of threads; None takes 1, 2, 3, 4, and powers of two up to the cores.
        seconds: How long each kind of work is repeated.
        public_key: Key that must have signed the bundle; None accepts unsigned ones.
        track: Wrapper of the steps that shows progress.

    Raises:
        SertkError: For a bundle that does not pass its self-test.
    """
    bundle = parse_bundle(content, public_key)
    runtime = find_runtime([proven.name for proven in bundle.manifest.runtimes])
    chosen = tuple(threads or thread_counts(cores()))
    before = power()
    measured: dict[int, dict[str, Any]] = {n: {"threads": n} for n in chosen}
    steps = (step for n in chosen for step in _run(content, n, seconds))
    for n, stage, measurements in track(steps, "Measuring", len(chosen) * len(STAGES)):
        measured[n][stage] = measurements
    return {
        "format": FORMAT,
        "bundle": _bundle_facts(bundle, content, file, measured[chosen[0]]["windows"]),
        "software": {**_software(), "runtime": runtime.name, "runtime_version": runtime.version},
        "board": board(),
        "power": {"before": before, "after": power()},
        "seconds": seconds,
        "runs": [_one_run(run) for run in measured.values()],
    }


def thread_counts(cores: int) -> list[int]:
    """Return the numbers of threads to measure: 1 to `cores`, above 4 only powers of two."""
    return [n for n in range(1, cores + 1) if n <= 4 or n & (n - 1) == 0]


def spread(durations_s: Sequence[float]) -> dict[str, Any]:
    """Return median and tail of some durations, in milliseconds."""
    median, p95, p99 = (float(q) for q in np.quantile(durations_s, (0.5, 0.95, 0.99)) * 1000)
    return {"median_ms": median, "p95_ms": p95, "p99_ms": p99, "rounds": len(durations_s)}


def window_seconds(extractor: Extractor, window: Window) -> tuple[float, float]:
    """Return the length and the hop of a window in seconds."""
    samples = (
        extractor.sample_count(window.length_frames),
        window.hop_frames * extractor.hop_length,
    )
    return samples[0] / extractor.rate_hz, samples[1] / extractor.rate_hz


def _bundle_facts(
    bundle: Bundle, content: bytes, file: str, timed: Mapping[str, Any]
) -> dict[str, Any]:
    manifest = bundle.manifest
    return {
        "file": Path(file).name,
        "name": manifest.name,
        "sha256": hashlib.sha256(content).hexdigest(),
        "bytes": len(content),
        "network_bytes": len(bundle.model),
        "mode": manifest.quantization.mode,
        "extractor": [f"{part.name} {part.version}" for part in manifest.parts],
        "window_s": timed["window_s"],
        "hop_s": timed["hop_s"],
    }


def _software() -> dict[str, str]:
    from .. import __version__

    return {
        "ser_toolkit": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "fft": best_fft().name,
    }


def _one_run(run: Mapping[str, Any]) -> dict[str, Any]:
    windows, stream = run["windows"], run["stream"]
    hop_ms = 1000 * windows["hop_s"]
    works = {"window": windows["window"], "stream": stream and stream["hop"]}
    return {
        "threads": run["threads"],
        "load": {"cold": run["cold"], "warm": run["warm"]},
        "extractor": windows["extractor"],
        "network": windows["network"],
        "window": windows["window"],
        "stream": stream,
        "real_time_factor": {
            name: work and {"median": work["median_ms"] / hop_ms, "p95": work["p95_ms"] / hop_ms}
            for name, work in works.items()
        },
        "memory": run["memory"],
    }


# The child, from outside.


def _run(content: bytes, threads: int, seconds: float) -> Iterator[Step]:
    """Yield the stages of one child, as they come."""
    # numpy's matrix products would take every core, whatever the network's number of threads.
    env = dict.fromkeys(THREAD_VARIABLES, str(threads))
    arguments = [str(threads), str(seconds)]
    began = time.perf_counter()
    try:
        for stage, values in ask_code(WORKER, arguments, content, TIMEOUT_S + 3 * seconds, env):
            if stage == "cold":
                values["total_ms"] = 1000 * (time.perf_counter() - began)
            yield threads, stage, values
    except WorkerCrashError as crash:
        raise BundleError(f"the measurement {crash.end}", "Try `sertk bundle verify`") from crash
    except WorkerError as failed:
        raise BundleError(failed.cause, failed.todo) from failed


# The child, from inside.


def _stages(began: float, threads: int, seconds: float) -> Iterator[tuple[str, Any]]:
    """Measure the bundle in standard input, stage by stage; `began` is the start of the process."""
    clock = _Clock(began)
    clock.lap("import_ms")
    content = sys.stdin.buffer.read()
    clock.lap("read_ms")
    classifier, bundle = _load(content, threads, clock)
    check_selftest(classifier, bundle.selftest)
    clock.lap("selftest_ms")
    yield "cold", clock.laps
    samples = bundle.selftest["samples"].astype(np.float32) / FULL_SCALE
    yield "windows", _windows(classifier, samples, seconds)
    yield "stream", _stream(classifier, samples, seconds)
    yield "memory", memory()
    clock = _Clock(time.perf_counter())
    _load(content, threads, clock)
    yield "warm", clock.laps


class _Clock:
    """Measure the time of one step after another."""

    def __init__(self, began: float) -> None:
        self._last = began
        self.laps: dict[str, float] = {}

    def lap(self, name: str) -> None:
        """Store the milliseconds since the last lap under `name`."""
        now = time.perf_counter()
        self.laps[name] = 1000 * (now - self._last)
        self._last = now


def _load(content: bytes, threads: int, clock: _Clock) -> tuple[BundleClassifier, Bundle]:
    bundle = parse_bundle(content)
    clock.lap("verify_ms")
    classifier = classifier_of(bundle, plugins_of(bundle.manifest), threads)
    clock.lap("load_ms")
    return classifier, bundle


def _windows(classifier: Classifier, samples: F32, seconds: float) -> dict[str, Any]:
    """Time one window at a time, from its samples to its probabilities."""
    extractor, window = classifier.extractor, classifier.window
    length = extractor.sample_count(window.length_frames)
    hop = window.hop_frames * extractor.hop_length

    def one(number: int) -> tuple[float, float]:
        signal = Signal(_piece(samples, number * hop, length), extractor.rate_hz)
        start = time.perf_counter()
        arrays = features(extractor, signal, window)
        middle = time.perf_counter()
        classifier.score(arrays)
        return middle - start, time.perf_counter() - middle

    rounds = _repeated(one, seconds)
    window_s, hop_s = window_seconds(extractor, window)
    return {
        **_spreads(rounds, "extractor", "network", "window"),
        "window_s": window_s,
        "hop_s": hop_s,
    }


def _stream(classifier: Classifier, samples: F32, seconds: float) -> dict[str, Any] | None:
    """Time the hops of a stream by the code of the daemon; None where nothing streams."""
    extractor, window = classifier.extractor, classifier.window
    if not isinstance(extractor, FrameExtractor):
        return None
    stream = AudioWindows(extractor, classifier.normalizers, window)
    first = extractor.sample_count(window.length_frames)
    list(stream.push(_piece(samples, 0, first)))
    hop = window.hop_frames * extractor.hop_length
    pieces = -(-hop // max(1, int(CHUNK_S * extractor.rate_hz)))

    def one(number: int) -> tuple[float, float]:
        chunks = np.array_split(_piece(samples, first + number * hop, hop), pieces)
        start = time.perf_counter()
        windows = [complete for chunk in chunks for complete in stream.push(chunk)]
        middle = time.perf_counter()
        for complete in windows:
            classifier.network({name: array[None] for name, array in complete.inputs.items()})
        return middle - start, time.perf_counter() - middle

    return {**_spreads(_repeated(one, seconds), "extractor", "network", "hop"), "chunks": pieces}


def _piece(samples: F32, first: int, length: int) -> F32:
    """Return `length` samples of the endlessly repeated signal."""
    return np.take(samples, np.arange(first, first + length), mode="wrap")


def _repeated(
    one: Callable[[int], tuple[float, float]], seconds: float
) -> list[tuple[float, float]]:
    """Repeat `one` for `seconds`; return the durations of each round, without the first ones."""
    rounds: list[tuple[float, float]] = []
    end = time.perf_counter() + seconds
    while len(rounds) < WARM_UP_ROUNDS + LEAST_ROUNDS or time.perf_counter() < end:
        rounds.append(one(len(rounds)))
    return rounds[WARM_UP_ROUNDS:]


def _spreads(rounds: Sequence[tuple[float, float]], *names: str) -> dict[str, Any]:
    columns = (*zip(*rounds, strict=True), [sum(both) for both in rounds])
    return {name: spread(column) for name, column in zip(names, columns, strict=True)}
