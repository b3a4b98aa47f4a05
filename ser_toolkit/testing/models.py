"""Check model builders."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np

from ..contracts.components import ModelBuilder
from ..metrics.scores import network_input
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from .check import Check, CheckFailed, NotChecked, expect
from .compare import raised
from .given import Given

Shapes = Mapping[str, tuple[int, ...]]
USUAL: tuple[Shapes, ...] = tuple(
    MappingProxyType(shapes)
    for shapes in (
        {"frames": (24, 8)},
        {"functionals": (100,)},
        {"functionals": (30,), "msf_stats": (20,)},
        {"frames": (1, 3)},
        {"functionals": (2,)},
    )
)
N_CLASSES = 4
SLOW = ("trains", "int8")
BATCH = 8
ALONE = 1e-4
ABOUT_SOFTMAX = "the last layer to be Dense(n_classes, activation='softmax')"


@dataclass(frozen=True)
class Networks:
    """Hold a builder under test, and the shapes that it is tried with."""

    component: ModelBuilder
    given: Given

    @property
    def tried(self) -> tuple[Shapes, ...]:
        """Return the author's shapes, else those of common extractors."""
        own = self.given.inputs.get(self.component.name)
        return USUAL if own is None else (own,)

    def build(self, n_classes: int = N_CLASSES) -> tuple[Any, Shapes]:
        """Return a network for the first shapes that the builder takes."""
        refused = []
        for shapes in self.tried:
            try:
                return self.component.build(shapes, n_classes), shapes
            except Exception as error:
                refused.append(str(error) if isinstance(error, SertkError) else raised(error))
        raise CheckFailed(
            f"a network for one of {', '.join(str(dict(shapes)) for shapes in self.tried)}",
            refused[0],
            f"Say what it takes: inputs={{'{self.component.name}': {{\"frames\": (T, F)}}}}",
        )


def model_checks(component: ModelBuilder, given: Given) -> Iterator[Check]:
    """Yield the checks of a model builder, without those of every component."""
    under = Networks(component, given)
    table: dict[str, tuple[str, Callable[[Networks], None]]] = {
        "shapes": ("input shapes are taken, or refused with a SertkError", _shapes),
        "inputs": ("one input per name, with its name and shape", _inputs),
        "softmax": ("the last layer is Dense(n_classes) with softmax", _softmax),
        "probabilities": (
            "each output is a distribution, whatever else is in its batch",
            _probabilities,
        ),
        "uncompiled": ("the network is not compiled", _uncompiled),
        "deterministic": ("same seed, same weights; another seed, others", _deterministic),
        "saves": ("a saved network loads without code and predicts the same", _saves),
        "trains": ("a step of training alters weights and gives a finite loss", _trains),
        "int8": ("the network converts to int8 with builtin operators", _int8),
    }
    for name, (about, run) in table.items():
        yield Check(name, about, partial(_with_keras, run, under), slow=name in SLOW)


def need_keras() -> Any:
    """Return Keras on TensorFlow; raise NotChecked where one is not installed."""
    missing = [lib for lib in ("tensorflow", "keras") if importlib.util.find_spec(lib) is None]
    if missing:
        raise NotChecked(f'{missing[0]} is not installed: pip install "ser-toolkit[train]"')
    from ..training.backend import import_keras

    return import_keras()


def _with_keras(run: Callable[[Networks], None], under: Networks) -> None:
    need_keras().utils.set_random_seed(0)
    run(under)


def _windows(shapes: Shapes, count: int = BATCH) -> dict[str, F32]:
    rng = np.random.default_rng(0)
    return {
        name: rng.standard_normal((count, *shape), dtype=np.float32)
        for name, shape in shapes.items()
    }


def _outputs(network: Any, shapes: Shapes) -> F32:
    return np.asarray(network.predict_on_batch(network_input(_windows(shapes))))


