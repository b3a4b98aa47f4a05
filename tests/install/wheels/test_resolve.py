"""Every pin has a wheel for each Python that we name, and for a Pi: resolved, not installed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
PINS = (ROOT / "constraints.txt").read_text("utf-8")


def resolve(wheels: Path, constraints: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, ROOT / "release/resolve.py", wheels, "--constraints", constraints]
    return subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_pin_has_a_wheel_everywhere(wheels: Path, index: None) -> None:
    done = resolve(wheels, ROOT / "constraints.txt")
    assert done.returncode == 0, done.stderr
    message = re.findall(r"^Python (\S+) on (\w+?)-\S+: (\d+) wheels", done.stdout, re.MULTILINE)
    on_pc = [python for python, machine, _ in message if machine == "x86_64"]
    on_pi = {python: int(count) for python, machine, count in message if machine == "aarch64"}
    assert on_pc == ["3.10", "3.11", "3.12", "3.13"]
    assert on_pi.keys() == {"3.11", "3.13"} and max(on_pi.values()) < 60


@pytest.mark.slow
@pytest.mark.parametrize(
    ("pattern", "replacement", "message"),
    [
        (r"^tensorflow==.*", "tensorflow==2.9.0", "Python 3.10 .*tensorflow"),
        (r"^audioread==.*", "audioread==2.1.9", "audioread==2.1.9 has no usable wheels"),
        (r"^pluggy==.*\n", "", "no pin of pluggy. Make constraints.txt anew"),
    ],
)
def test_pins_that_do_not_resolve_are_told(
    pattern: str, replacement: str, message: str, wheels: Path, index: None, tmp_path: Path
) -> None:
    changed, count = re.subn(pattern, replacement, PINS, flags=re.MULTILINE)
    assert count == 1
    (tmp_path / "pins.txt").write_text(changed, "utf-8")
    done = resolve(wheels, tmp_path / "pins.txt")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("Error: Python 3.10 on ") and re.search(message, line), line


def test_a_folder_without_wheels(tmp_path: Path) -> None:
    done = resolve(tmp_path, ROOT / "constraints.txt")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "Run `make wheels`" in done.stderr
