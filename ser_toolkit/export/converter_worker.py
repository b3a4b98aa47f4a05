"""Convert a network again and again: `python -m ser_toolkit.export.converter_worker FOLDER`.

Each line of standard input asks for one file, which is left in the folder as `model.tflite`.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.bundle.modes import CALIBRATED
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..runtime.inference.tflite import TfliteModel
from ..training.backend import load_network
from ..utils.worker import read_arrays, reason_of, serve_folder
from .tflite_converter import (
    check_float32,
    difference,
    keras_probabilities,
    new_converter,
    run_converter,
    unroll_flags,
)
from .tflite_graph import Operator, names_and_versions, operators

FLOAT32_LIMIT = 1e-4
RANDOM_WINDOWS = 16
Build = Callable[[Sequence[str]], bytes]


def work(folder: Path) -> Iterator[Any]:
    """Yield the facts about each requested file, or the cause of its failure."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    network = load_network(Path(job["network"]))
    windows = checked_windows(network, folder / "windows.npz")
    sources: dict[bool, ConverterInput] = {}
    for line in sys.stdin:
        request = json.loads(line)
        unroll = needs_unrolling(network, request["mode"])
        try:
            if unroll not in sources:
                saved = folder / f"saved-{unroll}"
                sources[unroll] = export_source(network, unroll, windows, saved)
            yield convert_checked(sources[unroll], folder / "model.tflite", **request)
        except Exception as error:  # TensorFlow, Keras and their converters each raise their own
            cause, todo = reason_of(error)
            yield {"cause": cause, "todo": todo}


@dataclass(frozen=True)
class ConverterInput:
    """A network exported for conversion, and its predictions for `windows`."""

    saved: Path
    windows: Mapping[str, F32]
    expected: F32
    layers: Layers
    unrolled: bool
    mixed: list[Build]


def export_source(
    network: Any, unroll: bool, windows: Mapping[str, F32], saved: Path
) -> ConverterInput:
    """Export a network for conversion.

    Args:
        network: A Keras network.
        unroll: Whether to unroll its recurrent layers.
        windows: Standardised windows, float32 (N, …) by input name.
        saved: Folder of the SavedModel.
    """
    if unroll:
        network = unrolled(network)
    export(network, saved)
    is_unrolled = True in unroll_flags(network.get_config())
    expected = keras_probabilities(network, windows)
    return ConverterInput(saved, windows, expected, layers_of(network), is_unrolled, [])


def convert_checked(
    source: ConverterInput, path: Path, mode: str, float_layers: Sequence[str]
) -> dict[str, Any]:
    """Convert, check and write one file; return the facts about it.

    Args:
        source: The exported network.
        path: The file.
        mode: One of `MODES`.
        float_layers: Layers that stay float32.
    """
    content = build(source, mode, float_layers)
    graph = operators(content)
    differences = difference(TfliteModel(content)(source.windows), source.expected)
    if mode == "float32":
        check_float32(differences, FLOAT32_LIMIT)
    path.write_bytes(content)
    return {
        **differences,
        "ops": names_and_versions(graph),
        "unrolled": source.unrolled,
        "layers": list(tensors_by_layer(graph, source.layers)),
        "float_layers": float_layers,
    }


def build(source: ConverterInput, mode: str, float_layers: Sequence[str]) -> bytes:
    """Return the converted file; calibrate once for all choices of float layers.

    Args:
        source: The exported network.
        mode: One of `MODES`.
        float_layers: Layers that stay float32.
    """
    if not float_layers:
        return run_converter(new_converter(source.saved, mode, source.windows))
    if not source.mixed:
        converter = new_converter(source.saved, mode, source.windows)
        source.mixed.append(mixed_builder(converter, source.layers))
    return source.mixed[0](float_layers)


def needs_unrolling(network: Any, mode: str) -> bool:
    """Say whether a mode needs another form of the network.

    In integers the loop of a recurrent layer crashes the converter, one copy per step does not.
    """
    return mode in CALIBRATED and False in unroll_flags(network.get_config())


def unrolled(network: Any) -> Any:
    """Return the same network with its recurrent layers unrolled."""
    copy = type(network).from_config(unrolled_config(network.get_config()))
    copy.set_weights(network.get_weights())
    return copy


