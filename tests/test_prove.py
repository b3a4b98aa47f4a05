"""Proofs in real processes: good files, garbage, crashes, and runtimes that are not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.convert import convert
from ser_toolkit.flatbuffer import names_and_versions, operators
from ser_toolkit.prove import (
    LITERT,
    PYTHON_VARIABLE,
    TFLITE,
    Proof,
    environments,
    known_fault,
    prove,
)
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.interpreter import Network

HERE = {LITERT: sys.executable}


@pytest.fixture(scope="module")
def dense(tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[int, int], bytes]:
    """int8 files of one dense layer, by inputs and units."""
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    rng = np.random.default_rng(0)

    def job(inputs: int, units: int) -> tuple[Path, dict[str, Any]]:
        keras.utils.set_random_seed(0)
        start = keras.Input((inputs,), name="means")
        end = keras.layers.Dense(units, activation="softmax")(start)
        path = tmp_path_factory.mktemp("network") / "model.keras"
        keras.Model(start, end).save(path)
        return path, {"means": rng.standard_normal((32, inputs)).astype(np.float32)}

    sizes = [(16, 7), (16, 2)]
    jobs = [job(*size) for size in sizes]
    with ThreadPoolExecutor(2) as pool:
        made = pool.map(lambda one: convert(one[0], "int8", one[1]).content, jobs)
        return dict(zip(sizes, made, strict=True))


def asked(content: bytes, runtimes: dict[str, str | None] | None = None) -> tuple[Proof, Any]:
    """The proof of a file against its own answers, and these."""
    windows = some(content)
    expected = Network(content)(windows)
    (proof,) = prove(content, windows, expected, runtimes or HERE)
    return proof, expected


def some(content: bytes) -> dict[str, Any]:
    rng = np.random.default_rng(3)
    shapes = Network(content).inputs
    return {n: rng.standard_normal((40, *s)).astype(np.float32) for n, s in shapes.items()}


def test_a_good_file_is_proven_with_its_costs(dense: dict[tuple[int, int], bytes]) -> None:
    proof, _ = asked(dense[16, 7])
    assert proof.proven, proof.reason
    assert (proof.reason, proof.runtime, proof.agreement) == ("", LITERT, 1.0)
    assert proof.max_difference == 0
    assert proof.version == Network(dense[16, 7]).runtime.version
    assert proof.load_ms and proof.median_ms and proof.load_ms > 0 < proof.median_ms
    # An interpreter with numpy is well above 10 MB, and one that brought TensorFlow above 200.
    assert proof.rss_mb and 10 < proof.rss_mb < 200


def test_agreement_and_difference_are_those_of_the_formula(
    dense: dict[tuple[int, int], bytes],
) -> None:
    content = dense[16, 7]
    windows = some(content)
    expected = Network(content)(windows)
    expected[:3] = np.roll(expected[:3], 1, axis=1)
    (proof,) = prove(content, windows, expected, HERE)
    assert proof.agreement == pytest.approx(37 / 40)
    assert proof.max_difference == pytest.approx(
        np.abs(Network(content)(windows) - expected).max(), abs=1e-6
    )
    assert proof.proven


def test_garbage_is_not_proven(dense: dict[tuple[int, int], bytes]) -> None:
    content = dense[16, 7]
    windows = some(content)
    turned = np.roll(Network(content)(windows), 1, axis=1)
    (proof,) = prove(content, windows, turned, HERE)
    assert not proof.proven
    assert proof.reason == "it decides as expected in 0% of the windows, 90% required"


def test_another_number_of_classes_is_not_proven(dense: dict[tuple[int, int], bytes]) -> None:
    (proof,) = prove(dense[16, 7], some(dense[16, 7]), np.ones((40, 3), np.float32), HERE)
    assert not proof.proven
    assert "shape (40, 7), (40, 3) expected" in proof.reason


def test_bytes_that_are_no_network_are_a_reason() -> None:
    windows = {"x": np.zeros((2, 3), np.float32)}
    (proof,) = prove(b"TFL3 is not enough", windows, np.zeros((2, 2), np.float32), HERE)
    assert not proof.proven
    assert "cannot run the network" in proof.reason


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
    (proof,) = prove(content, some(dense[16, 7]), np.ones((40, 7), np.float32), HERE)
    assert not proof.proven
    assert "FULLY_CONNECTED" in proof.reason
    assert "99" in proof.reason


def script(folder: Path, text: str) -> str:
    path = folder / "python"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def test_a_crash_is_a_reason(tmp_path: Path) -> None:
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    python = script(tmp_path, "kill -SEGV $$")
    (proof,) = prove(b"", windows, expected, {LITERT: python})
    assert proof == Proof(LITERT, False, "its process crashed (SIGSEGV)")


def test_a_runtime_that_hangs_is_a_reason(tmp_path: Path) -> None:
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    python = script(tmp_path, "exec sleep 60")
    (proof,) = prove(b"", windows, expected, {LITERT: python}, timeout_s=0.2)
    assert proof.reason == "it did not end within 0.2 s"


def test_environments_that_are_not_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(PYTHON_VARIABLE, raising=False)
    assert environments() == {LITERT: sys.executable, TFLITE: None}
    windows, expected = {"x": np.zeros((2, 3), np.float32)}, np.zeros((2, 2), np.float32)
    missing = {TFLITE: None, "other": str(tmp_path / "no-python")}
    unset, absent = prove(b"", windows, expected, missing)
    assert PYTHON_VARIABLE in unset.reason
    assert "cannot be started" in absent.reason
    monkeypatch.setenv(PYTHON_VARIABLE, "/some/python")
    assert environments()[TFLITE] == "/some/python"


def test_an_environment_without_the_runtime_is_a_reason(
    dense: dict[tuple[int, int], bytes],
) -> None:
    """This interpreter has LiteRT and not its predecessor; one must not stand in for the other."""
    proof, _ = asked(dense[16, 7], {TFLITE: sys.executable})
    assert not proof.proven
    assert proof.version is None
    assert TFLITE in proof.reason


def test_small_int8_layers_are_not_proven_on_the_old_runtime(
    dense: dict[tuple[int, int], bytes],
) -> None:
    assert known_fault(TFLITE, dense[16, 7]) == ""
    assert "(16 inputs, 2 units)" in known_fault(TFLITE, dense[16, 2])
    assert known_fault(LITERT, dense[16, 2]) == ""


def test_float_layers_of_any_size_are_proven() -> None:
    probe = files("ser_toolkit.runtime").joinpath("probe.tflite").read_bytes()
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
    proof, _ = asked(dense[16, 7], {TFLITE: old_runtime})
    assert proof.proven, proof.reason
    line = "from importlib.metadata import version; print(version('tflite-runtime'))"
    told = subprocess.run([old_runtime, "-c", line], capture_output=True, text=True, check=True)
    assert proof.version == told.stdout.strip()


def test_the_old_runtime_runs_what_is_not_proven_on_it(
    dense: dict[tuple[int, int], bytes], old_runtime: str
) -> None:
    proof, _ = asked(dense[16, 2], {TFLITE: old_runtime})
    assert proof.agreement is not None
    assert proof.agreement > 0.9
    assert not proof.proven
    assert "64-bit ARM" in proof.reason


def test_the_old_runtime_says_which_operator_it_misses(
    dense: dict[tuple[int, int], bytes], old_runtime: str
) -> None:
    content = newer(dense[16, 7], "FULLY_CONNECTED", 12)
    (proof,) = prove(
        content, some(dense[16, 7]), np.ones((40, 7), np.float32), {TFLITE: old_runtime}
    )
    assert not proof.proven
    assert "'FULLY_CONNECTED' version '12'" in proof.reason
