"""Configure and run TensorFlow's converter, and compare its files with Keras.

It can crash, so worker processes alone run it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ..runtime.bundle.modes import CALIBRATED
from ..runtime.errors import SertkError
from ..runtime.features.base import F32


def new_converter(saved: Path, mode: str, windows: Mapping[str, F32]) -> Any:
    """Return a TFLite converter of a SavedModel, configured for a mode.

    Args:
        saved: Folder of the SavedModel.
        mode: One of `MODES`.
        windows: Calibration windows, float32 (N, …) by input name.
    """
    import tensorflow as tf

    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    integers = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
    mixed = tf.lite.OpsSet.EXPERIMENTAL_TFLITE_BUILTINS_ACTIVATIONS_INT16_WEIGHTS_INT8
    if mode != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if mode == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if mode == "dynamic":
        # One scale per row needs FULLY_CONNECTED v12, which tflite-runtime 2.14 does not have.
        converter._experimental_disable_per_channel_quantization_for_dense_layers = True
    if mode in CALIBRATED:
        converter.representative_dataset = lambda: one_by_one(windows)
    if mode == "int8":
        converter.target_spec.supported_ops = [integers]
        converter.inference_input_type = converter.inference_output_type = tf.int8
    if mode == "int16x8":
        # SQRT and others have no 16-bit kernel and stay float beside those that have one.
        converter.target_spec.supported_ops = [mixed, tf.lite.OpsSet.TFLITE_BUILTINS]
    return converter


def one_by_one(windows: Mapping[str, F32]) -> Iterator[dict[str, F32]]:
    """Yield each window as a batch of 1, per input."""
    for index in range(len(next(iter(windows.values())))):
        yield {name: array[index : index + 1] for name, array in windows.items()}


def run_converter(converter: Any) -> bytes:
    """Return the converted file. Raises SertkError that names operators without a builtin form."""
    try:
        return bytes(converter.convert())
    except Exception as error:  # ConverterError, RuntimeError, ValueError, by the step that fails
        missing = re.findall(r"^(?:Custom|Flex) ops: (.+)$", str(error), re.MULTILINE)
        if not missing:
            raise
        raise SertkError(
            f"no builtin operator computes {', '.join(missing)}, and no runtime on a device has it",
            "Build the network from other layers",
        ) from error


def keras_probabilities(network: Any, windows: Mapping[str, F32]) -> F32:
    """Return the probabilities of Keras, float32 (N, n)."""
    import keras

    order = [tensor.name for tensor in network.inputs]
    packed = keras.tree.pack_sequence_as(
        network.inputs[0] if len(order) == 1 else network.input, [windows[name] for name in order]
    )
    predicted: F32 = np.asarray(network.predict(packed, batch_size=32, verbose=0), np.float32)
    return predicted


def difference(predicted: F32, expected: F32) -> dict[str, float]:
    """Compare the probabilities (N, n) of a file with those of the network."""
    distances = np.abs(predicted - expected)
    agreement = (predicted.argmax(1) == expected.argmax(1)).mean()
    return {
        "max_difference": float(distances.max()),
        "mean_difference": float(distances.mean()),
        "agreement": float(agreement),
    }


def check_float32(differences: Mapping[str, float], limit: float) -> None:
    """Refuse a float32 file that is far from its network."""
    largest = differences["max_difference"]
    if largest > limit:
        raise SertkError(
            f"the file and the network differ by {largest:.2g}, {limit:g} allowed",
            "This is a fault of the converter: build the network from other layers",
        )


def has_recurrent_layers(network: Any) -> bool:
    """Say whether a network has layers that run a loop or an unrolled one."""
    return bool(unroll_flags(network.get_config()))


def unroll_flags(config: Any) -> set[bool]:
    """Return the values of every 'unroll' at any depth of a network's configuration."""
    if isinstance(config, Mapping):
        own = {bool(config["unroll"])} if "unroll" in config else set()
        return own.union(*map(unroll_flags, config.values()))
    if isinstance(config, (list, tuple)):
        return set().union(*map(unroll_flags, config))
    return set()
