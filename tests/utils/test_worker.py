"""Child processes that answer, fail, crash, hang and talk out of turn."""

from __future__ import annotations

import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.runtime.process import ProcessError, output_lines, output_text
from ser_toolkit.utils.worker import (
    Worker,
    WorkerCrashError,
    WorkerError,
    ask_code,
    read_arrays,
    run_module,
    write_arrays,
)

HEAD = "import os, sys; from ser_toolkit.utils.worker import serve\n"


def answers(code: str, content: bytes = b"") -> list[Any]:
    return list(ask_code(HEAD + code, [], content, 60))


def test_answers_come_one_by_one_and_nothing_else_is_taken_for_one(
    capfd: pytest.CaptureFixture[str],
) -> None:
    code = (
        "print('hello')\n"
        "def work():\n"
        "    text = sys.stdin.read()\n"
        "    yield {'text': text}\n"
        "    print('[\"answer\", 1]'); os.write(1, b'raw\\n')\n"
        "    yield [1.5, None]\n"
        "serve(work)\n"
    )
    assert answers(code, b"given") == [{"text": "given"}, [1.5, None]]
    assert capfd.readouterr() == ("", "")


def test_an_error_is_its_cause_and_what_to_do() -> None:
    refused = (
        "from ser_toolkit.runtime.errors import SertkError\n"
        "def work():\n"
        "    yield 1\n"
        "    raise SertkError('too loud', 'Turn it down')\n"
        "serve(work)\n"
    )
    with pytest.raises(WorkerError) as caught:
        answers(refused)
    assert (caught.value.cause, caught.value.todo) == ("too loud", "Turn it down")
    with pytest.raises(WorkerError, match=r"^ZeroDivisionError: division by zero$"):
        answers("serve(lambda: 1 / 0)")
    with pytest.raises(WorkerError, match=r"^ValueError: x y x y .*…$") as caught:
        answers("def work():\n    raise ValueError('x\\ny ' * 1000)\nserve(work)")
    assert len(str(caught.value)) == 300


@pytest.mark.parametrize(
    ("code", "end"),
    [
        ("os.abort()", "crashed (SIGABRT)"),
        ("os.kill(os.getpid(), 50)", "crashed (signal 50)"),
        (
            "print('INFO: hi\\nlast words\\n\\nINFO: x', file=sys.stderr); sys.exit(3)",
            "ended with status 3: last words",
        ),
        ("sys.exit(4)", "ended with status 4"),
        ("serve(lambda: os._exit(0))", "ended without an answer"),
        ("serve(lambda: os._exit(5))", "ended with status 5"),
    ],
)
def test_a_bad_end_is_one_line(code: str, end: str) -> None:
    with pytest.raises(WorkerCrashError) as caught:
        answers(code)
    assert caught.value.end.endswith(end)
    assert str(caught.value) == f"its process {caught.value.end}"


def shell(script: str, timeout_s: float, content: bytes = b"") -> list[bytes]:
    return list(output_lines(["sh", "-c", script], timeout_s, content))


def test_the_output_is_text() -> None:
    assert output_text(["printf", r"one\ntwo\377"], 5) == "one\ntwo\ufffd"
    with pytest.raises(ProcessError, match=r"^cannot be started: 'no-such-program': No such file"):
        output_text(["no-such-program"], 5)


def test_what_hangs_is_ended_wherever_it_hangs() -> None:
    """Before it reads, between two lines, and after its output."""
    began = time.monotonic()
    for script in ("exec sleep 60", "echo one; exec sleep 60", "exec >&-; exec sleep 60"):
        with pytest.raises(ProcessError, match=r"^gave no answer within 0\.5 s$"):
            shell(script, 0.5, bytes(1 << 20))
    assert time.monotonic() - began < 30


def test_the_wait_is_for_each_line_and_not_for_all() -> None:
    lines = shell("for n in 1 2 3 4 5; do sleep 0.5; echo $n; done", 2)
    assert lines == [b"1\n", b"2\n", b"3\n", b"4\n", b"5\n"]


def test_a_program_that_is_not_there() -> None:
    with pytest.raises(WorkerError, match=r"cannot be started: 'no-such-program': No such file"):
        Worker(["no-such-program"], 1)


def test_requests_are_answered_one_at_a_time() -> None:
    code = (
        "import json\n"
        "def work():\n"
        "    for line in sys.stdin:\n"
        "        request = json.loads(line)\n"
        "        yield 10 // request['by']\n"
        "serve(work)\n"
    )
    with Worker([sys.executable, "-c", HEAD + code], 60) as worker:
        assert worker.ask({"by": 5}) == 2
        assert worker.ask({"by": 3}) == 3
        with pytest.raises(WorkerError, match="ZeroDivisionError"):
            worker.ask({"by": 0})
        with pytest.raises(WorkerCrashError):
            worker.ask({"by": 1})


def test_a_module_works_in_its_folder(tmp_path: Path) -> None:
    text = (
        "import os\nfrom ser_toolkit.utils.worker import serve_folder\n"
        "def work(folder):\n"
        "    (folder / 'made').write_text(os.environ['WHO'])\n"
        "    return [os.getcwd() == str(folder)]\n"
        "serve_folder(work)\n"
    )
    (tmp_path / "own_worker.py").write_text(text)
    assert run_module("own_worker", tmp_path, 60, {"WHO": "me"}) == [True]
    assert (tmp_path / "made").read_text() == "me"


def test_arrays_of_any_name_come_back(tmp_path: Path) -> None:
    arrays = {"file": np.arange(3.0), "a/b é": np.ones((2, 2), np.float32), "names": np.zeros(1)}
    write_arrays(tmp_path / "arrays.npz", arrays)
    back = read_arrays(tmp_path / "arrays.npz")
    assert list(back) == list(arrays)
    assert all(np.array_equal(back[name], arrays[name]) for name in arrays)
