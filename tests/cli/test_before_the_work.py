"""What can be known before audio is decoded is refused before; what failed early may begin anew."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit.cli import run as cli
from ser_toolkit.cli.show import quoted
from ser_toolkit.training.options import TrainOptions
from ser_toolkit.training.run_dir import check_folder

NOWHERE = Path("/proc/nowhere")


def error_of(arguments: list[object], capsys: pytest.CaptureFixture[str]) -> str:
    assert cli([str(argument) for argument in arguments]) == 1
    captured = capsys.readouterr()
    # No corpus was read: that would be said.
    assert "read as" not in captured.out and "read as" not in captured.err
    (line,) = [one for one in captured.err.splitlines() if one.startswith("Error: ")]
    return line


def test_outputs_that_cannot_be_written(
    small_run: tuple[Any, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, corpus = small_run
    for arguments in (
        ["evaluate", run.path, "--data", corpus, "--out", NOWHERE / "metrics.json"],
        ["quantize", run.path, "--out", NOWHERE / "small.sertk"],
        ["train", "--data", corpus, "--out", NOWHERE / "run"],
        ["crossval", "--data", corpus, "--out", NOWHERE / "run"],
        ["extract", "--data", corpus, "--out", NOWHERE / "x.csv"],
        ["inspect", "x.wav", "--out", NOWHERE / "x.png"],
        ["bench", "x.sertk", "--out", NOWHERE / "x.json"],
    ):
        assert "cannot write into '/proc/nowhere" in error_of(arguments, capsys), arguments
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir("/proc")
        error = error_of(["train", "--data", corpus], capsys)
    assert "cannot write into 'runs'" in error
    arguments = ["evaluate", run.path, "--data", corpus, "--out", tmp_path]
    assert "a file expected" in error_of(arguments, capsys)


def test_a_cache_that_cannot_be_written(
    small_run: tuple[Any, Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run, corpus = small_run
    monkeypatch.setenv("SERTK_CACHE", str(NOWHERE))
    for arguments in (
        ["train", "--data", corpus, "--out", tmp_path / "run"],
        ["crossval", "--data", corpus, "--protocol", "loso", "--out", tmp_path / "run"],
        ["extract", "--data", corpus, "--out", tmp_path / "x.csv"],
        ["quantize", run.path, "--data", corpus, "--out", tmp_path / "small.sertk"],
    ):
        line = error_of(arguments, capsys)
        assert "cannot write into '/proc/nowhere" in line and "Set SERTK_CACHE" in line, arguments
    assert not list(tmp_path.iterdir())


def test_what_names_and_arguments_tell(
    small_run: tuple[Any, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    corpus, nameless = small_run[1], tmp_path / "clips.csv"
    rows = [line.split(",") for line in (corpus / "clips.csv").read_text().splitlines()]
    files = [rows[0][0], *(str(corpus / row[0]) for row in rows[1:])]
    lines = (f"{file},{row[1]}\n" for file, row in zip(files, rows, strict=True))
    nameless.write_text("".join(lines))
    for command, data, options, part in (
        ("train", corpus, "--protocol kfold:50", "kfold:50 needs 50 speakers, received 4"),
        ("crossval", corpus, "--protocol kfold:50", "kfold:50 needs 50 speakers, received 4"),
        ("train", corpus, "--protocol loso --fold 99", "fold expects 1 to 4, received 99"),
        ("train", nameless, "", "48 of 48 clips have no known speaker"),
        ("train", corpus, "--set model.dropout=1.5", "model 'tcn' cannot be built"),
        (
            "crossval",
            corpus,
            "--protocol loso --set model.dropout=1.5",
            "model 'tcn' cannot be built",
        ),
        (
            "train",
            corpus,
            "--set extractor=functionals --set augmenter=",
            "expects one input of frames (T, F)",
        ),
    ):
        out = tmp_path / "out"
        arguments = [command, "--data", data, *options.split(), "--out", out]
        assert cli([str(argument) for argument in arguments]) == 1
        captured = capsys.readouterr()
        assert part in captured.err and not out.exists()
        assert "read as" in captured.out
        assert "Checking audio" not in captured.err and "features" not in captured.err


def test_doctor_tries_the_cache(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SERTK_CACHE", str(NOWHERE))
    assert cli(["doctor"]) == 1
    shown = capsys.readouterr().out
    assert "broken   cache" in shown and "Set SERTK_CACHE" in shown


def test_a_run_that_ended_before_its_first_epoch_may_begin_anew(tmp_path: Path) -> None:
    for name in ("recipe.toml", "split.json", "log.txt"):
        (tmp_path / name).touch()
    check_folder(tmp_path, resume=False)
    assert [path.name for path in tmp_path.iterdir()] == ["log.txt"]
    with pytest.raises(sertk.SertkError, match="is not empty"):
        check_folder(tmp_path, resume=False)
    for name in ("recipe.toml", "split.json", "checkpoint.npz"):
        (tmp_path / name).touch()
    with pytest.raises(sertk.SertkError, match="is not empty"):
        check_folder(tmp_path, resume=False)
    assert (tmp_path / "recipe.toml").exists()


def test_options_of_other_types(small_run: tuple[Any, Path]) -> None:
    assert TrainOptions("x", emotions="anger, sad").emotions == ("anger", "sadness")
    for name, value in (("epochs", "1"), ("seed", 1.5), ("workers", True)):
        with pytest.raises(sertk.SertkError, match=f"{name} expects a whole number, received"):
            TrainOptions("x", **{name: value})
    run = sertk.Run(str(small_run[0].path))
    assert run.metrics["clips"] > 0


def test_a_path_in_the_next_steps_is_quoted() -> None:
    assert quoted(Path("my runs/a")) == "'my runs/a'"
    assert quoted(Path("runs/a")) == "runs/a"