def _shapes(under: Networks) -> None:
    for shapes in under.tried:
        try:
            under.component.build(shapes, N_CLASSES)
        except SertkError:
            continue
        except Exception as error:
            raise CheckFailed(
                f"a network for {dict(shapes)}, or a SertkError that says what it takes",
                raised(error),
                'Raise SertkError("model … expects frames (T, F)", "Use another model") at the top '
                "of build",
            ) from error


def _inputs(under: Networks) -> None:
    network, shapes = under.build()
    found = {tensor.name: tuple(tensor.shape) for tensor in network.inputs}
    wanted = {name: (None, *shape) for name, shape in shapes.items()}
    expect(
        found == wanted,
        f"the inputs {wanted}",
        f"{found}",
        "Make one Input(shape, name=name) for each item of inputs",
    )
    kinds = {tensor.name: str(tensor.dtype) for tensor in network.inputs}
    todo = "Leave out dtype of Input: features are float32, and would be cut off"
    expect(set(kinds.values()) == {"float32"}, "inputs of float32", kinds, todo)


def _softmax(under: Networks) -> None:
    for n_classes in (2, 7):
        network, _ = under.build(n_classes)
        last = network.layers[-1]
        kind = type(last).__name__
        found = (kind, getattr(last, "units", None), _activation(last))
        expect(
            found == ("Dense", n_classes, "softmax"),
            f"{ABOUT_SOFTMAX}, for {n_classes} classes",
            f"{found[0]} with {found[1]} units and activation {found[2]}",
            "The calibrated temperature is divided into the weights of that layer",
        )
        after = [tensor.name for tensor in network.outputs if tensor is not last.output]
        todo = "Put nothing behind the last layer: its output is the prediction"
        expect(not after, "that layer to be the only output", ", ".join(after), todo)


def _activation(layer: Any) -> str:
    return str(getattr(getattr(layer, "activation", None), "__name__", None))


def _probabilities(under: Networks) -> None:
    network, shapes = under.build()
    batch = _outputs(network, shapes)
    todo = "End with Dense(n_classes, activation='softmax') over one vector per window"
    wanted = (BATCH, N_CLASSES)
    expect(batch.shape == wanted, f"outputs (N, n) = {wanted}", f"shape {batch.shape}", todo)
    valid = np.isfinite(batch).all() and (batch >= 0).all() and _sums_to_one(batch)
    expect(valid, "outputs that are 0 or more and sum to 1", f"{batch[0]}", todo)
    windows = {name: values[:1] for name, values in _windows(shapes).items()}
    alone = np.asarray(network.predict_on_batch(network_input(windows)))
    apart = float(np.abs(alone - batch[:1]).max())
    expect(
        apart <= ALONE,
        "the same output for a window alone as among others",
        f"outputs that differ by {apart:.2g}",
        "Compute each window by itself, as a device does, and draw nothing at random in inference",
    )


def _sums_to_one(found: F32) -> bool:
    return bool(np.allclose(found.sum(axis=1), 1, atol=1e-4))


def _uncompiled(under: Networks) -> None:
    network, _ = under.build()
    expect(
        getattr(network, "optimizer", None) is None and not network.compiled,
        "a network that is not compiled",
        "a compiled one",
        "Leave compile to the toolkit: the recipe says how it is trained",
    )


def _deterministic(under: Networks) -> None:
    first, again, other = (_drawn(under, seed) for seed in (1, 1, 2))
    expect(
        _equal(first[0], again[0]),
        "the same weights after the same keras.utils.set_random_seed",
        "other weights",
        "Leave initialisers without a seed of their own, and draw nothing from elsewhere",
    )
    expected = "other weights after another keras.utils.set_random_seed"
    todo = "Leave initialisers without a seed, and build anew: each run draws its own weights"
    expect(not _equal(first[0], other[0]), expected, "the same weights", todo)
    kept = [name for name, value in first[1].items() if value == other[1][name]]
    expected = "build to leave the seeds of the process alone"
    todo = "Do not call set_random_seed, random.seed or numpy.random.seed: all of training draws"
    expect(not kept, expected, f"the same draws from {', '.join(kept)} after another seed", todo)


