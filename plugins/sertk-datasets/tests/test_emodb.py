"""EMO-DB as an audio folder: the clips, the split and the figures that its own reader gives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit import load_plugins
from ser_toolkit.cli import run
from sertk_datasets import DatasetsReader

QUICK = (
    "extractor=log_mel",
    "training.copies=0",
    "training.ema_momentum=0",
    "training.warmup_epochs=0",
)


@pytest.fixture(scope="module")
def audio_folder(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder, root = tmp_path_factory.mktemp("made") / "emodb", data_dir / "emodb"
    clips = load_plugins().reader("emodb").read(root).clips
    lines = [
        "file_name,emotion,speaker",
        *(f"{clip.relative},{clip.emotion},{clip.speaker}" for clip in clips),
    ]
    for clip in clips:
        (folder / clip.relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / clip.relative).write_bytes(clip.path.read_bytes())
    (folder / "metadata.csv").write_text("\n".join(lines), "utf-8")
    return folder


def test_the_clips_are_those_of_emodb(data_dir: Path, audio_folder: Path) -> None:
    clips = load_plugins().reader("emodb").read(data_dir / "emodb").clips
    found = DatasetsReader().read(audio_folder).clips
    assert {(c.relative, c.emotion, c.speaker) for c in found} == {
        (c.relative, c.emotion, c.speaker) for c in clips
    }


def train(root: Path, reader: str, out: Path) -> Path:
    where = ["--data", str(root), "--reader", reader, "--out", str(out), "--workers", "1"]
    settings = [f"--set={setting}" for setting in QUICK]
    assert run(["train", *where, "--epochs", "2", *settings]) == 0
    return out


def read(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text("utf-8"))


# Keras 3 reads its variables in a way that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.slow
def test_a_training_gives_the_split_and_the_figures_of_emodb(
    data_dir: Path, audio_folder: Path, tmp_path: Path
) -> None:
    mine = train(audio_folder, "datasets", tmp_path / "mine")
    theirs = train(data_dir / "emodb", "emodb", tmp_path / "theirs")
    plan, figures = read(mine, "split.json"), read(mine, "metrics.json")
    assert [used["reader"] for used in figures["data"]] == ["datasets"]
    assert len(plan["clips"]) == 535 == sum(figures["sides"].values())
    assert len({clip["speaker"] for clip in plan["clips"]}) == 10
    assert plan == read(theirs, "split.json")
    same = ("uar", "wa", "loss", "per_class", "per_speaker", "confusion", "temperature")
    assert {key: figures[key] for key in same} == {
        key: read(theirs, "metrics.json")[key] for key in same
    }
    heard = [(out / "predictions.csv").read_text("utf-8") for out in (mine, theirs)]
    assert heard[0] == heard[1] and len(heard[0].splitlines()) == figures["clips"] + 1
    assert 1.5 / 7 < figures["uar"] <= 1, "clearly above chance"
