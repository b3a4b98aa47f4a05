"""Lint refuses a function whose docstring does not begin with a verb in the imperative."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHECK = ROOT / "release/docstrings.py"
FINE = (
    "Return the number of clips.",
    "Number an event and store it.",
    "Self-test a bundle.",
    "Embed the weights.",
    "Pass a window on.",
    "Say whether it is a file.",
)
WRONG = (
    "The number of clips.",
    "Number of clips.",
    "Its name.",
    "Whether it is a file.",
    "As it is written.",
    "Returns the number.",
    "Returning the number.",
    "Expected calibration error.",
    "one per line.",
    "`x` as text.",
    "One-hot targets.",
)
FUNCTION = 'class A:\n    """Noun."""\n\n    async def name(self):\n        """{}"""\n'


def checked(folder: Path, docstring: str) -> tuple[int, str]:
    path = folder / "plugins/sertk-x/sertk_x/__init__.py"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(FUNCTION.format(docstring), "utf-8")
    command = [sys.executable, str(CHECK)]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    return done.returncode, done.stdout + done.stderr


def test_a_verb_is_accepted_and_anything_else_is_named(tmp_path: Path) -> None:
    for docstring in FINE:
        status, output = checked(tmp_path, docstring)
        assert status == 0, output
    for docstring in WRONG:
        status, output = checked(tmp_path, docstring)
        assert status == 1 and f"__init__.py:4: name begins with no verb: {docstring}" in output


def test_a_function_without_a_docstring_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "ser_toolkit/a.py"
    path.parent.mkdir()
    path.write_text("def name():\n    return 1\n", "utf-8")
    done = subprocess.run([sys.executable, str(CHECK)], cwd=tmp_path, capture_output=True)
    assert done.returncode == 0
