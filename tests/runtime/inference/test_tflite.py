"""The runtime behind a network: found by running it; its answers are those of Keras."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.runtime.errors import MissingExtra, SertkError
from ser_toolkit.runtime.inference.tflite import (
    NOT_INSTALLED,
    TfliteModel,
    TfliteRuntime,
    TfliteTensor,
    examine_runtimes,
    find_runtime,
    normalized,
    probe,
)

PROBE = files("ser_toolkit.runtime.inference").joinpath("probe.tflite").read_bytes()
INSTALLED = "ai-edge-litert"
OTHER = "tflite-runtime"

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ai_edge_litert") is None, reason="no ai-edge-litert"
)


def fake_runtime(folder: Path, body: str) -> dict[str, str]:
    """An environment in which a `tflite_runtime` with this body can be imported."""
    package = folder / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "interpreter.py").write_text(body)
    return {**os.environ, "PYTHONPATH": str(folder)}


def examined(env: dict[str, str]) -> str:
    script = (
        "from ser_toolkit.runtime.inference.tflite import *\n"
        "from ser_toolkit.runtime.errors import SertkError\n"
        "print(examine_runtimes(5)['tflite-runtime'])\n"
        "try:\n    find_runtime(['tflite-runtime'])\n"
        "except SertkError as error:\n    print(error)\n"
    )
    command = [sys.executable, "-c", script]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_runtime_here_works_and_says_its_version() -> None:
    found = probe(INSTALLED)
    assert isinstance(found, TfliteRuntime)
    assert found.version[0].isdigit()
    assert find_runtime() == find_runtime([OTHER, INSTALLED]) == found
    assert examine_runtimes()[INSTALLED] == found


@pytest.mark.skipif(
    importlib.util.find_spec("tflite_runtime") is not None, reason="both are installed"
)
def test_a_runtime_that_is_not_allowed_is_refused_with_the_reason() -> None:
    assert probe(OTHER) == NOT_INSTALLED
    with pytest.raises(SertkError, match="proven on tflite-runtime, and ai-edge-litert is inst"):
        find_runtime([OTHER])
    with pytest.raises(SertkError, match="pip install tflite-runtime"):
        TfliteModel(PROBE, allowed=[OTHER])


def test_without_any_runtime_the_error_has_the_pip_line() -> None:
    script = (
        "import importlib.util\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if 'lite' in name else find(name)\n"
        "from ser_toolkit.runtime.inference.tflite import *\n"
        "from ser_toolkit.runtime.errors import MissingExtra\n"
        "try:\n    find_runtime()\n"
        "except MissingExtra as error:\n    print(error.exit_code, error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.startswith("2 ") and "pip install ai-edge-litert" in done.stdout
    assert issubclass(MissingExtra, SertkError)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            "class Interpreter:\n    def __init__(self, **_): raise SystemError('no numpy')",
            "SystemE",
        ),
        ("import a_part_that_is_missing", "No module named 'a_part_that_is_missing'"),
        ("raise OSError('libmissing.so: not found')", "libmissing.so"),
    ],
)
def test_a_runtime_that_imports_and_fails_is_not_taken(
    tmp_path: Path, body: str, reason: str
) -> None:
    output = examined(fake_runtime(tmp_path, body))
    assert output.count(reason) == 2 and 'pip install "numpy<2"' in output


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ("import os\nos.abort()", "crashed (SIGABRT)"),
        ("import os\nos._exit(0)", "ended without an answer"),
        pytest.param("import time\ntime.sleep(60)", "no answer within 5 s", marks=pytest.mark.slow),
    ],
)
def test_a_runtime_that_crashes_or_hangs_is_examined_apart(
    tmp_path: Path, body: str, reason: str
) -> None:
    env = fake_runtime(tmp_path, body)
    script = "from ser_toolkit.runtime.inference.tflite import *; print(examine_runtimes(5))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, timeout=60
    )
    assert reason in done.stdout, done.stderr


def test_names_and_shapes_come_from_the_signature(tiny: Any) -> None:
    network = TfliteModel(tiny.networks["float32"])
    assert network.inputs == {"frames": tiny.inputs.shape[1:]}
    assert network.n_classes == 4
    assert TfliteModel(PROBE).inputs == {"x": (2,)}


def test_float_networks_answer_as_keras_does(tiny: Any) -> None:
    answer = TfliteModel(tiny.networks["float32"])({"frames": tiny.inputs})
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, tiny.expected, rtol=0, atol=1e-5)


def test_int8_networks_answer_nearly_as_keras_does(tiny: Any) -> None:
    answer = TfliteModel(tiny.networks["int8"], threads=2)({"frames": tiny.inputs})
    np.testing.assert_allclose(answer, tiny.expected, atol=0.03)
    np.testing.assert_allclose(answer.sum(axis=1), 1, atol=1e-6)
    assert (answer > 0).all()


def test_int8_equals_the_runtime_used_by_hand(tiny: Any) -> None:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=tiny.networks["int8"])
    run = interpreter.get_signature_runner()
    scale, zero = run.get_input_details()["frames"]["quantization"]
    out_scale, out_zero = run.get_output_details()["output_0"]["quantization"]
    for row in tiny.inputs[:3]:
        wide = row.astype(np.float64) / np.float32(scale)
        stored = np.clip(np.floor(np.abs(wide) + 0.5) * np.sign(wide) + zero, -128, 127)
        by_hand = run(frames=stored.astype(np.int8)[None])["output_0"]
        expected = (by_hand.astype(np.float64) - out_zero) * out_scale
        answer = TfliteModel(tiny.networks["int8"])({"frames": row[None]})
        # A step is 1/256; what is less than half of one was stored as 0.
        expected = np.where(expected == 0, 1 / 1024, expected)
        expected /= expected.sum()
        np.testing.assert_allclose(answer, expected, rtol=0, atol=1e-6)


def test_what_int8_rounds_away_is_neither_lost_nor_impossible() -> None:
    # The largest int8 stands for 255/256: a network that is sure gives that, and zeros.
    stored = np.array([[0.99609375, 0, 0, 0], [0.5, 0.5, 0, 0]], np.float32)
    sure, split = normalized(stored, 1 / 256)
    for row in (sure, split):
        assert row.sum() == pytest.approx(1, abs=1e-6) and (row > 0).all()
    assert sure[0] > 0.995 and sure[1] < 1 / 512
    assert split[0] == split[1] and split[2] < 1 / 512


@given(
    st.lists(st.floats(-(2.0**99), 2.0**99, width=32), min_size=1, max_size=20),
    st.sampled_from([(np.int8, 0.5, 3), (np.int8, 0.017, -128), (np.int16, 0.25, 0)]),
)
def test_rounding_is_half_away_from_zero_and_clipped(
    values: list[float], kind: tuple[Any, float, int]
) -> None:
    dtype, scale, zero_point = kind
    tensor = TfliteTensor(0, (1, len(values)), dtype, scale, zero_point)
    stored = tensor.encode(np.array(values, np.float32))
    limits = np.iinfo(dtype)
    for value, found in zip(values, stored, strict=True):
        exact = float(np.float32(value) / np.float32(scale))
        away = int(abs(exact) + 0.5) * (1 if exact >= 0 else -1)
        assert found == min(max(away + zero_point, limits.min), limits.max)
    assert stored.dtype == dtype


def test_what_was_stored_is_read_back_within_half_a_step() -> None:
    tensor = TfliteTensor(0, (1, 5), np.int8, 0.1, 5)
    values = np.array([-13.3, -1, 0, 0.05, 12.2], np.float32)
    np.testing.assert_allclose(tensor.decode(tensor.encode(values)), values, atol=0.0501)


def test_no_window_gives_no_answer(tiny: Any) -> None:
    answer = TfliteModel(tiny.networks["float32"])({"frames": tiny.inputs[:0]})
    assert answer.shape == (0, 4)


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"x": np.zeros((1, 24, 17), np.float32)},
        {"frames": np.zeros((1, 24, 16), np.float32)},
        {"frames": np.zeros((24, 17), np.float32)},
        {"frames": np.full((1, 24, 17), np.nan, np.float32)},
    ],
)
def test_wrong_windows_are_refused(tiny: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises(SertkError, match=r"expects W x|not numbers"):
        TfliteModel(tiny.networks["float32"])(wrong)


@pytest.mark.parametrize("content", [b"", b"TFL3", b"PK\x03\x04" * 9, PROBE[:100], bytes(500)])
def test_bytes_that_are_no_network_are_refused_in_one_line(content: bytes) -> None:
    with pytest.raises(SertkError, match="cannot run the network") as refused:
        TfliteModel(content)
    assert "\n" not in str(refused.value)
