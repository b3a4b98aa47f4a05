"""Single bad files in a corpus: counted, named in the log, and the rest goes on."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Result = CompletedProcess[str]
Sertk = Callable[..., Result]
Bad = dict[str, tuple[Callable[[Path], Any], str]]


def warnings(result: Result) -> list[str]:
    return [line for line in result.stderr.splitlines() if line.startswith("Warning: ")]


def test_training_goes_on_without_them(training: tuple[Result, Path], bad: Bad) -> None:
    result, out = training
    assert (result.returncode, "Traceback" in result.stderr) == (0, False), result.stderr
    assert "Error" not in result.stderr
    n_files = 60 + len(bad) + 2
    assert warnings(result) == [
        "Warning: folders: 1 files left out",
        f"Warning: {len(bad)} of {n_files} files are unusable and left out",
        "Warning: 2 duplicate recordings left out, and 1 that carry two emotions",
    ]
    clips = json.loads((out / "split.json").read_text())["clips"]
    assert len(clips) == 59
    assert not {clip["path"].split("/")[-1].split(".")[0] for clip in clips} & {*bad, "contested"}


def test_the_log_has_every_name_and_reason(training: tuple[Result, Path], bad: Bad) -> None:
    log = (training[1] / "log.txt").read_text()
    for kind, (_, reason) in bad.items():
        assert re.search(rf"'anger/spk01/{kind}\.wav'.*{re.escape(reason)}", log), kind
    assert re.search(r"  mixed/neutral/spk02/spk02_.*\.wav = .*/neutral/spk02/twin\.wav\n", log)
    assert re.search(r"  .*/neutral/spk02/spk02_.*\.wav = .*/sadness/spk02/contested\.wav\n", log)
    assert "stray.wav: not in EMOTION/ or EMOTION/SPEAKER/" in log


def test_the_terminal_shows_some_names_and_says_where_the_rest_is(
    training: tuple[Result, Path], bad: Bad
) -> None:
    assert f"  … {len(bad) - 3} more, all in log.txt" in training[0].stderr.splitlines()


@pytest.mark.slow
def test_a_cross_validation_logs_them_before_its_first_fold(
    sertk: Sertk, refused: Callable[..., None], tiny: Path, mixed: Path, bad: Bad, tmp_path: Path
) -> None:
    damaged = tmp_path / "cv" / "fold-01" / "metrics.json"
    damaged.parent.mkdir(parents=True)
    damaged.write_text('{"uar": 0.')
    arguments = ("--protocol", "kfold:2", "--workers", 1, "--out", tmp_path / "cv", "--resume")
    result = sertk("crossval", tiny, "--data", mixed, *arguments)
    refused(result, "metrics.json", "is damaged", "Train again")
    log = (tmp_path / "cv" / "log.txt").read_text()
    assert [kind for kind in bad if f"'anger/spk01/{kind}.wav'" not in log] == []


@pytest.mark.slow
def test_evaluate_names_them_all_because_it_keeps_no_log(
    sertk: Sertk, training: tuple[Result, Path], mixed: Path, bad: Bad
) -> None:
    result = sertk("evaluate", training[1], "--data", mixed, "--json")
    assert result.returncode == 0, result.stderr
    counts = json.loads(result.stdout)["counts"]
    tested = json.loads((training[1] / "metrics.json").read_text("utf-8"))["clips"]
    assert (counts["never_seen"], counts["test_side"]) == (0, tested)
    assert [kind for kind in bad if f"'anger/spk01/{kind}.wav'" not in result.stderr] == []


def test_extract_goes_on_without_them(
    sertk: Sertk, mixed: Path, tiny: Path, bad: Bad, tmp_path: Path
) -> None:
    table = tmp_path / "table.csv"
    result = sertk("extract", "--recipe", tiny, "--data", mixed, "--out", table, "--workers", 1)
    assert (result.returncode, len(table.read_text().splitlines())) == (0, 60), result.stderr
    assert [kind for kind in bad if f"'anger/spk01/{kind}.wav'" not in result.stderr] == []


@pytest.mark.slow
def test_predict_goes_on_without_them_and_exits_with_1(
    sertk: Sertk, training: tuple[Result, Path], mixed: Path, bad: Bad
) -> None:
    here = mixed / "anger" / "spk01"
    fine = sorted(here.glob("spk*.wav"))[:2]
    files = [fine[0], *(here / f"{kind}.wav" for kind in bad), here / "missing.wav", fine[1]]
    result = sertk("predict", training[1], *files)
    assert (result.returncode, "Traceback" in result.stderr) == (1, False)
    assert [line.split(": ")[0] for line in result.stdout.splitlines()] == [str(f) for f in fine]
    errors = [line for line in result.stderr.splitlines() if line.startswith("Error: ")]
    reasons = [*((kind, reason) for kind, (_, reason) in bad.items()), ("missing", "is not there")]
    assert len(errors) == len(reasons)
    for line, (kind, reason) in zip(errors, reasons, strict=True):
        assert line.startswith(f"Error: '{kind}.wav'")
        assert reason in line


def test_an_unknown_emotion_code_is_counted_and_named(
    here: Sertk, few: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    codes = {"anger": "W", "neutral": "N", "sadness": "T"}
    root = few(
        tmp_path / "named",
        name=lambda c: f"{c.speaker[-2:]}a{c.path.stem[-5:-3]}{codes[c.emotion]}a.wav",
    )
    shutil.copy(next(root.iterdir()), root / "03a07Xa.wav")
    result = here("extract", "--recipe", tiny, "--data", root, "--out", tmp_path / "x.csv")
    assert result.returncode == 0, result.stderr
    assert "Warning: emodb: 1 files left out" in result.stderr
    assert "03a07Xa.wav: unknown emotion code 'X'" in result.stderr


def test_an_unreadable_file_is_counted_and_named(
    here: Sertk, few: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    root = few(tmp_path / "data")
    locked = next(root.rglob("*.wav"))
    locked.chmod(0)
    if os.access(locked, os.R_OK):
        pytest.skip("root may read everything")
    result = here("extract", "--recipe", tiny, "--data", root, "--out", tmp_path / "x.csv")
    assert result.returncode == 0, result.stderr
    assert f"'{locked.relative_to(root)}' cannot be opened: Permission denied" in result.stderr


def test_a_damaged_feature_file_is_computed_again(
    here: Sertk, few: Callable[..., Path], tiny: Path, tmp_path: Path
) -> None:
    root, env = few(tmp_path / "data"), {"SERTK_CACHE": str(tmp_path / "cache")}
    arguments = ("extract", "--recipe", tiny, "--data", root, "--workers", 1, "--out")
    assert here(*arguments, tmp_path / "before.csv", env=env).returncode == 0
    harmed = sorted((tmp_path / "cache" / "features").rglob("*.npz"))
    assert len(harmed) == 24
    for number, path in enumerate(harmed):
        content = path.read_bytes()
        middle = len(content) // 2
        path.write_bytes((content[:middle], content[:-9] + b"\0" * 9, b"", b"x" * 99)[number % 4])
    result = here(*arguments, tmp_path / "after.csv", env=env)
    assert result.returncode == 0, result.stderr
    assert (tmp_path / "after.csv").read_bytes() == (tmp_path / "before.csv").read_bytes()
