"""Run with a folder: writes float32.tflite and int8.tflite, calibrated on windows.npy."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf


def network(length: int, columns: int, n_classes: int) -> Any:
    """Return a convolution, a mean and a softmax."""
    keras.utils.set_random_seed(1)
    frames = keras.Input((length, columns), name="frames")
    hidden = keras.layers.Conv1D(8, 3, activation="relu")(frames)
    mean = keras.layers.GlobalAveragePooling1D()(hidden)
    answer = keras.layers.Dense(n_classes, activation="softmax")(mean)
    return keras.Model({"frames": frames}, answer)


def main(folder: Path) -> None:
    """Convert by way of a SavedModel with a batch of one."""
    windows = np.load(folder / "windows.npy")
    shape = (1, *windows.shape[1:])
    spec = {"frames": keras.InputSpec(shape=shape, dtype="float32", name="frames")}
    saved = folder / "saved"
    model = network(*windows.shape[1:], 4)
    np.save(folder / "keras.npy", model.predict({"frames": windows}, verbose=0))
    model.export(str(saved), input_signature=[spec], verbose=False)
    converter = tf.lite.TFLiteConverter.from_saved_model(str(saved))
    (folder / "float32.tflite").write_bytes(converter.convert())
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = lambda: ({"frames": row[None]} for row in windows)
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    converter.inference_input_type = converter.inference_output_type = tf.int8
    (folder / "int8.tflite").write_bytes(converter.convert())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
