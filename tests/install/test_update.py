"""An update to another build of the same version: the lines of the guide bring the new code."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
GUIDE = ROOT / "edge/README.md"


def wheel(source: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-q"]
    subprocess.run([*command, "-w", folder, source], check=True, timeout=120)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_an_update_brings_the_code_of_a_build_with_the_same_version(tmp_path: Path) -> None:
    (line,) = re.findall(r"/pip (install --force-reinstall .*?) ~", GUIDE.read_text("utf-8"))
    source, home = tmp_path / "source", tmp_path / "home"
    shutil.copytree(ROOT / "plugins/sertk-msf", source)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", home], check=True, timeout=120)
    pip = [sys.executable, "-m", "pip", "--python", str(home / "bin/python"), "-q"]
    old = wheel(source, tmp_path / "old")
    subprocess.run([*pip, "install", "--no-deps", old], check=True, timeout=120)
    (source / "sertk_msf/newer.py").write_text("")
    new = wheel(source, tmp_path / "new")
    assert new.name == old.name
    # As one would: pip keeps what has that version.
    for words, is_new in ((["install", "--upgrade", "--no-deps"], False), (line.split(), True)):
        subprocess.run([*pip, *words, new], check=True, timeout=120)
        assert bool(list(home.rglob("sertk_msf/newer.py"))) == is_new, words
