"""run.toml: what it holds, and how it is read back."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.training.command_line import command_line, setting_lines
from ser_toolkit.training.options import TrainOptions
from ser_toolkit.training.run_file import (
    components_of,
    is_run_file,
    read_run_file,
    write_run_file,
)


def written(folder: Path, options: TrainOptions, components: Any = ()) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    write_run_file(folder, "train", options, {"fold": 2}, ["c"], components)
    return folder / "run.toml"


def test_the_options_come_back_as_they_were(tmp_path: Path) -> None:
    options = TrainOptions(
        ["synthetic"],
        reader="synthetic",
        protocol="kfold:3",
        emotions=("anger", "fear"),
        mapping={"calm": "neutral"},
        seed=7,
        workers=2,
        out=tmp_path,
    )
    path = written(tmp_path, options)
    assert is_run_file(path) and not is_run_file(tmp_path) and not is_run_file("compact")
    arguments = read_run_file(path).arguments({"out": "new", "seed": 8})
    assert arguments.pop("fold") == 2
    assert arguments.pop("recipe") == str(tmp_path / "recipe.toml")
    again = TrainOptions(**{**arguments, "emotions": tuple(arguments["emotions"])})
    assert again == replace(options, out="new", seed=8)


def test_paths_of_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here" / "runs" / "inside").mkdir(parents=True)
    (tmp_path / "data=x").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    given = ["../data=x", str(tmp_path), "NAME=../data=x", "runs/inside", "synthetic"]
    path = written(Path("runs"), TrainOptions(given))
    text = path.read_text()
    for stored in ('"../../data=x"', f'"{tmp_path}"', '"NAME=../../data=x"', '"./inside"'):
        assert f"    {stored},\n" in text
    assert read_run_file(path).arguments({})["data"] == given
    monkeypatch.chdir(tmp_path)
    found = read_run_file(Path("here/runs")).arguments({})["data"]
    assert found[0] == "data=x" and found[3:] == ["here/runs/inside", "synthetic"]
    (tmp_path / "data=x").rmdir()
    with pytest.raises(sertk.SertkError, match=r"are not at 'data=x' any more\. Add --data"):
        read_run_file(Path("here/runs")).arguments({})
    assert read_run_file(Path("here/runs")).arguments({"data": "d"})["data"] == "d"


def test_the_command_is_one_that_can_be_typed(tmp_path: Path) -> None:
    from ser_toolkit.cli.train import train

    options = TrainOptions(
        "my data",
        recipe="compact",
        emotions=("anger", "fear"),
        mapping={"calm": "neutral"},
        settings={"training.copies": 0, "extractor": "rms", "training.optimizer": "adam"},
        epochs=3,
        out=Path("my runs/a"),
    )
    line = command_line("train", options, {"fold": 2}, tmp_path)
    words = shlex.split(line)
    assert words[:2] == ["sertk", "train"] and "'my data'" in line
    typed = train.make_context("train", words[2:]).params
    assert typed["data"] == ("my data",) and typed["emotions"] == "anger,fear"
    assert typed["settings"] == (
        "training.copies=0",
        "extractor=rms",
        "training.optimizer=adam",
    )
    assert (typed["epochs"], typed["fold"], typed["out"]) == (3, 2, Path("my runs/a"))
    assert typed["mapping"] == ("calm=neutral",) and typed["recipe"] == "compact"


def test_what_cannot_be_typed_is_in_the_recipe_beside_it(tmp_path: Path) -> None:
    settings = {"extractor": sertk.Rms(), "training.copies": 0}
    assert setting_lines(settings) is None
    line = command_line("train", TrainOptions("d", settings=settings, epochs=2), {}, tmp_path)
    assert line == f"sertk train {tmp_path}/recipe.toml --data d --protocol holdout"


def test_components_and_versions(tmp_path: Path) -> None:
    plugins = load_plugins()
    deltas = sertk.Deltas(of=sertk.Mfcc(n_mfcc=5))
    recipe = sertk.Recipe(extractor=[deltas, sertk.Rms()], model="tcn", augmenter=["gain"])
    rows = components_of(assemble(recipe, plugins).recipe, ["table", "table"], plugins)
    names = [(row["kind"], row["name"]) for row in rows]
    assert names == [
        ("reader", "table"),
        *(("extractor", name) for name in ("deltas", "mfcc", "rms")),
        ("augmenter", "gain"),
        ("model", "tcn"),
    ]
    assert {row["distribution"] for row in rows} == {"ser-toolkit"}
    path = written(tmp_path, TrainOptions("synthetic"), rows)
    assert read_run_file(path).changes(rows) == []
    old = path.read_text().replace(f'ser-toolkit = "{sertk.__version__}"', 'ser-toolkit = "0.0.9"')
    path.write_text(old)
    newer = [{**rows[0], "distribution_version": "9"}, *rows[1:]]
    assert read_run_file(path).changes(newer) == [
        f"ser-toolkit 0.0.9 (now {sertk.__version__})",
        f"reader 'table' version 1 of ser-toolkit {sertk.__version__} "
        "(now version 1 of ser-toolkit 9)",
    ]


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    path = written(tmp_path, TrainOptions("synthetic"))
    good = path.read_text()
    for text, part in (
        (good.replace("format = 1", "format = 2"), "expects format 1 here, received 2"),
        (good.replace('run = "train"', 'run = "x"'), "is damaged"),
        (
            good.replace("seed = 0", 'seed = "0"'),
            "'options.seed' expects a whole number, received '0'",
        ),
        (good.replace("seed = 0", "sed = 0"), "'options' has no parameter 'sed'"),
        (good.replace("[options]", "[option]"), "is damaged ('options')"),
        (good[:60], "is damaged"),
    ):
        path.write_text(text)
        with pytest.raises(sertk.SertkError) as refused:
            read_run_file(path)
        assert part in str(refused.value)
    path.write_text(good)
    with pytest.raises(sertk.SertkError, match="Type sertk train"):
        read_run_file(path, "crossval")
    (tmp_path / "fold-01").mkdir()
    with pytest.raises(sertk.SertkError, match="is a fold of a cross-validation"):
        read_run_file(tmp_path / "fold-01")
