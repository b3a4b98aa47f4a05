"""Real networks through the real converter; the references are Keras and the file itself."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.export.converter import Converted, Converter, convert
from ser_toolkit.export.tflite_graph import operators
from ser_toolkit.runtime.bundle.modes import MODES
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.training.backend import load_network
from ser_toolkit.utils.worker import Worker, WorkerError, write_arrays

SHAPES = {"frames": (24, 6), "means": (5,)}
Save = Callable[..., Path]


@pytest.fixture(scope="module")
def save(tmp_path_factory: pytest.TempPathFactory) -> Save:
    """Saves a network from its inputs and what they become before the last layer."""

    def save(inputs: Mapping[str, tuple[int, ...]], body: Callable[[Any, Any], Any]) -> Path:
        from ser_toolkit.training.backend import import_keras

        keras = import_keras()
        keras.utils.set_random_seed(1)
        starts = {name: keras.Input(shape, name=name) for name, shape in inputs.items()}
        end = keras.layers.Dense(3, activation="softmax", name="emotion")
        packed = starts if len(starts) > 1 else next(iter(starts.values()))
        network = keras.Model(packed, end(body(keras, packed)))
        network.layers[-1].set_weights([2 * w for w in network.layers[-1].get_weights()])
        path = tmp_path_factory.mktemp("network") / "model.keras"
        network.save(path)
        return path

    return save


def windows(shapes: Mapping[str, tuple[int, ...]], count: int = 24) -> dict[str, Any]:
    rng = np.random.default_rng(7)
    return {n: rng.standard_normal((count, *s)).astype(np.float32) for n, s in shapes.items()}


@pytest.fixture(scope="module")
def two_inputs(save: Save) -> Path:
    """Frames and a vector: a rank-3 and a rank-2 input."""

    def body(keras: Any, x: Any) -> Any:
        layers = keras.layers
        y = layers.Conv1D(16, 5, activation="relu", name="first")(x["frames"])
        y = layers.BatchNormalization()(y)
        y = layers.GlobalAveragePooling1D()(y)
        z = layers.Dense(4, activation="relu", name="second")(x["means"])
        return layers.Concatenate()([y, z])

    return save(SHAPES, body)


@pytest.fixture(scope="module")
def recurrent(save: Save) -> Path:
    """A vector read as a sequence, as the mean coefficients of a clip may be."""

    def body(keras: Any, x: Any) -> Any:
        layers = keras.layers
        y = layers.LSTM(5, return_sequences=True)(layers.Reshape((6, 1))(x))
        return layers.Bidirectional(layers.GRU(4))(y)

    return save({"means": (6,)}, body)


@pytest.fixture(scope="module")
def files(two_inputs: Path, recurrent: Path) -> dict[tuple[str, str], Converted]:
    """The two-input network in every mode, the recurrent one in float32 and in integers."""
    made = {}
    with Converter(two_inputs, windows(SHAPES)) as converter:
        made |= {("two", mode): converter.convert(mode) for mode in MODES}
    with Converter(recurrent, windows({"means": (6,)})) as converter:
        made |= {("rnn", mode): converter.convert(mode) for mode in ("float32", "int8")}
    return made


def keras_answers(path: Path, values: Mapping[str, Any]) -> Any:
    network = load_network(path)
    given = [values[tensor.name] for tensor in network.inputs]
    packed = dict(values) if len(given) > 1 else given[0]
    return network.predict(packed, verbose=0)


LIMITS = {"float32": 1e-5, "float16": 3e-3, "dynamic": 0.05, "int8": 0.1, "int16x8": 0.02}


@pytest.mark.slow
def test_file_answers_as_keras_does(
    files: dict[tuple[str, str], Converted], two_inputs: Path
) -> None:
    values = windows(SHAPES)
    expected = keras_answers(two_inputs, values)
    assert set(LIMITS) == set(MODES)
    for mode, limit in LIMITS.items():
        converted = files["two", mode]
        difference = float(np.abs(TfliteModel(converted.content)(values) - expected).max())
        assert difference <= limit, mode
        assert converted.max_difference == pytest.approx(difference, abs=1e-6), mode
        assert converted.mode == mode


@pytest.mark.slow
def test_names_of_several_inputs_survive(files: dict[tuple[str, str], Converted]) -> None:
    for mode in MODES:
        assert TfliteModel(files["two", mode].content).inputs == SHAPES, mode


def ends(content: bytes) -> set[str]:
    """Types of what goes into the file and comes out of it."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=content)
    details = (*interpreter.get_input_details(), *interpreter.get_output_details())
    return {np.dtype(one["dtype"]).name for one in details}


