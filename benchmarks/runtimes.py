"""Measure networks in every mode on every runtime: size, agreement with Keras, time, memory.

    SERTK_TFLITE_RUNTIME_PYTHON=env/bin/python python benchmarks/runtimes.py [--only tcn mlp]

The networks are trained briefly on random data that a linear rule separates, so that their
decisions are clear, which those of untrained networks are not. Agreement and largest difference of
a probability are on windows that neither trained nor calibrated. Each file runs in each runtime in
a process of its own, with one thread; ms is the median of one window at a time.
"""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from ser_toolkit.builtin.models import Tcn
from ser_toolkit.export.converter import Converted, Converter
from ser_toolkit.export.verify import RuntimeCheck, environments, verify
from ser_toolkit.runtime.bundle.modes import MODES
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.training.backend import import_keras

CLASSES, TRAINED, CALIBRATED, TESTED = 7, 420, 100, 100
Build = Callable[[], Any]
Row = tuple[str, ...]
HEADER = ("network", "mode", "runtime", "kB", "agree", "max diff", "ms", "load ms", "MB", "proven")


def tcn() -> Any:
    return Tcn().build({"frames": (188, 66)}, CLASSES)


def lstm() -> Any:
    """Build an LSTM over frames of 40 coefficients."""
    return _network((94, 40), lambda layers, x: layers.LSTM(128)(x))


def lstm_of_means() -> Any:
    """Build the notebook's LSTM: 40 mean coefficients, read as a sequence of 40 steps."""
    return _network((40,), lambda layers, x: layers.LSTM(123)(layers.Reshape((40, 1))(x)))


def mlp() -> Any:
    return _network((651,), lambda layers, x: layers.Dense(128, activation="relu")(x))


def notebook_cnn() -> Any:
    """Build 1D convolutions over a vector of 2916 numbers, 17.7 million parameters."""
    return _network((2916,), _convolutions)


def _convolutions(layers: Any, x: Any) -> Any:
    x = layers.Reshape((2916, 1))(x)
    for channels, kernel in ((512, 5), (512, 5), (256, 5), (256, 3)):
        x = layers.Conv1D(channels, kernel, padding="same", activation="relu")(x)
        x = layers.BatchNormalization(momentum=0.5)(x)
        x = layers.MaxPooling1D(5, 2, padding="same")(x)
    x = layers.Conv1D(164, 3, padding="same", activation="relu")(x)
    return layers.Dense(512, activation="relu")(layers.Flatten()(x))


def _network(shape: tuple[int, ...], body: Callable[[Any, Any], Any]) -> Any:
    from keras import Input, Model, layers

    start = Input(shape, name="features")
    x = layers.Dense(64, activation="relu")(body(layers, start))
    return Model(start, layers.Dense(CLASSES, activation="softmax")(x))


NETWORKS: Mapping[str, tuple[Build, int]] = {
    "tcn": (tcn, 6),
    "lstm": (lstm, 4),
    "lstm of means": (lstm_of_means, 40),
    "mlp": (mlp, 4),
    "notebook cnn": (notebook_cnn, 0),
}


def separable(shape: tuple[int, ...], count: int, rng: np.random.Generator) -> tuple[F32, Any]:
    """Return noise in which each class lifts some columns, and the classes.

    Args:
        shape: Of one window.
        count: How many windows.
        rng: Where they are drawn from.
    """
    truth = rng.integers(0, CLASSES, count)
    lifted = np.resize(np.eye(CLASSES), (CLASSES, shape[-1]))[truth]
    lifted = lifted.reshape(count, *(1,) * (len(shape) - 1), shape[-1])
    return (rng.standard_normal((count, *shape)) + 1.5 * lifted).astype(np.float32), truth


def trained(build: Build, epochs: int, folder: Path) -> tuple[Path, str, F32, F32, F32]:
    """Train a network; return its file, input, calibration and test windows, and outputs.

    Args:
        build: Builds the network.
        epochs: 0 leaves it untrained.
        folder: Where it is saved.
    """
    keras = import_keras(1)
    keras.utils.set_random_seed(0)
    network = build()
    (start,) = network.inputs
    rng = np.random.default_rng(0)
    values, truth = separable(start.shape[1:], TRAINED + TESTED, rng)
    if epochs:
        network.compile("adam", "sparse_categorical_crossentropy")
        network.fit(values[:TRAINED], truth[:TRAINED], epochs=epochs, verbose=0)
    path = folder / "network.keras"
    network.save(path)
    tested = values[TRAINED:]
    answers = network.predict(tested, verbose=0, batch_size=20)
    score = float((answers.argmax(1) == truth[TRAINED:]).mean())
    training = f"{epochs} epochs, {score:.0%} right" if epochs else "untrained"
    print(f"\n{network.count_params():,} parameters, {training}", flush=True)
    return path, start.name, values[:CALIBRATED], tested, answers


def rows(name: str) -> Iterator[Row]:
    """Yield one row per mode and runtime."""
    with tempfile.TemporaryDirectory() as folder:
        path, start, calibration, tested, answers = trained(*NETWORKS[name], Path(folder))
        with Converter(path, {start: calibration}) as converter:
            for mode in MODES:
                try:
                    converted = converter.convert(mode)
                except SertkError as error:
                    yield name, mode, str(error)
                    continue
                for check in verify(converted.content, {start: tested}, answers, environments()):
                    yield name, mode, *cells(converted, check)


def cells(converted: Converted, check: RuntimeCheck) -> Row:
    size = f"{len(converted.content) / 1024:.0f}"
    if check.agreement is None:
        return check.runtime, size, check.reason
    numbers = (check.max_difference, check.median_ms, check.load_ms, check.rss_mb)
    words = "yes" if check.proven else f"no: {check.reason}"
    return check.runtime, size, f"{check.agreement:.0%}", *map(as_text, numbers), words


def as_text(value: float | None) -> str:
    """Format with two digits below 1, one decimal above."""
    return "" if value is None else f"{value:.2g}" if value < 1 else f"{value:.1f}"


def main() -> None:
    """Parse, measure, print each row as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("--only", nargs="+", choices=list(NETWORKS), default=list(NETWORKS))
    chosen = parser.parse_args().only
    print("  ".join(f"{cell:>14}" for cell in HEADER))
    for name in chosen:
        for row in rows(name):
            print("  ".join(f"{cell:>14}" for cell in row), flush=True)


if __name__ == "__main__":
    main()
