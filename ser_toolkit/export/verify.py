"""Verify that the very file runs: in each runtime, in an environment and a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.features.base import F32
from ..utils.worker import Worker, WorkerError, read_arrays, write_arrays
from .tflite_graph import Operator, operators

LITERT = "ai-edge-litert"
TFLITE = "tflite-runtime"
PYTHON_VARIABLE = "SERTK_TFLITE_RUNTIME_PYTHON"
LEAST_AGREEMENT = 0.9
TIMEOUT_S = 600.0
PROVEN_DEPTH = 13
PROVEN_UNITS = 7


@dataclass(frozen=True)
class RuntimeCheck:
    """Result of running a file in one runtime.

    `reason` says why it is not proven, '' for a proven one. Measurements are None where the runtime
    gave no result. Times are of one window on this machine, on one thread.
    """

    runtime: str
    proven: bool
    reason: str = ""
    version: str | None = None
    max_difference: float | None = None
    agreement: float | None = None
    load_ms: float | None = None
    median_ms: float | None = None
    p95_ms: float | None = None
    rss_mb: float | None = None


def environments() -> dict[str, str | None]:
    """Return the python of each runtime: this one for LiteRT, else that of the variable."""
    return {LITERT: sys.executable, TFLITE: os.environ.get(PYTHON_VARIABLE) or None}


def verify(
    content: bytes,
    windows: Mapping[str, F32],
    expected: F32,
    runtimes: Mapping[str, str | None] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> list[RuntimeCheck]:
    """Run a file in every runtime and compare it with the expected probabilities.

    A crash, a missing operator, or too few equal decisions give a check with the reason, never an
    exception.

    Args:
        content: Content of the file.
        windows: Standardised windows (N, …) float32 per input.
        expected: Probabilities (N, n).
        runtimes: Names of runtimes and their python executables; `environments()` if not given.
        timeout_s: Limit of each runtime, in seconds.
    """
    pythons = environments() if runtimes is None else runtimes
    return [
        _check(name, python, content, windows, expected, timeout_s)
        for name, python in pythons.items()
    ]


def _check(
    name: str,
    python: str | None,
    content: bytes,
    windows: Mapping[str, F32],
    expected: F32,
    timeout_s: float,
) -> RuntimeCheck:
    if python is None:
        reason = f"no environment has it: set {PYTHON_VARIABLE} to its python"
        return RuntimeCheck(name, False, reason)
    with tempfile.TemporaryDirectory(prefix="sertk-verify-") as scratch:
        folder = Path(scratch)
        (folder / "model.tflite").write_bytes(content)
        write_arrays(folder / "windows.npz", windows)
        script = str(Path(__file__).with_name("verify_worker.py"))
        try:
            # Isolated: what this environment's variables add must not reach into the other one.
            with Worker([python, "-I", script, str(folder), name], timeout_s, cwd=folder) as worker:
                worker.send(b"")
                (measured,) = worker.answers()
        except WorkerError as failed:
            return RuntimeCheck(name, False, failed.cause)
        probabilities = read_arrays(folder / "probabilities.npz")["probabilities"]
    return _decide(name, content, probabilities, expected, measured)


def _decide(
    name: str, content: bytes, probabilities: F32, expected: F32, measured: Mapping[str, Any]
) -> RuntimeCheck:
    """Decide whether a runtime is proven, by its predictions and by its known faults."""
    if probabilities.shape != expected.shape:
        reason = f"its output has the shape {probabilities.shape}, {expected.shape} expected"
        return RuntimeCheck(name, False, reason, measured["version"])
    agreement = float((probabilities.argmax(1) == expected.argmax(1)).mean())
    reason = known_fault(name, content)
    if agreement < LEAST_AGREEMENT:
        reason = (
            f"it decides as expected in {agreement:.0%} of the windows, "
            f"{LEAST_AGREEMENT:.0%} required"
        )
    largest = float(np.abs(probabilities - expected).max())
    return RuntimeCheck(
        name, not reason, reason, max_difference=largest, agreement=agreement, **measured
    )


def known_fault(runtime: str, content: bytes) -> str:
    """Return why a file that runs here may crash on a device, '' if no such fault is known.

    On 64-bit ARM, tflite-runtime 2.14 crashes in some small int8 FULLY_CONNECTED: always with one
    input or with two units, never with 13 inputs and 7 units or more. Between these nothing was
    measured, and what was not measured is not proven. On x86 all of them run.
    """
    if runtime != TFLITE:
        return ""
    small = [shape for shape in map(_int8_dense, operators(content)) if shape and _is_small(*shape)]
    if not small:
        return ""
    inputs, units = small[0]
    return (
        f"tflite-runtime 2.14 can crash on 64-bit ARM in an int8 FULLY_CONNECTED as small as this "
        f"file's ({inputs} inputs, {units} units), though it runs here"
    )


def _is_small(inputs: int, units: int) -> bool:
    return inputs < PROVEN_DEPTH or units < PROVEN_UNITS


def _int8_dense(operator: Operator) -> tuple[int, int] | None:
    """Return inputs and units of a FULLY_CONNECTED whose activations are int8 too."""
    if operator.name != "FULLY_CONNECTED" or operator.inputs[0].dtype != "int8":
        return None
    units, inputs = operator.inputs[1].shape
    return inputs, units
