"""Runtimes in real processes: good files, garbage, crashes, and runtimes that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.export.converter import convert
from ser_toolkit.export.tflite_graph import names_and_versions, operators
from ser_toolkit.export.verify import (
    LITERT,
    PYTHON_VARIABLE,
    TFLITE,
    RuntimeCheck,
    environments,
    known_fault,
    verify,
)
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.inference.tflite import TfliteModel

HERE = {LITERT: sys.executable}


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], bytes]:
    """int8 files of one dense layer, by inputs and units."""
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    rng = np.random.default_rng(0)

    def made(inputs: int, units: int) -> bytes:
        keras.utils.set_random_seed(0)
        start = keras.Input((inputs,), name="means")
        end = keras.layers.Dense(units, activation="softmax")(start)
        path = tmp_path_factory.mktemp("network") / "model.keras"
        keras.Model(start, end).save(path)
        windows = {"means": rng.standard_normal((32, inputs)).astype(np.float32)}
        return convert(path, "int8", windows).content

    return {size: made(*size) for size in ((16, 7), (16, 2))}


def asked(
    content: bytes, runtimes: dict[str, str | None] | None = None
) -> tuple[RuntimeCheck, Any]:
    """What the runtime made of a file against its own answers, and these."""
    windows = some(content)
    expected = TfliteModel(content)(windows)
    (check,) = verify(content, windows, expected, runtimes or HERE)
    return check, expected


def some(content: bytes) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    shapes = TfliteModel(content).inputs
    return {n: rng.standard_normal((40, *s)).astype(np.float32) for n, s in shapes.items()}


def test_a_good_file_is_proven_with_its_costs(dense: dict[tuple[int, int], bytes]) -> None:
    check, _ = asked(dense[16, 7])
    assert check.proven, check.reason
    assert (check.reason, check.runtime, check.agreement) == ("", LITERT, 1.0)
    assert check.max_difference == 0
    assert check.version == TfliteModel(dense[16, 7]).runtime.version
    assert check.load_ms and check.median_ms and check.load_ms > 0 < check.median_ms
    # An interpreter with numpy is well above 10 MB, and one that brought TensorFlow above 200.
    assert check.rss_mb and 10 < check.rss_mb < 200


def test_agreement_and_difference_are_those_of_the_formula(
    dense: dict[tuple[int, int], bytes],
) -> None:
    content = dense[16, 7]
    windows = some(content)
    expected = TfliteModel(content)(windows)
    expected[:3] = np.roll(expected[:3], 1, axis=1)
    (check,) = verify(content, windows, expected, HERE)
    assert check.agreement == pytest.approx(37 / 40)
    assert check.max_difference == pytest.approx(
        np.abs(TfliteModel(content)(windows) - expected).max(), abs=1e-6
    )
    assert check.proven


def test_garbage_is_not_proven(dense: dict[tuple[int, int], bytes]) -> None:
    content = dense[16, 7]
    windows = some(content)
    turned = np.roll(TfliteModel(content)(windows), 1, axis=1)
    (check,) = verify(content, windows, turned, HERE)
    assert not check.proven
    assert check.reason == "it decides as expected in 0% of the windows, 90% required"


def test_another_number_of_classes_is_not_proven(dense: dict[tuple[int, int], bytes]) -> None:
    (check,) = verify(dense[16, 7], some(dense[16, 7]), np.ones((40, 3), np.float32), HERE)
    assert not check.proven
    assert "shape (40, 7), (40, 3) expected" in check.reason


def test_bytes_that_are_no_network_are_a_reason() -> None:
    windows = {"x": np.zeros((2, 3), np.float32)}
    (check,) = verify(b"TFL3 is not enough", windows, np.zeros((2, 2), np.float32), HERE)
    assert not check.proven
    assert "cannot run the network" in check.reason


def newer(content: bytes, name: str, version: int) -> bytes:
    """The same file, which asks for another version of one operator."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    number = getattr(schema.BuiltinOperator, name)
    for code in model.operatorCodes:
        if max(code.builtinCode, code.deprecatedBuiltinCode) == number:
            code.version = version
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), b"TFL3")
    return bytes(builder.Output())


