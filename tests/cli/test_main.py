"""The command line's manners: one line for what a user can fix, exit codes, pipes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from ser_toolkit import __version__

COMMAND = """
import sys, click
from ser_toolkit import cli
from ser_toolkit.runtime.errors import AudioError, MissingExtra, SertkError

@cli.sertk.command()
def probe():
    {body}

cli.main()
"""


def run(*args: str, body: str = "pass", **env: str) -> subprocess.CompletedProcess[str]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}
    source = COMMAND.format(body=textwrap.indent(textwrap.dedent(body), "    ").strip())
    return subprocess.run(
        [sys.executable, "-c", source, *args],
        env={**kept, **env},
        capture_output=True,
        text=True,
        timeout=60,
    )


@pytest.mark.parametrize(
    ("body", "code", "line"),
    [
        ("raise SertkError('No such clip', 'Look elsewhere')", 1, "No such clip. Look elsewhere"),
        ("raise MissingExtra('this needs wings')", 2, "this needs wings"),
        ("open('/nowhere/file')", 1, "/nowhere/file: No such file or directory"),
        (
            "with open('/dev/full', 'w') as file: file.write('x')",
            1,
            "disk full. Make room and run the command again",
        ),
        (
            "raise OSError(28, 'No space left on device', 'a.npz')",
            1,
            "disk full while writing a.npz. Make room and run the command again",
        ),
        (
            "raise ModuleNotFoundError('No module', name='sklearn.svm')",
            2,
            "this needs 'sklearn', which is not installed. "
            'Run `pip install "ser-toolkit[train]"`',
        ),
    ],
)
def test_what_a_user_can_mend_is_one_line(body: str, code: int, line: str) -> None:
    result = run("probe", body=body)
    assert (result.returncode, result.stdout) == (code, "")
    assert result.stderr == f"Error: {line}\n"


@pytest.mark.parametrize("body", ["1 / 0", "raise ImportError('x', name='json')"])
def test_a_defect_shows_its_traceback(body: str) -> None:
    result = run("probe", body=body)
    assert result.returncode == 1
    assert "Traceback" in result.stderr


@pytest.mark.parametrize(("args", "env"), [(["--debug"], {}), ([], {"SERTK_DEBUG": "1"})])
def test_debug_adds_the_traceback(args: list[str], env: dict[str, str]) -> None:
    result = run(*args, "probe", body="raise SertkError('No such clip')", **env)
    assert result.returncode == 1
    assert result.stderr.startswith("Traceback")
    assert result.stderr.endswith("Error: No such clip\n")


def test_exit_codes_of_a_command_pass() -> None:
    assert run("probe").returncode == 0
    assert run("probe", body="sys.exit(7)").returncode == 7
    assert run("probe", body="click.get_current_context().exit(5)").returncode == 5
    assert run("probe", "--nonsense").returncode == 2


def test_an_interrupt_exits_with_130() -> None:
    body = f"import os, signal\nos.kill(os.getpid(), {int(signal.SIGINT)})\nsignal.pause()"
    result = run("probe", body=body)
    assert result.returncode == 130
    assert "Traceback" not in result.stderr


def test_a_reader_that_leaves_early_is_no_error() -> None:
    body = "for _ in range(100_000): click.echo('a line that nobody reads')"
    source = COMMAND.format(body=body)
    with subprocess.Popen(
        [sys.executable, "-c", source, "probe"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.readline()
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=60) == 1


def test_an_unknown_command_is_met_with_the_closest() -> None:
    result = run("plugin")
    assert result.returncode == 2
    assert "there is no command 'plugin'. Did you mean 'plugins'?" in result.stderr
    assert "It may come with a plugin" in result.stderr


def test_version() -> None:
    assert run("--version").stdout == f"sertk {__version__}\n"


def test_plugins_in_a_pipe_is_plain_and_unwrapped() -> None:
    out = run("plugins").stdout
    assert out.isascii()
    assert "\x1b" not in out
    augmenters = [line for line in out.splitlines() if "augmenter" in line and "builtin" in line]
    assert len(augmenters) == 1
    assert augmenters[0].split()[:4] == ["builtin", "ser-toolkit", __version__, "augmenter"]
    assert "equalise" in augmenters[0]


def test_doctor_runs_a_network_on_the_installed_runtime(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    result = run("doctor", "--json", SERTK_CACHE=str(tmp_path / "not" / "yet"))
    answer = json.loads(result.stdout)
    parts = {part["part"]: part for part in answer["parts"]}
    assert (result.returncode, answer["works"]) == (0, True)
    assert parts["ai-edge-litert"]["state"] == "ok"
    assert parts["cache"]["detail"].startswith(str(tmp_path / "not" / "yet"))
    assert {"numpy", "soxr", "soundfile", "fft", "plugin builtin"} <= set(parts)


def test_doctor_finds_out_a_runtime_that_imports_and_cannot_run(tmp_path: Path) -> None:
    package = tmp_path / "tflite_runtime"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "interpreter.py").write_text(
        "class Interpreter:\n"
        "    def __init__(self, **_):\n"
        "        raise SystemError('built for another numpy')\n"
    )
    result = run("doctor", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    lines = [" ".join(line.split()) for line in result.stdout.splitlines()]
    at = lines.index(
        "broken tflite-runtime cannot run a network (SystemError: built for another numpy)"
    )
    assert "numpy<2" in lines[at + 1]


def test_doctor_fails_when_the_base_does_and_still_reports(tmp_path: Path) -> None:
    (tmp_path / "soxr.py").write_text("raise OSError('libsoxr.so.0: cannot open')")
    result = run("doctor", PYTHONPATH=os.pathsep.join([str(tmp_path), *sys.path]))
    assert result.returncode == 1
    assert "OSError: libsoxr.so.0: cannot open" in result.stdout
    assert "pip install --force-reinstall soxr" in result.stdout