@pytest.mark.slow
def test_int8_is_integer_throughout(files: dict[tuple[str, str], Converted]) -> None:
    content = files["two", "int8"].content
    assert ends(content) == {"int8"}
    types = {t.dtype for o in operators(content) for t in (*o.inputs, *o.outputs)}
    assert "float32" not in types
    assert ends(files["two", "float16"].content) == {"float32"}


@pytest.mark.slow
def test_int16x8_computes_in_16_bits(files: dict[tuple[str, str], Converted]) -> None:
    dense = [o for o in operators(files["two", "int16x8"].content) if o.name == "FULLY_CONNECTED"]
    assert {(o.inputs[0].dtype, o.inputs[1].dtype) for o in dense} == {("int16", "int8")}


@pytest.mark.slow
def test_dense_layers_keep_to_a_version_that_old_runtimes_know(
    files: dict[tuple[str, str], Converted],
) -> None:
    for key, converted in files.items():
        versions = [op.split(" v") for op in converted.ops]
        dense = [int(version) for name, version in versions if name == "FULLY_CONNECTED"]
        assert dense, key
        assert max(dense) <= 9, key


@pytest.mark.slow
def test_recurrent_layers_are_unrolled_for_integers_alone(
    files: dict[tuple[str, str], Converted], recurrent: Path
) -> None:
    assert files["rnn", "float32"].unrolled is False
    assert "WHILE v1" in files["rnn", "float32"].ops
    values = windows({"means": (6,)})
    expected = keras_answers(recurrent, values)
    converted = files["rnn", "int8"]
    assert converted.unrolled is True
    assert not any(op.startswith("WHILE") for op in converted.ops)
    assert np.abs(TfliteModel(converted.content)(values) - expected).max() < 0.1


@pytest.mark.slow
def test_layers_are_named_as_in_keras(files: dict[tuple[str, str], Converted]) -> None:
    layers = files["two", "int8"].layers
    assert {"first", "second", "emotion"} <= set(layers)
    assert len(layers) == len(set(layers))


@pytest.mark.slow
def test_the_loop_that_is_unrolled_would_crash_the_converter(
    recurrent: Path, tmp_path: Path
) -> None:
    """The converter itself, with nothing around it but the child process."""
    write_arrays(tmp_path / "windows.npz", windows({"means": (6,)}))
    code = (
        "import sys; from pathlib import Path\n"
        "from ser_toolkit.training.backend import load_network\n"
        "from ser_toolkit.export.converter_worker import checked_windows, export\n"
        "from ser_toolkit.export.tflite_converter import new_converter, run_converter\n"
        "folder = Path(sys.argv[2]); network = load_network(Path(sys.argv[1]))\n"
        "values = checked_windows(network, folder / 'windows.npz')\n"
        "export(network, folder / 'saved')\n"
        "run_converter(new_converter(folder / 'saved', 'int8', values))\n"
    )
    command = [sys.executable, "-c", code, str(recurrent), str(tmp_path)]
    with Worker(command, 300) as worker, pytest.raises(WorkerError, match=r"crashed \(SIGSEGV\)"):
        list(worker.answers())


@pytest.mark.slow
def test_a_killed_converter_costs_its_own_file_alone(two_inputs: Path) -> None:
    """One process makes one file after another; after a crash a new one goes on."""
    # Other tests may have left processes of their own.
    others = set(children())
    with Converter(two_inputs) as converter:
        first = converter.convert("float16")
        (worker,) = set(children()) - others
        os.kill(worker, signal.SIGKILL)
        with pytest.raises(SertkError, match=r"conversion to float32 failed.*SIGKILL") as caught:
            converter.convert("float32")
        assert "\n" not in str(caught.value)
        again = converter.convert("float16")
        assert set(children()) - others not in (set(), {worker})
    assert again.content == first.content
    assert set(children()) <= others