def test_a_missing_operator_is_a_reason(dense: dict[tuple[int, int], bytes]) -> None:
    content = newer(dense[16, 7], "FULLY_CONNECTED", 99)
    assert "FULLY_CONNECTED v99" in names_and_versions(operators(content))
    (check,) = verify(content, some(dense[16, 7]), np.ones((40, 7), np.float32), HERE)
    assert not check.proven
    assert "FULLY_CONNECTED" in check.reason
    assert "99" in check.reason


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_crash_is_a_reason(tmp_path: Path) -> None:
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    python = script(tmp_path, "kill -SEGV $$")
    (check,) = verify(b"", windows, expected, {LITERT: python})
    assert check == RuntimeCheck(LITERT, False, "its process crashed (SIGSEGV)")


def test_a_runtime_that_hangs_is_a_reason(tmp_path: Path) -> None:
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    python = script(tmp_path, "exec sleep 60")
    (check,) = verify(b"", windows, expected, {LITERT: python}, timeout_s=0.2)
    assert check.reason == "its process gave no answer within 0.2 s"


def test_environments_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert environments() == {LITERT: sys.executable, TFLITE: None}
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    missing = {TFLITE: None, "other": str(tmp_path / "no-python")}
    unset, absent = verify(b"", windows, expected, missing)
    assert PYTHON_VARIABLE in unset.reason
    assert "cannot be started" in absent.reason
    monkeypatch.setenv(PYTHON_VARIABLE, "/some/python")
    assert environments()[TFLITE] == "/some/python"


def test_an_environment_without_the_runtime_is_a_reason(
    dense: dict[tuple[int, int], bytes],
) -> None:
    """This interpreter has LiteRT and not its predecessor; one must not stand in for the other."""
    check, _ = asked(dense[16, 7], {TFLITE: sys.executable})
    assert not check.proven
    assert check.version is None
    assert TFLITE in check.reason


def test_small_int8_layers_are_not_proven_on_the_old_runtime(
    dense: dict[tuple[int, int], bytes],
) -> None:
    assert known_fault(TFLITE, dense[16, 7]) == ""
    assert "(16 inputs, 2 units)" in known_fault(TFLITE, dense[16, 2])
    assert known_fault(LITERT, dense[16, 2]) == ""


def test_float_layers_of_any_size_are_proven() -> None:
    probe = files("ser_toolkit.runtime.inference").joinpath("probe.tflite").read_bytes()
    assert {t.dtype for o in operators(probe) for t in o.outputs} == {"float32"}
    assert known_fault(TFLITE, probe) == ""


def test_operators_refuses_other_bytes() -> None:
    with pytest.raises(SertkError, match=r"a \.tflite file expected"):
        operators(b"something else entirely")


@pytest.fixture
def old_runtime(request: pytest.FixtureRequest) -> str:
    """The python of an environment with tflite-runtime."""
    root = request.config.pluginmanager.get_plugin(str(request.config.rootpath / "conftest.py"))
    require: Callable[[str, bool, str], None] = root.require  # type: ignore[union-attr]
    python = os.environ.get(PYTHON_VARIABLE, "")
    require("tflite-runtime", bool(python), f"set {PYTHON_VARIABLE}")
    return python


def test_the_old_runtime_runs_the_very_file(
    dense: dict[tuple[int, int], bytes], old_runtime: str
) -> None:
    check, _ = asked(dense[16, 7], {TFLITE: old_runtime})
    assert check.proven, check.reason
    line = "from importlib.metadata import version; print(version('tflite-runtime'))"
    message = subprocess.run([old_runtime, "-c", line], capture_output=True, text=True, check=True)
    assert check.version == message.stdout.strip()


def test_the_old_runtime_runs_what_is_not_proven_on_it(
    dense: dict[tuple[int, int], bytes], old_runtime: str
) -> None:
    check, _ = asked(dense[16, 2], {TFLITE: old_runtime})
    assert check.agreement is not None
    assert check.agreement > 0.9
    assert not check.proven
    assert "64-bit ARM" in check.reason


def test_the_old_runtime_says_which_operator_it_misses(
    dense: dict[tuple[int, int], bytes], old_runtime: str
) -> None:
    content = newer(dense[16, 7], "FULLY_CONNECTED", 12)
    (check,) = verify(
        content, some(dense[16, 7]), np.ones((40, 7), np.float32), {TFLITE: old_runtime}
    )
    assert not check.proven
    assert "'FULLY_CONNECTED' version '12'" in check.reason
