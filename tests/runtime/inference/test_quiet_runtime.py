"""What a runtime writes to file descriptor 2 while a network is loaded."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ai_edge_litert")

BUNDLE = Path(__file__).parents[2] / "bundles" / "v1" / "tiny.sertk"
LOAD = """
import os, sys, threading
from pathlib import Path
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.runtime.inference import tflite
model = parse_bundle(read_bytes(Path(sys.argv[1]))).model
"""
FAKE = """
import os
class Interpreter:
    def __init__(self, **_):
        os.write(2, b"INFO: Created TensorFlow Lite delegate\\nERROR: no such operator\\n")
        raise ValueError("refused")
"""


def output(body: str, env: dict[str, str] | None = None, head: str = "") -> tuple[str, str]:
    """What a fresh process prints on both ways."""
    command = [sys.executable, "-c", head + LOAD + body, str(BUNDLE)]
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout, done.stderr


def test_the_greeting_is_kept_away() -> None:
    by_hand = (
        "from ai_edge_litert.interpreter import Interpreter\n"
        "Interpreter(model_content=model).allocate_tensors()"
    )
    assert "TensorFlow Lite" in output(by_hand)[1], "this runtime greets no more: this test is void"
    assert output("print(TfliteModel(model).n_classes)") == ("4\n", "")


def test_all_is_shown_when_something_fails(tmp_path: Path) -> None:
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(FAKE)
    body = "print(tflite.probe('tflite-runtime'))\nos.write(2, b'after\\n')"
    out, err = output(body, {**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "ValueError: refused" in out
    assert err == "INFO: Created TensorFlow Lite delegate\nERROR: no such operator\nafter\n"


def test_a_closed_file_descriptor_stays_closed() -> None:
    body = (
        "assert TfliteModel(model).n_classes == 4\n"
        "try:\n    os.fstat(2)\nexcept OSError:\n    print('closed')\n"
    )
    assert output(body, head="import os\nos.close(2)\n")[0] == "closed\n"
    assert output(body, head="import sys\nsys.stderr = None\n")[0] == ""


def test_without_a_folder_for_temporary_files_it_loads_all_the_same() -> None:
    head = "import tempfile\ntempfile.tempdir = '/nowhere'\n"
    assert output("print(TfliteModel(model).n_classes)", head=head)[0] == "4\n"


def test_nothing_that_other_threads_write_meanwhile_is_lost() -> None:
    body = (
        "def load():\n    [TfliteModel(model) for _ in range(5)]\n"
        "loading = [threading.Thread(target=load) for _ in range(3)]\n"
        "[one.start() for one in loading]\n"
        "count = 0\n"
        "while any(one.is_alive() for one in loading):\n"
        "    os.write(2, b'INFO: line %d\\n' % count)\n    count += 1\n"
        "    threading.Event().wait(0.001)\n"
        "os.write(2, b'the end\\n')\n"
        "print(count)\n"
    )
    out, err = output(body)
    lines = err.splitlines()
    assert lines[-1] == "the end"
    assert sorted(lines[:-1]) == sorted(f"INFO: line {n}" for n in range(int(out)))
