"""Make a file that takes raw audio: `python -m ser_toolkit.export.raw_audio_worker FOLDER`."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.component import from_spec
from ..runtime.features.base import F32, Signal, Stack
from ..runtime.features.normalizer import Normalizer
from ..runtime.inference.tflite import SIGNATURE, TfliteModel
from ..training.backend import load_network
from ..utils.worker import read_arrays, serve_folder
from .raw_audio_graph import (
    BACK,
    FRONT,
    INPUT,
    KINDS,
    GraphForm,
    check_border,
    graph_form,
    standardised,
)
from .tflite_converter import (
    check_float32,
    difference,
    keras_probabilities,
    new_converter,
    one_by_one,
    run_converter,
)
from .tflite_graph import names_and_versions, operators
from .tflite_metadata import FileDescription, with_metadata

FLOAT_LIMIT = 1e-3
# tflite-runtime 2.14 has no int8 kernel for these.
FLOAT_OPERATORS = ("DIV", "SQRT")


def work(folder: Path) -> Iterator[Any]:
    """Load, join front end and network, convert, quantize the network, check."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    arrays = read_arrays(folder / "arrays.npz")
    windows, normalizer = arrays["windows"], Normalizer(arrays["mean"], arrays["std"])
    form = form_of(job["extractors"])
    network = load_network(Path(job["network"]))
    export(form, normalizer, network, windows.shape[1], folder / "saved")
    content = run_converter(new_converter(folder / "saved", "float32", {}))
    check_border(operators(content))
    if job["mode"] == "int8":
        content = quantized(content, windows)
    metadata = {**job["metadata"], "labels": tuple(job["metadata"]["labels"])}
    content = with_metadata(content, FileDescription(**metadata))
    reference = expected(form, normalizer, network, windows)
    differences = difference(TfliteModel(content)({INPUT: windows}), reference)
    if job["mode"] == "float32":
        check_float32(differences, FLOAT_LIMIT)
    (folder / "model.tflite").write_bytes(content)
    yield {
        "max_difference": differences["max_difference"],
        "agreement": differences["agreement"],
        "ops": names_and_versions(operators(content)),
    }


def form_of(specs: list[dict[str, Any]]) -> GraphForm:
    """Return the graph form of these extractors side by side."""
    kinds = {kind.name: kind() for kind in KINDS}
    parts: Any = [from_spec(spec, kinds.__getitem__) for spec in specs]
    return graph_form(parts[0] if len(parts) == 1 else Stack(tuple(parts)))


def export(
    form: GraphForm, normalizer: Normalizer, network: Any, samples: int, folder: Path
) -> None:
    """Write a SavedModel from samples (1, N) to probabilities (1, n).

    Args:
        form: The front end.
        normalizer: Its standardisation.
        network: A Keras network.
        samples: Samples per window.
        folder: Folder of the SavedModel.
    """
    import tensorflow as tf

    length = network.inputs[0].shape[1]

    def predict(waveform: Any) -> dict[str, Any]:
        with tf.name_scope(FRONT):
            frames = standardised(form, normalizer, tf.reshape(waveform, (samples,)), length)
        with tf.name_scope(BACK):
            return {"probabilities": network(frames, training=False)}

    waveform_spec = tf.TensorSpec((1, samples), tf.float32, name=INPUT)
    module = tf.Module()
    module.network_variables = [variable.value for variable in network.variables]
    module.predict = tf.function(predict, input_signature=[waveform_spec])
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.predict})


def quantized(content: bytes, windows: F32) -> bytes:
    """Quantize the network to int8, by its scope alone: samples and features stay float."""
    from ai_edge_quantizer import quantizer, recipe

    scope = {"regex": f"^{BACK}/"}
    rules = [{**entry, **scope} for entry in recipe.static_wi8_ai8()]
    kept = {**scope, "algorithm_key": "no_quantize"}
    rules += [{**kept, "operation": name} for name in FLOAT_OPERATORS]
    quantization = quantizer.Quantizer(bytearray(content), rules)
    single = one_by_one({INPUT: windows})
    found = [quantization.calibrate({SIGNATURE: [window]}) for window in single]
    return bytes(quantization.quantize(joined(found)).quantized_model)


def joined(found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the lowest minimum and the highest maximum of each tensor, found window by window.

    For several windows together the quantizer takes a moving average, which begins with the first
    window and cuts off what others reach.
    """
    result = dict(found[0])
    for name, first in found[0].items():
        ranges = [ranges[name] for ranges in found]
        if {"min", "max"} <= set(first):
            lowest = np.min([one["min"] for one in ranges], axis=0)
            highest = np.max([one["max"] for one in ranges], axis=0)
            result[name] = {**first, "min": lowest, "max": highest}
    return result


def expected(form: GraphForm, normalizer: Normalizer, network: Any, windows: F32) -> F32:
    """Return the probabilities (W, n) of our own front end and Keras.

    Args:
        form: The front end.
        normalizer: Its standardisation.
        network: A Keras network.
        windows: Samples of each window, float32 (W, N).
    """
    extractor = form.extractor
    signals = [Signal(window, extractor.rate_hz) for window in windows]
    frames = np.stack([normalizer.apply(extractor.frames(signal))[0] for signal in signals])
    return keras_probabilities(network, {network.inputs[0].name: frames})


if __name__ == "__main__":
    serve_folder(work)
