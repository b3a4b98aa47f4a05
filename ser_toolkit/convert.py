"""From a trained Keras network to `.tflite` files, each made and checked in a process of its own.

The converter can crash (a recurrent loop in int8 does it) and its memory grows; neither may end
a training that took hours.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .child import ChildFailed, run_module, write_arrays
from .runtime.errors import SertkError
from .runtime.extractor import F32

MODES = ("float32", "float16", "dynamic", "int8", "int16x8")
CALIBRATED = ("int8", "int16x8")
TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Converted:
    """A `.tflite` file and how far it is from the network.

    `max_difference` is the largest difference of a probability, `agreement` the share of equal
    decisions, both on the calibration windows (or, without any, on random ones) in the runtime of
    this environment. `layers` are the names that `float_layers` may hold, in the order of the
    graph. `unrolled` says that recurrent layers became one copy per time step.
    """

    content: bytes
    mode: str
    ops: tuple[str, ...]
    unrolled: bool
    max_difference: float
    mean_difference: float
    agreement: float
    layers: tuple[str, ...]
    float_layers: tuple[str, ...] = ()


def convert(
    network_path: Path,
    mode: str,
    windows: Mapping[str, F32] | None = None,
    float_layers: Sequence[str] = (),
    timeout_s: float = TIMEOUT_S,
) -> Converted:
    """Convert a saved Keras network in one of `MODES`.

    float32    weights and arithmetic as trained
    float16    weights stored in 16 bits, arithmetic in float32
    dynamic    weights in int8, activations quantized anew for each window
    int8       everything in int8, input and output too (needs `windows`)
    int16x8    activations in int16, weights in int8; what has no such kernel stays float
               (needs `windows`)

    `windows` has standardised windows (N, …) float32 per input, from training clips: they set the
    ranges of the activations. Layers named in `float_layers` stay float32 in an int8 file, whose
    input and output are float32 then. The batch is fixed at 1, the inputs keep their names, and
    only builtin operators are used. Raises SertkError that names the mode and the cause.
    """
    (converted,) = convert_variants(network_path, mode, windows, [float_layers], timeout_s)
    return converted


def convert_variants(
    network_path: Path,
    mode: str,
    windows: Mapping[str, F32] | None,
    variants: Sequence[Sequence[str]],
    timeout_s: float = TIMEOUT_S,
) -> tuple[Converted, ...]:
    """As `convert`, one file per choice of float layers; calibrates once for all of them."""
    _check(mode, windows, variants)
    job = {"network": str(network_path.resolve()), "mode": mode, "variants": [*map(list, variants)]}
    with tempfile.TemporaryDirectory(prefix="sertk-convert-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        if windows is not None:
            write_arrays(folder / "windows.npz", windows)
        try:
            run_module(f"{__package__}.converting", folder, timeout_s)
        except ChildFailed as failed:
            raise SertkError(
                f"conversion to {mode} failed: {failed.cause}",
                failed.todo or f"Choose another mode than {mode}",
            ) from failed
        return tuple(_read(folder, index, mode) for index in range(len(variants)))


def _check(mode: str, windows: Mapping[str, F32] | None, variants: Sequence[Sequence[str]]) -> None:
    if mode not in MODES:
        raise SertkError(f"mode expects one of {', '.join(MODES)}, received '{mode}'")
    if mode in CALIBRATED and not (windows and all(len(array) for array in windows.values())):
        raise SertkError(
            f"mode '{mode}' needs calibration windows, received none",
            "Pass windows of training clips",
        )
    if mode != "int8" and any(variants):
        raise SertkError(
            f"layers can stay float in mode 'int8' alone, received mode '{mode}'",
            "Leave the layers out, or choose int8",
        )


def _read(folder: Path, index: int, mode: str) -> Converted:
    facts: dict[str, Any] = json.loads((folder / f"{index}.json").read_text("utf-8"))
    facts |= {name: tuple(value) for name, value in facts.items() if isinstance(value, list)}
    return Converted((folder / f"{index}.tflite").read_bytes(), mode, **facts)
