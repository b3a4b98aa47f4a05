"""The small run and its bundles, which the tests of this folder share."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit.export.quantize import Options, quantize

Small = tuple[Any, Path]
TINY = """
name = "tiny"
extractor = [{ name = "zcr" }, { name = "rms" }]
model = { name = "tcn", channels = 4, dilations = [1] }
window = { length_frames = 60, hop_frames = 60 }
training = { epochs = 1, copies = 0 }
"""


@pytest.fixture(scope="session")
def bundles(small_run: Small, cache: Path, once: Callable[..., Path]) -> Path:
    """A folder with the bundles of two modes, and beside them the run that they are of."""

    def make(root: Path) -> None:
        run = sertk.Run(Path(shutil.copytree(small_run[0].path, root / "run")))
        options = Options(modes=("float32", "int8"), force=True)
        quantize(run, options, root / "small.sertk", sertk.Callback())

    return once("inference-bundles", make)


@pytest.fixture(scope="session")
def tiny() -> str:
    """A recipe that trains in a second."""
    return TINY


@pytest.fixture(scope="session")
def bundle(bundles: Path) -> Path:
    return next(bundles.glob("*float32*.sertk"))


@pytest.fixture(scope="session")
def files(small_run: Small) -> list[Path]:
    return sorted(small_run[1].rglob("*.wav"))
