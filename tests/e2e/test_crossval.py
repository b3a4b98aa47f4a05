"""A cross-validation that is interrupted, resumed, and compared with one that ran through."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.cross_validation import fold_folder

COMMAND = "import sys; from ser_toolkit.cli import run; sys.exit(run(sys.argv[1:]))"
DEADLINE_S = 240


def start(*args: object) -> subprocess.Popen[str]:
    """The command in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-c", COMMAND, *map(str, args)],
        start_new_session=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for_epochs(path: Path, epochs: int, process: subprocess.Popen[str]) -> None:
    until = time.monotonic() + DEADLINE_S
    while time.monotonic() < until and process.poll() is None:
        if path.exists() and len(path.read_text().splitlines()) > epochs:
            return
        time.sleep(0.05)
    raise AssertionError(f"{path} never had {epochs} epochs: {process.communicate()}")


def metrics(run: Path) -> dict[str, Any]:
    """metrics.json without the times."""
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    for part in (found, *found["folds"]):
        part.pop("seconds")
    return found


@pytest.mark.slow
def test_ctrl_c_keeps_what_is_done_and_resume_ends_as_if_nothing_had_been(
    tiny: Path, good: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = (
        "crossval",
        tiny,
        "--data",
        good,
        "--protocol",
        "kfold:3",
        "--epochs",
        60,
        "--workers",
        2,
    )
    whole, broken = tmp_path / "whole", tmp_path / "broken"

    process = start(*options, "--out", broken)
    wait_for_epochs(fold_folder(broken, 0) / "history.csv", 3, process)
    subprocess.run(["kill", f"-{signal.SIGINT.value}", "--", f"-{process.pid}"], check=True)
    _, output = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130
    assert "`sertk resume` with its folder" in output and "Traceback" not in output
    assert not (broken / "metrics.json").exists()
    assert (fold_folder(broken, 0) / "split.json").exists()

    for arguments in (("resume", broken), (*options, "--out", whole)):
        process = start(*arguments)
        _, output = process.communicate(timeout=DEADLINE_S)
        assert process.returncode == 0, output
    assert metrics(broken) == metrics(whole)
    pooled, one = broken / "predictions.csv", whole / "predictions.csv"
    assert pooled.read_text() == one.read_text()

    monkeypatch.setenv("SERTK_PLUGINS", "nowhere")
    process = start(*options, "--out", whole, "--resume", "--quantize", "float32")
    shown, output = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, output
    assert output.count("names 'nowhere', which is not installed") == 1
    quantized = json.loads((whole / "metrics.json").read_text())["quantized"]
    assert quantized["mode"] == "float32" and quantized["agreement"] == 1
    assert quantized["difference"]["uar"] == 0 and quantized["ci95"]["groups"] > 1
    line = " ".join(shown.split())
    assert "float32 (" in line and "+0.0 [+0.0, +0.0] (95 %, paired)" in line
