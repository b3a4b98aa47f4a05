"""Whole runs on real corpora: few epochs, every stage."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

import ser_toolkit as sertk

QUICK = ("training.copies=0", "training.warmup_epochs=0")


class Messages(sertk.Callback):
    """Remembers what a run says."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def note(self, text: str) -> None:
        self.lines.append(text)

    def warn(self, text: str, details: object = ()) -> None:
        self.lines.append(text)


@pytest.mark.slow
def test_msf_on_emodb(data_dir: Path, tmp_path: Path) -> None:
    output = Messages()
    run = sertk.train(
        data_dir / "emodb",
        plugin="msf",
        epochs=8,
        settings=QUICK,
        out=tmp_path / "run",
        callback=output,
    )
    metrics, plan = run.metrics, run.json("split.json")
    assert any("535 of 535 audio files" in line for line in output.lines)
    sides = Counter(clip["side"] for clip in plan["clips"])
    assert sum(sides.values()) == 535 and metrics["clips"] == sides["test"]
    speakers = {s: {c["speaker"] for c in plan["clips"] if c["side"] == s} for s in sides}
    assert {len(names) for names in speakers.values()} <= {1, 2, 6, 7}
    assert sum(len(names) for names in speakers.values()) == 10
    assert metrics["audit"]["clean"] and metrics["audit"]["train-test"]["texts"] == 10
    assert metrics["parameters"]["total"] <= 300_000
    assert metrics["uar"] > 1.5 / 7, "clearly above chance after a few epochs"


@pytest.mark.slow
def test_compact_on_tess_with_two_speakers(data_dir: Path, tmp_path: Path) -> None:
    output = Messages()
    run = sertk.train(
        data_dir / "tess", epochs=1, settings=QUICK, out=tmp_path / "run", callback=output
    )
    metrics, plan = run.metrics, run.json("split.json")
    assert metrics["protocol"]["caveats"][0].startswith("validation is by text")
    texts = {
        side: {c["path"].split("_")[-2] for c in plan["clips"] if c["side"] == side}
        for side in ("train", "validation")
    }
    assert not texts["train"] & texts["validation"]
    assert len({c["speaker"] for c in plan["clips"] if c["side"] == "test"}) == 1
    assert metrics["ci95"]["clusters"] == "clip"


@pytest.mark.slow
def test_several_corpora_leave_one_out(data_dir: Path, tmp_path: Path) -> None:
    folders = [data_dir / name for name in ("ravdess", "cremad", "tess")]
    output = Messages()
    run = sertk.crossval(
        folders,
        protocol="cross-corpus",
        epochs=1,
        mapping={"calm": "neutral"},
        emotions=("anger", "disgust", "fear", "happiness", "neutral", "sadness"),
        settings=QUICK,
        workers=1,
        out=tmp_path / "run",
        callback=output,
    )
    assert sorted(fold["clips"] for fold in run.metrics["folds"]) == [7, 17, 288]
    assert any("duplicate" in line for line in output.lines)


def test_features_of_a_corpus_as_a_table(data_dir: Path, tmp_path: Path) -> None:
    summary = sertk.extract("msf", data=data_dir / "ravdess", out=tmp_path / "x.csv")
    lines = (tmp_path / "x.csv").read_text().splitlines()
    assert summary["missing"] == 0 and summary["clips"] == len(lines) - 1 == 19
    assert lines[0].startswith("file,emotion,speaker,msf_a01_m1_mean")
    assert len(lines[0].split(",")) == 3 + 2 * (95 + 20 + 1 + 1)