def children() -> list[int]:
    """The processes that this one has started and that have not ended."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    return [int(pid) for task in tasks for pid in (task / "children").read_text().split()]


@pytest.mark.slow
def test_a_file_that_cannot_be_made_leaves_the_process_as_it_is(two_inputs: Path) -> None:
    with Converter(two_inputs, windows(SHAPES)) as converter:
        converter.convert("float32")
        before = children()
        with pytest.raises(SertkError, match=r"float layers expect some of .*, received nothing"):
            converter.convert("int8", ["nothing"])
        assert converter.convert("float32").ops
        assert children() == before


def test_a_converter_that_hangs_is_ended(two_inputs: Path) -> None:
    with pytest.raises(
        SertkError, match=r"float32 failed: its process gave no answer within 0.2 s"
    ):
        convert(two_inputs, "float32", timeout_s=0.2)


@pytest.mark.parametrize("operator", ["Svd", pytest.param("Erfinv", marks=pytest.mark.slow)])
def test_what_needs_more_than_builtin_operators_is_refused(save: Save, operator: str) -> None:
    def body(keras: Any, x: Any) -> Any:
        if operator == "Erfinv":
            return keras.ops.erfinv(keras.ops.tanh(x))
        return keras.ops.svd(keras.ops.reshape(x, (-1, 3, 3)))[1]

    path = save({"means": (9,)}, body)
    with pytest.raises(SertkError) as caught:
        convert(path, "float32")
    assert f"no builtin operator computes {operator}" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_layer_of_ones_own_is_refused_with_what_helps(save: Save) -> None:
    def body(keras: Any, x: Any) -> Any:
        @keras.saving.register_keras_serializable("sertk_tests")
        class Halved(keras.layers.Layer):  # type: ignore[misc]
            def call(self, x: Any) -> Any:
                return x / 2

        return Halved()(x)

    path = save({"means": (9,)}, body)
    with pytest.raises(SertkError, match="Build it of Keras' own layers, and train again"):
        convert(path, "float32")


@pytest.mark.parametrize(
    ("mode", "given", "layers", "part"),
    [
        ("int4", windows(SHAPES), (), "float32, float16, dynamic, int8, int16x8"),
        ("int8", None, (), "needs calibration windows"),
        ("int16x8", {"frames": np.zeros((0, 24, 6), np.float32)}, (), "needs calibration windows"),
        ("float16", None, ("first",), "in mode 'int8' alone"),
    ],
)
def test_bad_choices_are_refused_at_once(
    two_inputs: Path, mode: str, given: Any, layers: tuple[str, ...], part: str
) -> None:
    with pytest.raises(SertkError, match=part):
        convert(two_inputs, mode, given, layers, timeout_s=0)


@pytest.mark.parametrize(
    ("change", "part"),
    [
        (lambda v: {"frames": v["frames"]}, r"expects windows of .*means"),
        (lambda v: {**v, "means": v["means"][:, :4]}, r"expects windows of .*\(5,\).*\(4,\)"),
        (lambda v: {**v, "means": v["means"] * np.float32(np.nan)}, "not numbers"),
    ],
)
def test_windows_that_do_not_fit_are_refused(
    two_inputs: Path, tmp_path: Path, change: Callable[[Any], Any], part: str
) -> None:
    from ser_toolkit.export.converter_worker import checked_windows

    write_arrays(tmp_path / "windows.npz", change(windows(SHAPES)))
    with pytest.raises(SertkError, match=part):
        checked_windows(load_network(two_inputs), tmp_path / "windows.npz")


def test_a_damaged_network_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK damaged")
    with pytest.raises(SertkError, match=r"^model.keras cannot be loaded[^\n]+$"):
        load_network(path)
