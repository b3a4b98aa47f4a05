"""What is built of this tree, and the index from which the rest comes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
# `environments` is imported by name.
sys.path.append(str(Path(__file__).parent))


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def index(
    require: Callable[[str, bool, str], None], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """The package index that pip is told of here; everything below installs from it."""
    (pin,) = re.findall(
        r"^pluggy==\S+$", (ROOT / "constraints.txt").read_text("utf-8"), re.MULTILINE
    )
    target = tmp_path_factory.mktemp("index")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--retries", "1", "-d", target]
    done = subprocess.run([*command, pin], capture_output=True, text=True, check=False)
    require("index", done.returncode == 0, f"pip cannot get {pin}")


@pytest.fixture(scope="session")
def wheels(once: Once) -> Path:
    """Every distribution, as `make wheels` builds it. Not to be changed."""
    command = [sys.executable, ROOT / "release/build.py", "--out"]
    made = once("wheels", lambda root: subprocess.run([*command, root / "dist"], check=True))
    return made / "dist"
