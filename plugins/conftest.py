"""Share the tests of two readers: EMO-DB in another form gives what its own reader gives."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk

QUICK = (
    "extractor=log_mel",
    "training.copies=0",
    "training.ema_momentum=0",
    "training.warmup_epochs=0",
)
SAME = ("uar", "wa", "loss", "per_class", "per_speaker", "confusion", "temperature")


@pytest.fixture(scope="session")
def emodb_clips(data_dir: Path) -> tuple[sertk.Clip, ...]:
    """Return the clips of EMO-DB by its own reader."""
    return sertk.load_plugins().get("reader", "emodb").read(data_dir / "emodb").clips


def train(root: Path, reader: str, out: Path) -> Path:
    sertk.train(root, reader=reader, epochs=2, workers=1, settings=QUICK, out=out)
    return out


def read(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text("utf-8"))


@pytest.fixture(scope="session")
def emodb_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on EMO-DB by its own reader, shortly."""
    return train(data_dir / "emodb", "emodb", tmp_path_factory.mktemp("emodb") / "run")


@pytest.fixture
def same_training(emodb_run: Path, tmp_path: Path) -> Callable[[Path, str], None]:
    """Train on EMO-DB in another form: clips, split, metrics and predictions are the same."""

    def compare(root: Path, reader: str) -> None:
        run = train(root, reader, tmp_path / "run")
        plan, metrics = read(run, "split.json"), read(run, "metrics.json")
        assert [used["reader"] for used in metrics["data"]] == [reader]
        assert len(plan["clips"]) == 535 == sum(metrics["sides"].values())
        assert len({clip["speaker"] for clip in plan["clips"]}) == 10
        assert plan == read(emodb_run, "split.json")
        expected = read(emodb_run, "metrics.json")
        assert {key: metrics[key] for key in SAME} == {key: expected[key] for key in SAME}
        tables = [(out / "predictions.csv").read_text("utf-8") for out in (run, emodb_run)]
        assert tables[0] == tables[1] and len(tables[0].splitlines()) == metrics["clips"] + 1
        assert 1.5 / 7 < metrics["uar"] <= 1, "clearly above chance"

    return compare
