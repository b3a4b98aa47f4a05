"""`sertk bench`: a table for people, JSON for comparing boards."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.bundle.signing import generate_keys

pytest.importorskip("ai_edge_litert")

BUNDLE = Path(__file__).parents[1] / "bundles" / "v1" / "tiny.sertk"
COMMAND = """
import sys
from ser_toolkit import cli
from ser_toolkit.cli.bench import bench
cli.sertk.add_command(bench)
status = cli.run(sys.argv[1:])
heavy = ("tensorflow", "keras", "librosa", "scipy.signal", "sklearn", "matplotlib", "joblib")
assert not [name for name in heavy if name in sys.modules]
sys.exit(status)
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run `sertk bench` with some arguments in `tmp_path`."""

    def run(*args: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", COMMAND, "bench", *map(str, args)]
        return subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)

    return run


def test_people_get_tables_and_programs_the_same_in_json(run: Run, tmp_path: Path) -> None:
    done = run(BUNDLE, "--threads", "2,1", "--threads", "2", "--seconds", "0", "--out", "b.json")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "b.json").read_text())
    assert [one["threads"] for one in found["runs"]] == [2, 1]
    lines = [line.split() for line in done.stdout.splitlines()]
    for one in found["runs"]:
        metrics = (one["network"][f"{key}_ms"] for key in ("median", "p95", "p99"))
        row = [str(one["threads"]), "network", *(f"{value:.2f}" for value in metrics)]
        assert [*row, str(one["network"]["rounds"])] in lines
    assert "windows of 0.21 s every 0.10 s" in done.stdout
    assert "Other load on the machine changes every measurement" in done.stdout


def test_json_alone_is_on_standard_output(run: Run) -> None:
    done = run(BUNDLE, "--json", "--threads", "1", "--seconds", "0")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["bundle"]["file"] == BUNDLE.name


@pytest.mark.parametrize("threads", ["0", "two", "1,,2", "-1", "257", "1.5", "²"])
def test_wrong_numbers_of_threads_are_refused(run: Run, threads: str) -> None:
    done = run(BUNDLE, "--threads", threads)
    assert done.returncode == 2
    assert "whole numbers from 1 to 256 expected" in done.stderr


def test_what_is_not_to_be_believed_is_not_measured(run: Run, tmp_path: Path) -> None:
    damaged = tmp_path / "damaged.sertk"
    damaged.write_bytes(BUNDLE.read_bytes()[:-1])
    _, public = generate_keys(tmp_path / "keys")
    for args in ([damaged], [tmp_path / "none.sertk"], [BUNDLE, "--require-signature", public]):
        done = run(*args, "--out", "b.json")
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert not (tmp_path / "b.json").exists()
