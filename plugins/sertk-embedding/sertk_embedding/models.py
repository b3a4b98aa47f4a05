"""Open models from memory behind one call: waveform (N,) in, embedding (D,) out."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from ser_toolkit import MissingExtra, SertkError, find_runtime, load_interpreter

if TYPE_CHECKING:
    from ser_toolkit import F32, Asset

Run = Callable[["F32"], Any]


class Embedder:
    """Run a model, one thread at a time; it is tried on silence, for `size` and early errors."""

    def __init__(self, run: Run, n_samples: int, shown: str) -> None:
        self._run = run
        self._shown = shown
        self._lock = threading.Lock()
        self.size = len(self(np.zeros(n_samples, np.float32)))

    def __call__(self, samples: F32) -> F32:
        """Return the embedding (D,) float32 of samples (N,): the mean where there are several."""
        with self._lock:
            values = np.array(self._run(samples), np.float32)
        if values.ndim == 0 or values.ndim > 3 or (values.ndim == 3 and len(values) != 1):
            raise SertkError(
                f"'{self._shown}' gives the shape {values.shape}; (D,), (1, D) or (T, D) expected",
                "Choose another one of its outputs: --set extractor.output=1",
            )
        rows = values.reshape(-1, values.shape[-1])
        row: F32 = rows.mean(axis=0, dtype=np.float32)
        if not row.size or not np.isfinite(row).all():
            raise SertkError(
                f"'{self._shown}' gives values that are not numbers", "Choose another model"
            )
        return row


def is_keras(file: Asset) -> bool:
    """Say whether a file is named as a Keras model, which needs TensorFlow."""
    return file.name.lower().endswith(".keras")


def open_model(content: bytes, file: Asset, n_samples: int, output: int) -> Embedder:
    """Return the model in a file.

    Args:
        content: The bytes of the file.
        file: Its asset; the suffix of its name must fit the bytes.
        n_samples: The length of the waveform that the model is given.
        output: The index of the output to use.
    """
    if is_keras(file) and content[:4] == b"PK\x03\x04":
        return _open_keras(content, file.name, n_samples, output)
    if not is_keras(file) and content[4:8] == b"TFL3":
        return Embedder(_tflite(content, file.name, n_samples, output), n_samples, file.name)
    raise SertkError(
        f"'{file.name}' is no {'Keras' if is_keras(file) else '.tflite'} model",
        "Save it as .tflite or .keras, under that suffix",
    )


def _tflite(content: bytes, shown: str, n_samples: int, output: int) -> Run:
    runtime = find_runtime()
    try:
        interpreter = load_interpreter(runtime.name, content)
        index, shape = _input(interpreter, shown, n_samples)
    except (ValueError, RuntimeError, TypeError, MemoryError) as error:
        raise _refused(shown, error) from error
    outputs = interpreter.get_output_details()
    detail = outputs[_checked(output, len(outputs), shown)]
    if detail["dtype"] is not np.float32:
        raise SertkError(
            f"'{shown}' gives {np.dtype(detail['dtype'])}; float32 expected",
            "Convert it with float32 inputs and outputs",
        )

    def run(samples: F32) -> Any:
        try:
            interpreter.set_tensor(index, samples.reshape(shape))
            interpreter.invoke()
            return interpreter.get_tensor(detail["index"])
        except (ValueError, RuntimeError) as error:
            raise _refused(shown, error) from error

    return run


def _input(interpreter: Any, shown: str, n_samples: int) -> tuple[int, tuple[int, ...]]:
    """Return index and shape of the only input, resized to `n_samples`."""
    details = interpreter.get_input_details()
    if len(details) != 1 or details[0]["dtype"] is not np.float32:
        kinds = ", ".join(f"{np.dtype(d['dtype'])} {tuple(d['shape'])}" for d in details)
        raise SertkError(
            f"'{shown}' takes {kinds}; one float32 waveform (N,) or (1, N) expected",
            "Choose a model that takes the waveform",
        )
    signature = tuple(int(n) for n in details[0].get("shape_signature", details[0]["shape"]))
    # An open batch is 1; an open length, or one of 1 without a signature, is `n_samples`.
    fixed = tuple(int(n) for n in details[0]["shape"])
    shape = _fitting(signature, n_samples) or (n_samples if fixed == (1,) else 0,)
    if shape == (0,):
        raise _other_length(shown, signature)
    if shape != fixed:
        interpreter.resize_tensor_input(details[0]["index"], shape)
        interpreter.allocate_tensors()
    return details[0]["index"], shape


def _fitting(signature: tuple[int, ...], n_samples: int) -> tuple[int, ...] | None:
    """Return the shape for an input of this signature (-1 is open), None where none fits."""
    if not 1 <= len(signature) <= 2 or signature[-1] not in (-1, n_samples):
        return None
    if len(signature) == 2 and signature[0] not in (-1, 1):
        return None
    return (n_samples,) if len(signature) == 1 else (1, n_samples)


def _other_length(shown: str, signature: tuple[int, ...]) -> SertkError:
    n_samples = signature[-1] if signature else 0
    if n_samples > 1 and len(signature) <= 2:
        todo = f"Add --set extractor.frame_length={n_samples}"
    else:
        todo = "Choose a model that takes the waveform"
    return SertkError(f"'{shown}' takes the shape {signature} (-1: any)", todo)


@functools.lru_cache(maxsize=2)
def _open_keras(content: bytes, shown: str, n_samples: int, output: int) -> Embedder:
    """Open a Keras model, cached: opening takes seconds, and every clip needs it."""
    try:
        from ser_toolkit import import_keras

        keras = import_keras()
    except ImportError as error:
        todo = 'Run `pip install "sertk-embedding[keras]"`, or convert the model to .tflite'
        raise MissingExtra(f"'{shown}' needs Keras ({error})", todo) from error
    with TemporaryDirectory(prefix="sertk-embedding-") as name:
        path = Path(name) / "model.keras"
        path.write_bytes(content)
        try:
            model = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:  # Keras raises whatever the layers raise
            raise _refused(shown, error) from error
    if len(model.inputs) != 1 or len(model.inputs[0].shape) != 2:
        shapes = ", ".join(str(tuple(tensor.shape)) for tensor in model.inputs)
        raise SertkError(f"'{shown}' takes {shapes}; one waveform (batch, N) expected")
    if model.inputs[0].shape[-1] not in (None, n_samples):
        raise _other_length(shown, (-1, int(model.inputs[0].shape[-1])))
    _checked(output, len(model.outputs), shown)

    def run(samples: F32) -> Any:
        outputs = model(samples[None], training=False)
        chosen = list(outputs)[output] if isinstance(outputs, (list, tuple)) else outputs
        return keras.ops.convert_to_numpy(chosen)

    return Embedder(run, n_samples, shown)


def _checked(output: int, count: int, shown: str) -> int:
    if output >= count:
        raise SertkError(f"'{shown}' has {count} outputs, received output {output}")
    return output


def _refused(shown: str, error: Exception) -> SertkError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return SertkError(f"'{shown}' cannot be run: {why}", "Convert it again, or copy it again")