def _drawn(under: Networks, seed: int) -> tuple[list[Any], dict[str, float]]:
    """Return the weights of a network, and the next draw of each generator after building it."""
    import keras

    keras.utils.set_random_seed(seed)
    weights = [np.array(value) for value in under.build()[0].get_weights()]
    after = {
        "random": random.random(),
        "numpy.random": float(np.random.random()),
        "keras.random": float(np.ravel(keras.random.uniform((1,)))[0]),
    }
    return weights, after


def _equal(first: list[Any], second: list[Any]) -> bool:
    return len(first) == len(second) and all(map(np.array_equal, first, second))


def _saves(under: Networks) -> None:
    import keras

    network, shapes = under.build()
    before = _outputs(network, shapes)
    with _saved(network) as path:
        try:
            with _without_custom_classes():
                again = keras.saving.load_model(path, compile=False, safe_mode=True)
        except Exception as error:
            raise CheckFailed(
                "the saved network to load without any code of yours",
                raised(error),
                "Use layers of Keras alone: no Lambda, no layer class of your own",
            ) from error
        difference = float(np.abs(_outputs(again, shapes) - before).max())
    expect(
        difference <= 1e-5,
        "the loaded network to predict as the saved one",
        f"outputs that differ by {difference:.2g}",
        "Keep everything that was learnt in weights of layers",
    )


@contextlib.contextmanager
def _without_custom_classes() -> Iterator[None]:
    """Hide registered layers: other processes, such as that of `sertk quantize`, have none."""
    import keras

    registered = keras.saving.get_custom_objects()
    kept = dict(registered)
    registered.clear()
    try:
        yield
    finally:
        registered.update(kept)


@contextlib.contextmanager
def _saved(network: Any) -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
        path = Path(name) / "model.keras"
        with warnings.catch_warnings():
            # Keras reads its own variables in a way that numpy 2 is about to drop.
            warnings.filterwarnings("ignore", category=DeprecationWarning, module="keras")
            network.save(path)
        yield path


def _trains(under: Networks) -> None:
    import keras

    network, shapes = under.build()
    before = [np.array(value) for value in network.get_weights()]
    network.compile(keras.optimizers.Adam(1e-2), "categorical_crossentropy", jit_compile=False)
    windows = network_input(_windows(shapes))
    targets = np.eye(N_CLASSES, dtype=np.float32)[np.arange(BATCH) % N_CLASSES]
    losses = [float(np.ravel(network.train_on_batch(windows, targets))[0]) for _ in range(2)]
    expect(
        np.isfinite(losses).all(),
        "a finite loss",
        f"{losses}",
        "Guard logarithms, divisions and roots in your layers with a floor",
    )
    after = network.get_weights()
    moved = any(not np.array_equal(old, new) for old, new in zip(before, after, strict=True))
    expect(
        moved and network.trainable_weights,
        "weights that a step of training alters",
        f"the same weights ({len(network.trainable_weights)} can be trained)",
        "Do not freeze every layer",
    )


def _int8(under: Networks) -> None:
    from ..export.converter import convert

    network, shapes = under.build()
    with _saved(network) as path:
        try:
            converted = convert(path, "int8", _windows(shapes, 16))
        except SertkError as error:
            raise CheckFailed(
                "a conversion to int8 with builtin operators",
                str(error),
                "Build the network from layers that a device computes: Dense, Conv1D, LSTM, GRU, "
                "pooling, ReLU",
            ) from error
    custom = [op for op in converted.ops if op.startswith(("CUSTOM", "Flex"))]
    todo = "No runtime on a device has these"
    expect(not custom, "builtin operators alone", ", ".join(custom), todo)
