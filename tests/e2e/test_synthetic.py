"""The built-in corpus: nothing to download, and a caveat wherever its metrics are shown."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

QUICK = ("extractor=rms", "training.copies=0", "training.warmup_epochs=0", "model.channels=8")


@pytest.mark.slow
def test_its_metrics_have_a_caveat_everywhere(sertk: Callable[..., Any], tmp_path: Path) -> None:
    settings = [word for value in QUICK for word in ("--set", value)]
    run = tmp_path / "run"
    result = sertk("train", "--data", "synthetic", "--epochs", 1, *settings, "--out", run)
    assert result.returncode == 0, result.stderr
    metrics = [line for line in result.stdout.splitlines() if line.startswith("UAR ")]
    assert metrics[0].endswith("— synthetic speech")
    assert "! synthetic speech: these metrics say nothing about human voices" in result.stdout
    assert json.loads((run / "metrics.json").read_text())["synthetic"] is True
    log = (run / "log.txt").read_text()
    assert all("synthetic" in line for line in log.splitlines() if " UAR " in line)
    pictures = sorted(path.name for path in (run / "plots").glob("*.png"))
    assert pictures == [
        "accuracy.png",
        "classes.png",
        "confusion_counts.png",
        "confusion_percent.png",
        "loss.png",
    ]
