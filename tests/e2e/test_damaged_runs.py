"""Run directories that are none, that are damaged, or that are resumed with other options."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest

Result = CompletedProcess[str]
Sertk = Callable[..., Result]
Refused = Callable[..., None]

PARTS = ("recipe.toml", "adapter.npz", "split.json", "model.keras")
COMMANDS = ("predict", "evaluate")


def head(path: Path, share: float) -> bytes:
    """The first part of a file, as a crash leaves it."""
    content = path.read_bytes()
    return content[: int(share * len(content))]


def asked(command: str, run: Path, data: Path) -> tuple[object, ...]:
    """Arguments of `command` that are fine but for the run."""
    return (command, run, *((next(data.rglob("*.wav")),) if command == "predict" else ()), *(
        ("--data", data) if command == "evaluate" else ()
    ))  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_no_run_directory(
    command: str, here: Sertk, refused: Refused, good: Path, tmp_path: Path
) -> None:
    missing = here(*asked(command, tmp_path / "missing", good))
    refused(missing, "no run directory", "missing", "Check the path")
    file = here(*asked(command, next(good.rglob("*.wav")), good))
    refused(file, "a bundle (.sertk) expected", "RIFF", "Check the path")
    empty = here(*asked(command, tmp_path, good))
    refused(empty, "is not a finished run: it has no recipe.toml", "--resume")
    (tmp_path / "fold-01").mkdir()
    (tmp_path / "recipe.toml").touch()
    folds = here(*asked(command, tmp_path, good))
    refused(folds, "is a cross-validation", "Give one of its folds", "fold-01")


@pytest.mark.parametrize(
    ("command", "part"), [*(("predict", part) for part in PARTS), ("evaluate", "model.keras")]
)
def test_a_part_that_is_missing(
    command: str, part: str, here: Sertk, refused: Refused, run: Path, good: Path
) -> None:
    (run / part).unlink()
    refused(here(*asked(command, run, good)), f"not a finished run: it has no {part}", "--resume")


@pytest.mark.parametrize(
    ("part", "content"),
    [
        ("recipe.toml", b"name = "),
        ("recipe.toml", b"\xff\xfe\xfd"),
        ("recipe.toml", b""),
        ("adapter.npz", b""),
        ("adapter.npz", b"PK\x03\x04 and nothing more"),
        ("adapter.npz", None),
        ("split.json", b""),
        ("split.json", b"[]"),
        ("split.json", b"{}"),
        ("split.json", None),
    ],
)
def test_a_part_that_is_damaged(
    part: str, content: bytes | None, here: Sertk, refused: Refused, run: Path, good: Path
) -> None:
    (run / part).write_bytes(head(run / part, 0.6) if content is None else content)
    refused(here(*asked("predict", run, good)), part)


@pytest.mark.slow
def test_a_network_that_is_damaged(sertk: Sertk, refused: Refused, run: Path, good: Path) -> None:
    (run / "model.keras").write_bytes(head(run / "model.keras", 0.5))
    result = sertk(*asked("predict", run, good))
    refused(result, "model.keras cannot be loaded", "Train again")


@pytest.mark.slow
def test_evaluating_on_what_the_network_cannot_know(
    sertk: Sertk, refused: Refused, training: tuple[Result, Path], mixed: Path, run: Path
) -> None:
    foreign = sertk("evaluate", run, "--data", mixed, "--emotions", "anger", "--map", "anger=fear")
    refused(foreign, "'anger' is not an emotion of this data")
    mapped = ("--map", "anger=fear,neutral=calm,sadness=boredom")
    foreign = sertk("evaluate", run, "--data", mixed, *mapped)
    refused(foreign, "the model has the labels anger", "the data contains boredom")
    split = json.loads((run / "split.json").read_text())
    for clip in split["clips"]:
        clip["side"] = "train"
    (run / "split.json").write_text(json.dumps(split))
    refused(sertk("evaluate", run, "--data", mixed), "no clip to score: all 59", "Give other data")


@pytest.mark.parametrize(
    ("options", "part"),
    [
        (("--epochs", 7), "was started with another recipe"),
        (("--seed", 1), "was started with other clips or another split"),
        (("--emotions", "anger,neutral"), "was started with other clips or another split"),
        (("--protocol", "random"), "was started with other clips or another split"),
    ],
)
def test_resuming_with_other_options(
    options: tuple[object, ...],
    part: str,
    here: Sertk,
    refused: Refused,
    run: Path,
    tiny: Path,
    mixed: Path,
) -> None:
    before = {path: path.read_bytes() for path in run.rglob("*") if path.name in PARTS}
    result = here("train", tiny, "--data", mixed, "--out", run, "--resume", *options)
    refused(result, part, "Resume with the same", "another --out")
    assert {path: path.read_bytes() for path in before} == before


def test_resuming_a_cross_validation_with_another_recipe(
    here: Sertk, refused: Refused, tiny: Path, mixed: Path, run: Path
) -> None:
    arguments = ("--data", mixed, "--protocol", "kfold:2", "--out", run, "--resume")
    result = here("crossval", tiny, *arguments, "--epochs", 7)
    refused(result, "was started with another recipe", "Resume with the same options")


@pytest.mark.slow
@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"\0" * 500])
def test_resuming_from_a_damaged_checkpoint(
    content: bytes, sertk: Sertk, refused: Refused, tiny: Path, mixed: Path, run: Path
) -> None:
    (run / "metrics.json").unlink()
    (run / "checkpoint.npz").write_bytes(content)
    result = sertk("train", tiny, "--data", mixed, "--out", run, "--resume")
    refused(result, "checkpoint.npz", "Delete", "to start the training again")


@pytest.mark.parametrize("part", ["split.json", "recipe.toml"])
def test_resuming_a_damaged_run(
    part: str, here: Sertk, refused: Refused, tiny: Path, mixed: Path, run: Path
) -> None:
    (run / part).write_bytes(head(run / part, 0.5))
    result = here("train", tiny, "--data", mixed, "--out", run, "--resume")
    refused(result, "run")


@pytest.mark.slow
def test_a_model_that_cannot_be_built(
    sertk: Sertk, refused: Refused, tiny: Path, good: Path, tmp_path: Path
) -> None:
    arguments = ("--data", good, "--set", "model.channels=0", "--workers", 1)
    result = sertk("train", tiny, *arguments, "--out", tmp_path / "run")
    refused(result, "model 'tcn' cannot be built", "filters", "channels")


@pytest.mark.slow
def test_resuming_a_finished_run_trains_nothing_again(
    sertk: Sertk, tiny: Path, mixed: Path, run: Path
) -> None:
    before = {path: path.read_bytes() for path in (run / "model.keras", run / "metrics.json")}
    result = sertk("train", tiny, "--data", mixed, "--out", run, "--resume")
    assert result.returncode == 0 and "nothing is trained again" in result.stdout
    assert {path: path.read_bytes() for path in before} == before
