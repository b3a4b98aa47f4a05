"""What `prove` runs in each environment: `python proving.py FOLDER RUNTIME THREADS`.

It is started by its path, in environments where this toolkit need not be installed: it borrows the
runtime package that lies beside it and leaves everything else to that environment.
"""

from __future__ import annotations

import sys
import time
import types
from pathlib import Path
from typing import Any

import numpy as np

ROUNDS = 200


def borrow() -> None:
    """Make `ser_toolkit.runtime` importable without what lies beside `ser_toolkit`."""
    package = types.ModuleType("ser_toolkit")
    package.__path__ = [str(Path(__file__).resolve().parent)]
    sys.modules["ser_toolkit"] = package


def main() -> None:
    """Answer every window, and measure; a failure that is no crash leaves its reason."""
    borrow()
    from ser_toolkit.child import tell, write_arrays

    folder, name, threads = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
    try:
        found = measured(folder, name, threads)
    except Exception as error:  # whatever a foreign runtime raises
        tell(folder, error)
        sys.exit(1)
    write_arrays(folder / "answer.npz", found)


def measured(folder: Path, name: str, threads: int) -> dict[str, Any]:
    """Answers (N, n), version, and the cost of loading and of one window."""
    from ser_toolkit.child import read_arrays
    from ser_toolkit.runtime.interpreter import Network, probe

    windows = read_arrays(folder / "windows.npz")
    content = (folder / "model.tflite").read_bytes()
    probe(name)
    start = time.perf_counter()
    network = Network(content, threads, [name])
    load_ms = 1000 * (time.perf_counter() - start)
    answers = network(windows)
    times = times_ms(network, windows)
    return {
        "answers": answers,
        "version": np.array(network.runtime.version),
        "load_ms": np.array(load_ms),
        "median_ms": np.median(times),
        "p95_ms": np.quantile(times, 0.95),
        "rss_mb": np.array(rss_mb()),
    }


def times_ms(network: Any, windows: dict[str, Any]) -> list[float]:
    """Of one window at a time, as a device sees them; at most two seconds."""
    count = len(next(iter(windows.values())))
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < ROUNDS and time.perf_counter() - began < 2:
        row = len(times) % count
        window = {name: array[row : row + 1] for name, array in windows.items()}
        start = time.perf_counter()
        network(window)
        times.append(1000 * (time.perf_counter() - start))
    return times


def rss_mb() -> float:
    """The most memory that this process has held; NaN where the system does not tell.

    `getrusage` would count what the parent held when it made this process.
    """
    try:
        status = Path("/proc/self/status").read_text("ascii")
    except OSError:
        return float("nan")
    (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(peak.split()[1]) / 1024


if __name__ == "__main__":
    main()
