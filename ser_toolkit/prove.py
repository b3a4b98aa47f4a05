"""Proof that the very file runs: in each runtime, in an environment and a process of its own."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .child import ChildFailed, read_arrays, run, write_arrays
from .flatbuffer import Operator, operators
from .runtime.extractor import F32

LITERT = "ai-edge-litert"
TFLITE = "tflite-runtime"
PYTHON_VARIABLE = "SERTK_TFLITE_RUNTIME_PYTHON"
LEAST_AGREEMENT = 0.9
TIMEOUT_S = 600.0
PROVEN_DEPTH = 13
PROVEN_UNITS = 7


@dataclass(frozen=True)
class Proof:
    """What one runtime made of a file.

    `reason` says in words why it is not proven; it is empty for a proven one. What was measured is
    None where the runtime gave no answer. Times are of one window on this machine.
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
    """The python of each runtime: this one for LiteRT, for the other what the variable names."""
    return {LITERT: sys.executable, TFLITE: os.environ.get(PYTHON_VARIABLE) or None}


def prove(
    content: bytes,
    windows: Mapping[str, F32],
    expected: F32,
    runtimes: Mapping[str, str | None] | None = None,
    least_agreement: float = LEAST_AGREEMENT,
    threads: int = 1,
    timeout_s: float = TIMEOUT_S,
) -> list[Proof]:
    """Run the file in every runtime and compare with `expected` (N, n), what the network answers.

    `runtimes` maps names to python executables (default: `environments()`). A crash, a missing
    operator, or answers of which fewer than `least_agreement` decide as expected make a Proof with
    the reason, never an exception.
    """
    wanted = environments() if runtimes is None else runtimes
    return [
        _proof(name, python, content, windows, expected, least_agreement, threads, timeout_s)
        for name, python in wanted.items()
    ]


def _proof(
    name: str,
    python: str | None,
    content: bytes,
    windows: Mapping[str, F32],
    expected: F32,
    least: float,
    threads: int,
    timeout_s: float,
) -> Proof:
    if python is None:
        return Proof(name, False, f"no environment has it: set {PYTHON_VARIABLE} to its python")
    with tempfile.TemporaryDirectory(prefix="sertk-prove-") as made:
        folder = Path(made)
        (folder / "model.tflite").write_bytes(content)
        write_arrays(folder / "windows.npz", windows)
        script = str(Path(__file__).with_name("proving.py"))
        try:
            # Isolated: what this environment's variables add must not reach into the other one.
            run([python, "-I", script, str(folder), name, str(threads)], folder, timeout_s)
        except ChildFailed as failed:
            return Proof(name, False, failed.cause)
        found = read_arrays(folder / "answer.npz")
        return _judged(name, content, found, expected, least)


def _judged(
    name: str, content: bytes, found: Mapping[str, np.ndarray], expected: F32, least: float
) -> Proof:
    """The proof from what was measured, and from what is known of the runtime elsewhere."""
    answers = found["answers"]
    if answers.shape != expected.shape:
        reason = f"it answers with the shape {answers.shape}, {expected.shape} expected"
        return Proof(name, False, reason, str(found["version"]))
    agreement = float((answers.argmax(1) == expected.argmax(1)).mean())
    reason = known_fault(name, content)
    if agreement < least:
        reason = f"it decides as expected in {agreement:.0%} of the windows, {least:.0%} required"
    return Proof(
        name,
        not reason,
        reason,
        str(found["version"]),
        float(np.abs(answers - expected).max()),
        agreement,
        *(float(found[key]) for key in ("load_ms", "median_ms", "p95_ms", "rss_mb")),
    )


def known_fault(runtime: str, content: bytes) -> str:
    """Why a file that runs here may not run on a device; empty if nothing is known.

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
    """Inputs and units of a FULLY_CONNECTED whose activations are int8 too."""
    if operator.name != "FULLY_CONNECTED" or operator.inputs[0].dtype != "int8":
        return None
    units, inputs = operator.inputs[1].shape
    return inputs, units
