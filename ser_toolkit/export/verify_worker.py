"""Run a file in one environment, for `verify`: `python verify_worker.py FOLDER RUNTIME`.

It is started by its path, in environments where this toolkit need not be installed: it takes the
package that it lies in and leaves everything else to that environment.
"""

from __future__ import annotations

import sys
import time
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 200
LONGEST_S = 2.0


def use_parent_packages() -> None:
    """Make `ser_toolkit` importable without what lies beside it."""
    package = types.ModuleType("ser_toolkit")
    package.__path__ = [str(Path(__file__).resolve().parents[1])]
    sys.modules["ser_toolkit"] = package


def work() -> Iterator[dict[str, Any]]:
    """Write the probabilities (N, n) of every window into the folder, and yield the cost."""
    from ser_toolkit.runtime.inference.tflite import TfliteModel, probe
    from ser_toolkit.utils.worker import read_arrays, write_arrays

    folder, name = Path(sys.argv[1]), sys.argv[2]
    windows = read_arrays(folder / "windows.npz")
    content = (folder / "model.tflite").read_bytes()
    probe(name)
    start = time.perf_counter()
    network = TfliteModel(content, allowed=[name])
    load_ms = 1000 * (time.perf_counter() - start)
    write_arrays(folder / "probabilities.npz", {"probabilities": network(windows)})
    times = times_ms(network, windows)
    yield {
        "version": network.runtime.version,
        "load_ms": load_ms,
        "median_ms": float(np.median(times)),
        "p95_ms": float(np.quantile(times, 0.95)),
        "rss_mb": rss_mb(),
    }


def times_ms(network: Any, windows: dict[str, Any]) -> list[float]:
    """Return the time of one window after another in ms, for two seconds at most."""
    count = len(next(iter(windows.values())))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < ROUNDS and time.perf_counter() - began < LONGEST_S:
        row = len(times) % count
        window = {name: array[row : row + 1] for name, array in windows.items()}
        start = time.perf_counter()
        network(window)
        times.append(1000 * (time.perf_counter() - start))
    return times


def rss_mb() -> float:
    """Return the peak resident memory of this process in MB, NaN where the system has none.

    `getrusage` would count what the parent held when it made this process.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return float("nan")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    use_parent_packages()
    from ser_toolkit.utils.worker import serve

    serve(work)