def unrolled_config(config: Any) -> Any:
    """Return a configuration with every 'unroll' true: of wrapped layers and inner models too."""
    if isinstance(config, Mapping):
        return {k: True if k == "unroll" else unrolled_config(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(map(unrolled_config, config))
    return config


def checked_windows(network: Any, path: Path) -> dict[str, F32]:
    """Return the calibration windows, or random ones. Raises SertkError for unfit windows."""
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in network.inputs}
    if not path.exists():
        if any(None in shape for shape in shapes.values()):
            raise SertkError(f"the network expects a fixed input shape, received {shapes}")
        rng = np.random.default_rng(0)
        return {n: _random(rng, (RANDOM_WINDOWS, *shape)) for n, shape in shapes.items()}
    windows = {name: array.astype(np.float32) for name, array in read_arrays(path).items()}
    given = {name: array.shape[1:] for name, array in windows.items()}
    if given != shapes:
        raise SertkError(f"the network expects windows of {shapes}, received {given}")
    if not all(np.isfinite(array).all() for array in windows.values()):
        raise SertkError("the calibration windows hold values that are not numbers")
    return windows


def _random(rng: np.random.Generator, shape: tuple[int, ...]) -> F32:
    return rng.standard_normal(shape).astype(np.float32)


def export(network: Any, folder: Path) -> None:
    """Write a SavedModel with a batch of 1: what is fixed needs no shape arithmetic in the file."""
    import keras

    def spec(tensor: Any) -> Any:
        return keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype="float32", name=tensor.name)

    inputs = network.inputs[0] if len(network.inputs) == 1 else network.input
    signature = keras.tree.map_structure(spec, inputs)
    network.export(folder, input_signature=[signature], verbose=False)


def mixed_builder(converter: Any, layers: Layers) -> Build:
    """Calibrate once, and return a function that quantizes all layers but those it is given.

    Input and output of its files stay float32.
    """
    import tensorflow as tf

    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=converter, debug_dataset=converter.representative_dataset
    )
    nodes = tensors_by_layer(operators(debugger.calibrated_model), layers)

    def build(kept: Sequence[str]) -> bytes:
        unknown = [name for name in kept if name not in nodes]
        if unknown:
            raise SertkError(
                f"float layers expect some of {', '.join(nodes)}, received {', '.join(unknown)}"
            )
        denied = [node for name in kept for node in nodes[name]]
        options = tf.lite.experimental.QuantizationDebugOptions(denylisted_nodes=denied)
        debugger._debug_options = options
        return bytes(debugger.get_nondebug_quantized_model())

    return build


@dataclass(frozen=True)
class Layers:
    """Names of layers with a kernel, the last of which is the output, and of all others."""

    with_kernel: tuple[str, ...]
    others: tuple[str, ...]


def layers_of(network: Any) -> Layers:
    """Return the names of the layers at any depth."""
    layers = list(network._flatten_layers(include_self=False))
    with_kernel = [x.name for x in layers if any(len(w.shape) > 1 for w in x.weights)]
    others = [layer.name for layer in layers if layer.name not in with_kernel]
    return Layers(tuple(with_kernel), tuple(others))


def tensors_by_layer(graph: Sequence[Operator], layers: Layers) -> dict[str, list[str]]:
    """Return the output tensors of the operators by layer, in graph order."""
    groups: dict[str, list[str]] = {}
    for operator in graph:
        if operator.name not in ("QUANTIZE", "DEQUANTIZE"):
            for tensor in operator.outputs:
                groups.setdefault(layer_of(tensor.name, layers), []).append(tensor.name)
    return groups


def layer_of(tensor: str, layers: Layers) -> str:
    """Return the layer in the name of a tensor.

    'functional_1/re_lu_1/Relu;functional_1/conv1d_2_1/convolution' has one part per operator that
    was fused; the layer with a kernel names it. TensorFlow appends a number
    to names that it has used before. Only the output of the network has no scope.
    """
    if "/" not in tensor:
        return layers.with_kernel[-1]
    scopes = [scope for part in tensor.split(";") for scope in part.split("/")[1:-1]]
    plain = {*scopes, *(re.sub(r"_\d+$", "", scope) for scope in scopes)}
    matching = [name for name in (*layers.with_kernel, *layers.others) if name in plain]
    return matching[0] if matching else tensor.split(";")[0].split("/")[-1]


if __name__ == "__main__":
    serve_folder(work)
