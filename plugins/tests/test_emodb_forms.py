"""EMO-DB in another form gives the clips, the split and the metrics that its own reader gives."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk

pytestmark = [
    # audformat writes with arguments that pandas 3 deprecates; what it reads is quiet of itself.
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    # Keras 3 reads its variables in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
QUICK = (
    "extractor=log_mel",
    "training.copies=0",
    "training.ema_momentum=0",
    "training.warmup_epochs=0",
)
SAME = ("uar", "wa", "loss", "per_class", "per_speaker", "confusion", "temperature")
Clips = tuple[sertk.Clip, ...]


def database(clips: Clips, root: Path) -> None:
    import audformat

    made = audformat.Database("emodb")
    made["files"] = audformat.Table(audformat.filewise_index([clip.relative for clip in clips]))
    for name in ("emotion", "speaker"):
        values = [getattr(clip, name) for clip in clips]
        made.schemes[name] = audformat.Scheme(labels=sorted(set(values)))
        made["files"][name] = audformat.Column(scheme_id=name)
        made["files"][name].set(values)
    made.save(str(root))


def audio_folder(clips: Clips, root: Path) -> None:
    rows = [f"{clip.relative},{clip.emotion},{clip.speaker}" for clip in clips]
    (root / "metadata.csv").write_text("\n".join(["file_name,emotion,speaker", *rows]), "utf-8")


FORMS = {"audformat": database, "datasets": audio_folder}


@pytest.fixture(scope="module")
def clips(data_dir: Path) -> Clips:
    """Return the clips of EMO-DB by its own reader."""
    return sertk.load_plugins().get("reader", "emodb").read(data_dir / "emodb").clips


@pytest.fixture(scope="module", params=FORMS)
def form(
    request: pytest.FixtureRequest,
    data_dir: Path,
    clips: Clips,
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[str, Path]:
    """Return the name of a reader, and EMO-DB as it reads it."""
    root = tmp_path_factory.mktemp(request.param) / "emodb"
    shutil.copytree(data_dir / "emodb/wav", root / "wav")
    FORMS[request.param](clips, root)
    return request.param, root


def train(root: Path, reader: str, out: Path) -> Path:
    sertk.train(root, reader=reader, epochs=2, workers=1, settings=QUICK, out=out)
    return out


def read(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text("utf-8"))


@pytest.fixture(scope="module")
def own_run(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train on EMO-DB by its own reader, shortly."""
    return train(data_dir / "emodb", "emodb", tmp_path_factory.mktemp("emodb") / "run")


def test_the_clips_are_the_same(clips: Clips, form: tuple[str, Path]) -> None:
    reader, root = form
    found = sertk.load_plugins().get("reader", reader).read(root).clips
    assert {(c.relative, c.emotion, c.speaker) for c in found} == {
        (c.relative, c.emotion, c.speaker) for c in clips
    }


@pytest.mark.slow
def test_a_training_gives_the_same(form: tuple[str, Path], own_run: Path, tmp_path: Path) -> None:
    reader, root = form
    run = train(root, reader, tmp_path / "run")
    plan, metrics = read(run, "split.json"), read(run, "metrics.json")
    assert [used["reader"] for used in metrics["data"]] == [reader]
    assert len(plan["clips"]) == 535 == sum(metrics["sides"].values())
    assert len({clip["speaker"] for clip in plan["clips"]}) == 10
    assert plan == read(own_run, "split.json")
    expected = read(own_run, "metrics.json")
    assert {key: metrics[key] for key in SAME} == {key: expected[key] for key in SAME}
    tables = [(out / "predictions.csv").read_text("utf-8") for out in (run, own_run)]
    assert tables[0] == tables[1] and len(tables[0].splitlines()) == metrics["clips"] + 1
    assert 1.5 / 7 < metrics["uar"] <= 1, "clearly above chance"
