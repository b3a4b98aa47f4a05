"""What `convert` runs in a process of its own: `python -m ser_toolkit.converting FOLDER`."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from .backend import import_keras, train_again
from .child import read_arrays, serve
from .flatbuffer import Operator, names_and_versions, operators
from .runtime.errors import SertkError
from .runtime.extractor import F32
from .runtime.interpreter import Network
from .runtime.text import shorten

FLOAT32_LIMIT = 1e-4
RANDOM_WINDOWS = 16
Build = Callable[[Sequence[str]], bytes]


def main() -> None:
    """Do the job in the folder; leave the reason there if it fails."""
    serve(work)


def work(folder: Path) -> None:
    """Load, unroll where needed, export, convert and check every variant."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    mode = job["mode"]
    network, unrolled = prepared(load(job["network"]), mode)
    windows = checked_windows(network, folder / "windows.npz")
    export(network, folder / "saved")
    expected = probabilities(network, windows)
    build = builder(folder / "saved", mode, windows, layers_of(network))
    for index, kept in enumerate(job["variants"]):
        content = build(kept)
        found = operators(content)
        answers = Network(content)(windows)
        facts = {
            **compared(answers, expected, mode),
            "ops": names_and_versions(found),
            "unrolled": unrolled,
            "layers": list(grouped(found, layers_of(network))),
            "float_layers": kept,
        }
        (folder / f"{index}.tflite").write_bytes(content)
        (folder / f"{index}.json").write_text(json.dumps(facts), "utf-8")


def load(path: str) -> Any:
    """The saved network."""
    keras = import_keras()
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except Exception as error:  # zipfile, h5py and Keras each raise their own
        why = shorten(f"{type(error).__name__}: {error}")
        problem = f"'{Path(path).name}' cannot be loaded ({why})"
        raise SertkError(problem, train_again(error)) from error


def prepared(network: Any, mode: str) -> tuple[Any, bool]:
    """The network to convert, and whether its recurrent layers are unrolled.

    In integers the loop of a recurrent layer crashes the converter, one copy per step does not.
    """
    config = network.get_config()
    if mode in ("int8", "int16x8") and False in unroll_flags(config):
        copy = type(network).from_config(unrolled_config(config))
        copy.set_weights(network.get_weights())
        network, config = copy, copy.get_config()
    return network, True in unroll_flags(config)


def unroll_flags(config: Any) -> set[bool]:
    """The values of every 'unroll' at any depth."""
    if isinstance(config, Mapping):
        own = {bool(config["unroll"])} if "unroll" in config else set()
        return own.union(*map(unroll_flags, config.values()))
    if isinstance(config, (list, tuple)):
        return set().union(*map(unroll_flags, config))
    return set()


def unrolled_config(config: Any) -> Any:
    """The same configuration with every 'unroll' true: of wrapped layers and inner models too."""
    if isinstance(config, Mapping):
        return {k: True if k == "unroll" else unrolled_config(v) for k, v in config.items()}
    if isinstance(config, (list, tuple)):
        return type(config)(map(unrolled_config, config))
    return config


def checked_windows(network: Any, path: Path) -> dict[str, F32]:
    """The calibration windows, or random ones; refuses what the network cannot take."""
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
    """A SavedModel with a batch of 1: what is fixed needs no shape arithmetic in the file."""
    import keras

    def spec(tensor: Any) -> Any:
        return keras.InputSpec(shape=(1, *tensor.shape[1:]), dtype="float32", name=tensor.name)

    inputs = network.inputs[0] if len(network.inputs) == 1 else network.input
    signature = keras.tree.map_structure(spec, inputs)
    network.export(folder, input_signature=[signature], verbose=False)


def probabilities(network: Any, windows: Mapping[str, F32]) -> F32:
    """What Keras answers, (N, n) float32."""
    import keras

    order = [tensor.name for tensor in network.inputs]
    packed = keras.tree.pack_sequence_as(
        network.inputs[0] if len(order) == 1 else network.input, [windows[name] for name in order]
    )
    answers: F32 = np.asarray(network.predict(packed, batch_size=32, verbose=0), np.float32)
    return answers


def compared(answers: F32, expected: F32, mode: str) -> dict[str, float]:
    """How far the file is from the network; refuses a float32 file that is far."""
    difference = np.abs(answers - expected)
    largest = float(difference.max())
    if mode == "float32" and largest > FLOAT32_LIMIT:
        raise SertkError(
            f"the file and the network differ by {largest:.2g}, {FLOAT32_LIMIT:g} allowed",
            "This is a fault of the converter: build the network from other layers",
        )
    agreement = float((answers.argmax(1) == expected.argmax(1)).mean())
    return {
        "max_difference": largest,
        "mean_difference": float(difference.mean()),
        "agreement": agreement,
    }


