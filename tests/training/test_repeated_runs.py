"""Runs that are repeated, resumed, or lose one of their outputs."""

from __future__ import annotations

import csv
import json
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit.cli import run as cli
from ser_toolkit.training.run_dir import open_folder

OPTIONS: dict[str, Any] = {
    "recipe": sertk.Recipe(
        extractor=[sertk.Rms()],
        model=sertk.Tcn(channels=4, dilations=(1,)),
        window=sertk.Window(60, 60),
        training=sertk.Training(epochs=2, copies=0),
    ),
    "emotions": ["anger", "neutral"],
    "mapping": {"sadness": "neutral"},
    "seed": 5,
    "workers": 1,
    "callback": None,
}


class StopError(Exception):
    """What ends a run as a crash would."""


class Stop(sertk.Callback):
    def epoch(self, row: Any, epochs: int) -> None:
        raise StopError


class Recorder(sertk.Callback):
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warn(self, text: str, details: Any = ()) -> None:
        self.warnings.append(text)


@pytest.fixture(scope="module")
def whole(small_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("whole")
    return sertk.train(small_corpus, **OPTIONS, out=root / "run").path


@pytest.fixture(scope="module")
def crashed(small_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("crashed") / "stopped"
    with pytest.raises(StopError):
        sertk.train(small_corpus, **{**OPTIONS, "callback": Stop()}, out=out)
    return out


@pytest.fixture
def stopped(crashed: Path, tmp_path: Path) -> Path:
    """A copy of the same run, ended after its first epoch."""
    return Path(shutil.copytree(crashed, tmp_path / "stopped"))


def same(one: Path, other: Path, name: str = "predictions.csv") -> bool:
    return (one / name).read_bytes() == (other / name).read_bytes()


def metrics(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "metrics.json").read_text())
    return found


def test_metrics_name_the_corpora_and_what_was_renamed(whole: Path) -> None:
    found = metrics(whole)
    assert (found["corpora"], found["mapping"]) == (["voices"], {"sadness": "neutral"})


@pytest.mark.slow
def test_a_run_is_repeated(
    whole: Path, small_corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli(["train", str(whole / "run.toml"), "--out", str(tmp_path / "again")]) == 0
    assert same(whole, tmp_path / "again")
    assert "Warning" not in capsys.readouterr().err
    corpus = Path(shutil.copytree(small_corpus, tmp_path / "voices"))
    for path in sorted(corpus.glob("spk01/*anger*"))[:1]:
        rows = list(csv.reader((corpus / "clips.csv").read_text().splitlines()))
        kept = [row for row in rows if row[0] != path.relative_to(corpus).as_posix()]
        with (corpus / "clips.csv").open("w", newline="") as file:
            csv.writer(file).writerows(kept)
    recorder = Recorder()
    options: dict[str, Any] = {"epochs": 1, "callback": recorder, "out": tmp_path / "other"}
    other = sertk.train(corpus, recipe=whole / "run.toml", **options)
    assert recorder.warnings == ["clips that differ from those of 'run': 1"]
    assert other.metrics["epochs"] == 1 and other.metrics["seed"] == 5
    assert other.labels == ("anger", "neutral")


def test_resume_ends_as_if_nothing_had_been(whole: Path, stopped: Path) -> None:
    with pytest.raises(sertk.SertkError, match=f"Run `sertk resume {stopped}`"):
        sertk.load(stopped)
    content = (stopped / "run.toml").read_text()
    (stopped / "run.toml").write_text(content.replace('numpy = "', 'numpy = "0.'))
    recorder = Recorder()
    sertk.resume(stopped, callback=recorder)
    assert same(whole, stopped) and len(metrics(stopped)) == len(metrics(whole))
    (line,) = recorder.warnings
    assert "versions have changed since 'stopped': numpy 0." in line and "\n" not in line
    assert str(stopped.parent) not in (stopped / "log.txt").read_text()


def test_resume_at_the_command_line(
    whole: Path, stopped: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = stopped / "recipe.toml"
    good = recipe.read_text()
    recipe.write_text(good.replace("version = 1", "version = 9"))
    assert cli(["resume", str(stopped)]) == 1
    assert "version 9 expected, version 1 installed" in capsys.readouterr().err
    recipe.write_text(good)
    assert cli(["resume", str(stopped)]) == 0
    assert same(whole, stopped)
    assert "UAR" in capsys.readouterr().out
    for folder in (stopped, whole):
        assert cli(["resume", str(folder)]) == 0
        assert "is finished; nothing is left to do" in capsys.readouterr().out
    for folder in (tmp_path, tmp_path / "nowhere"):
        assert cli(["resume", str(folder)]) == 1
    errors = capsys.readouterr().err
    assert "has no run.toml" in errors and "there is no run directory" in errors


@pytest.mark.slow
def test_a_cross_validation_is_resumed(small_corpus: Path, tmp_path: Path) -> None:
    run = sertk.crossval(small_corpus, **OPTIONS, protocol="kfold:2", out=tmp_path / "run")
    assert not (run.path / "fold-01" / "run.toml").exists()
    before = (run.path / "predictions.csv").read_bytes()
    for name in ("metrics.json", "predictions.csv", "fold-02/metrics.json"):
        (run.path / name).unlink()
    assert sertk.resume(run.path, callback=None).metrics["folds"][1]["clips"] > 0
    assert (run.path / "predictions.csv").read_bytes() == before
    with pytest.raises(sertk.SertkError, match="kfold:9 needs 9 speakers, received 4"):
        sertk.crossval(recipe=run.path / "run.toml", protocol="kfold:9", callback=None)


def test_a_picture_that_cannot_be_written_takes_nothing_along(
    whole: Path, stopped: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (stopped / "plots").touch()
    assert cli(["resume", str(stopped)]) == 1
    shown = capsys.readouterr()
    assert "macro-F1" in shown.out and "Confusion" in shown.out
    (line,) = [line for line in shown.err.splitlines() if line.startswith("Error: ")]
    assert "plots" in line and f"The rest is in {stopped}" in line
    assert same(whole, stopped) and sertk.Run(stopped).finished
    assert sertk.load(stopped).labels == ("anger", "neutral")


def test_a_table_that_cannot_be_written_leaves_the_run_to_be_resumed(
    whole: Path, stopped: Path
) -> None:
    (stopped / "predictions.csv").mkdir()
    with pytest.raises(sertk.OutputError, match=r"predictions\.csv: ") as failed:
        sertk.resume(stopped, callback=None)
    assert failed.value.metrics["uar"] == metrics(whole)["uar"]
    assert (stopped / "model.keras").exists() and not (stopped / "metrics.json").exists()
    (stopped / "predictions.csv").rmdir()
    sertk.resume(stopped, callback=None)
    assert same(whole, stopped) and same(whole, stopped, "recipe.toml")
    assert len((stopped / "log.txt").read_text().splitlines()) < 40


def test_runs_that_start_at_once_have_folders_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with ThreadPoolExecutor(9) as pool:
        made = list(pool.map(lambda _: open_folder(None, "x", False), range(9)))
    assert len(set(made)) == 9 and all(path.is_dir() for path in made)
