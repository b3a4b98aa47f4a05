"""Lint refuses a plugin that imports what is not public, wherever the import stands."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "release/public_imports.py"
FINE = (
    "from ser_toolkit import Signal, dsp\n"
    "from ser_toolkit.dsp import hann\n"
    "import ser_toolkit.dsp\n"
    "import ser_toolkit as sertk\n"
    "import numpy\n"
)
WRONG = (
    "from ser_toolkit.runtime.features.base import Signal",
    "from ser_toolkit import hookspecs",
    "from ser_toolkit.testing import Check",
    "import ser_toolkit.contracts.components",
    "def f():\n    from ser_toolkit.files import cache_dir",
    "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from ser_toolkit.runtime import dsp",
)


def checked(folder: Path, code: str, name: str = "sertk_x/__init__.py") -> tuple[int, str]:
    """The status and output for a tree with one plugin of one file."""
    core, file = folder / "ser_toolkit/__init__.py", folder / "plugins/sertk-x" / name
    for path, text in ((core, '__all__ = ["Signal"]\n'), (file, code)):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    command = [sys.executable, str(CHECK)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    file.unlink()
    return done.returncode, done.stdout + done.stderr


def test_the_plugins_here_import_public_names_alone() -> None:
    done = subprocess.run([sys.executable, str(CHECK)], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_import_that_is_not_public_is_named(tmp_path: Path) -> None:
    assert checked(tmp_path, FINE)[0] == 0
    for code in WRONG:
        status, output = checked(tmp_path, code)
        line = code.count("\n") + 1
        assert status == 1 and f"sertk_x/__init__.py:{line}: " in output, code
    assert checked(tmp_path, WRONG[2], "tests/test_x.py")[0] == 0