def builder(saved: Path, mode: str, windows: Mapping[str, F32], layers: Layers) -> Build:
    """A function from names of float layers to the bytes of a file."""
    mixed: list[Callable[[Sequence[str]], bytes]] = []

    def build(kept: Sequence[str]) -> bytes:
        if not kept:
            return converted(converter(saved, mode, windows))
        if not mixed:
            mixed.append(mixed_builder(converter(saved, mode, windows), layers))
        return mixed[0](kept)

    return build


def converter(saved: Path, mode: str, windows: Mapping[str, F32]) -> Any:
    """A TFLite converter set for the mode."""
    import tensorflow as tf

    made = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    integers = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    mixed = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    if mode != "float32":
        made.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        made.target_spec.supported_types = [tf.float16]
    if mode == "dynamic":
        # One scale per row needs FULLY_CONNECTED v12, which tflite-runtime 2.14 does not know.
        made._experimental_disable_per_channel_quantization_for_dense_layers = True
    if mode in ("int8", "int16x8"):
        made.representative_dataset = lambda: one_by_one(windows)
    if mode == "int8":
        made.target_spec.supported_ops = [integers]
        made.inference_input_type = made.inference_output_type = tf.int8
    if mode == "int16x8":
        # SQRT and others have no 16-bit kernel and stay float beside those that have one.
        made.target_spec.supported_ops = [mixed, tf.lite.OpsSet.TFLITE_BUILTINS]
    return made


def one_by_one(windows: Mapping[str, F32]) -> Iterator[dict[str, F32]]:
    """Each window as a batch of 1, per input."""
    for index in range(len(next(iter(windows.values())))):
        yield {name: array[index : index + 1] for name, array in windows.items()}


def converted(made: Any) -> bytes:
    """Run the converter; say in one line which operators are missing."""
    try:
        return bytes(made.convert())
    except Exception as error:  # ConverterError, RuntimeError, ValueError, by the step that fails
        missing = re.findall(r"^(?:Custom|Flex) ops: (.+)$", str(error), re.MULTILINE)
        if not missing:
            raise
        raise SertkError(
            f"no builtin operator computes {', '.join(missing)}, and no runtime on a device has it",
            "Build the network from other layers",
        ) from error


def mixed_builder(made: Any, layers: Layers) -> Build:
    """Calibrate once; each call quantizes all but some layers. Input and output stay float32."""
    import tensorflow as tf

    debugger = tf.lite.experimental.QuantizationDebugger(
        converter=made, debug_dataset=made.representative_dataset
    )
    nodes = grouped(operators(debugger.calibrated_model), layers)

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
    """Names of layers with a kernel, the last of which gives the answer, and of all others."""

    heavy: tuple[str, ...]
    light: tuple[str, ...]


def layers_of(network: Any) -> Layers:
    """The layers at any depth; a layer without operators of its own does no harm."""
    layers = list(network._flatten_layers(include_self=False))
    heavy = [one.name for one in layers if any(len(w.shape) > 1 for w in one.weights)]
    return Layers(tuple(heavy), tuple(one.name for one in layers if one.name not in heavy))


def grouped(found: Sequence[Operator], layers: Layers) -> dict[str, list[str]]:
    """The outputs of the operators, by the layer that they come from, in the graph's order."""
    groups: dict[str, list[str]] = {}
    for operator in found:
        if operator.name not in ("QUANTIZE", "DEQUANTIZE"):
            for tensor in operator.outputs:
                groups.setdefault(layer_of(tensor.name, layers), []).append(tensor.name)
    return groups


def layer_of(tensor: str, layers: Layers) -> str:
    """The layer in the name of a tensor.

    'functional_1/re_lu_1/Relu;functional_1/conv1d_2_1/convolution' has one part per operator that
    was fused, and the layer with a kernel is the one that people know. TensorFlow appends a number
    to names that it has used before. Only the answer itself has no scope.
    """
    if "/" not in tensor:
        return layers.heavy[-1]
    scopes = [scope for part in tensor.split(";") for scope in part.split("/")[1:-1]]
    plain = {*scopes, *(re.sub(r"_\d+$", "", scope) for scope in scopes)}
    matching = [name for name in (*layers.heavy, *layers.light) if name in plain]
    return matching[0] if matching else tensor.split(";")[0].split("/")[-1]


if __name__ == "__main__":
    main()
