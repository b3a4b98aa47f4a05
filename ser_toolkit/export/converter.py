"""Convert a trained Keras network to `.tflite` files, in a process of its own.

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

from ..runtime.bundle.modes import CALIBRATED, MODES
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..utils.worker import Worker, WorkerError, module_worker, write_arrays

TIMEOUT_S = 1800.0


@dataclass(frozen=True)
class Converted:
    """A `.tflite` file and its difference to the Keras network.

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


class Converter:
    """Convert one saved Keras network any number of times, in a `with` block.

    All conversions share a process, which imports TensorFlow once. One that crashes it is refused
    in one line, and the next one starts another process.
    """

    def __init__(
        self,
        network_path: Path,
        windows: Mapping[str, F32] | None = None,
        timeout_s: float = TIMEOUT_S,
    ) -> None:
        """Prepare for conversions; nothing is started yet.

        Args:
            network_path: The saved network.
            windows: Standardised windows (N, …) float32 per input, from training clips: they set
                the ranges of the activations.
            timeout_s: Limit of each conversion, in seconds.
        """
        self._network_path = network_path
        self._windows = windows
        self._timeout_s = timeout_s
        self._worker: Worker | None = None

    def __enter__(self) -> Converter:
        self._scratch = tempfile.TemporaryDirectory(prefix="sertk-convert-")
        self._folder = Path(self._scratch.name)
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()
        self._scratch.cleanup()

    def convert(self, mode: str, float_layers: Sequence[str] = ()) -> Converted:
        """Convert to `mode`, as the function `convert` does. Raises SertkError."""
        check_conversion(mode, self._windows, float_layers)
        try:
            reply = self._request({"mode": mode, "float_layers": list(float_layers)})
        except WorkerError as failed:
            self._stop()
            raise _refused(mode, failed.cause, failed.todo) from failed
        if "cause" in reply:
            raise _refused(mode, **reply)
        facts: Any = {k: tuple(v) if isinstance(v, list) else v for k, v in reply.items()}
        return Converted((self._folder / "model.tflite").read_bytes(), mode, **facts)

    def _request(self, request: dict[str, Any]) -> dict[str, Any]:
        if self._worker is None:
            self._worker = self._start()
        reply: dict[str, Any] = self._worker.ask(request)
        return reply

    def _start(self) -> Worker:
        job = {"network": str(self._network_path.resolve())}
        (self._folder / "job.json").write_text(json.dumps(job), "utf-8")
        if self._windows is not None:
            write_arrays(self._folder / "windows.npz", self._windows)
        module = "ser_toolkit.export.converter_worker"
        return module_worker(module, self._folder, self._timeout_s)

    def _stop(self) -> None:
        if self._worker is not None:
            self._worker.__exit__()
            self._worker = None


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

    The batch is fixed at 1, the inputs keep their names, and only builtin operators are used.

    Args:
        network_path: The saved network.
        mode: One of `MODES`.
        windows: Standardised windows (N, …) float32 per input, from training clips: they set the
            ranges of the activations.
        float_layers: These stay float32 in an int8 file, whose input and output are float32 then.
        timeout_s: Limit of the conversion, in seconds.

    Raises:
        SertkError: Names the mode and the cause.
    """
    with Converter(network_path, windows, timeout_s) as converter:
        return converter.convert(mode, float_layers)


def check_mode(mode: str, more: str = "") -> None:
    """Refuse an unknown mode; `more` is appended to the list of modes in the error."""
    if mode not in MODES:
        raise SertkError(f"mode expects one of {', '.join(MODES)}{more}, received '{mode}'")


def check_conversion(
    mode: str, windows: Mapping[str, F32] | None, float_layers: Sequence[str]
) -> None:
    """Refuse an impossible conversion before a process is started.

    Args:
        mode: One of `MODES`.
        windows: Calibration windows, float32 (N, …) by input name.
        float_layers: Layers that stay float32.

    Raises:
        SertkError: For an unknown mode, missing windows, or float layers outside int8.
    """
    check_mode(mode)
    if mode in CALIBRATED and not (windows and all(len(array) for array in windows.values())):
        raise SertkError(
            f"mode '{mode}' needs calibration windows, received none",
            "Pass windows of training clips",
        )
    if mode != "int8" and float_layers:
        raise SertkError(
            f"layers can stay float in mode 'int8' alone, received mode '{mode}'",
            "Leave the layers out, or choose int8",
        )


def _refused(mode: str, cause: str, todo: str) -> SertkError:
    return SertkError(
        f"conversion to {mode} failed: {cause}", todo or f"Choose another mode than {mode}"
    )
