"""The daily tasks in docs/how-to.md, from top to bottom, as they stand but for one epoch."""

from __future__ import annotations

import csv
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from ser_toolkit.builtin.synthetic import SyntheticReader

PAGE = Path(__file__).parents[2] / "docs/how-to.md"
QUICK = "--epochs 1 --set training.copies=0 --set model.channels=16"
TRAINS = r"^(sertk (?:train|crossval) .*)$"
SUBSETS = ("train", "train", "validation", "test")


def blocks(language: str, before: str = "") -> list[str]:
    pattern = rf"{before}^```{language}\n(.*?)^```$"
    return re.findall(pattern, PAGE.read_text("utf-8"), re.M | re.S)


def write_corpus(root: Path, speakers: int, first: int, made: Path) -> list[tuple[str, ...]]:
    """Write `EMOTION/SPEAKER/file.wav` with speakers from the `first` on; return table rows."""
    clips = SyntheticReader(speakers=first + speakers, sentences=2).read(made).clips
    names = sorted({str(clip.speaker) for clip in clips})[first:]
    rows = []
    for clip in (one for one in clips if one.speaker in names):
        target = root / clip.emotion / str(clip.speaker) / clip.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, target)
        subset = SUBSETS[names.index(str(clip.speaker)) % len(SUBSETS)]
        rows.append((str(target.relative_to(root.parent)), clip.emotion, clip.speaker, subset))
    return rows


def write_table(path: Path, *rows: tuple[str, ...]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Two corpora, a table with a split, a recording, a table with genders."""
    rows = write_corpus(tmp_path / "path/to/corpus", 4, 0, tmp_path / "made")
    write_corpus(tmp_path / "path/to/other", 2, 4, tmp_path / "made")
    write_table(tmp_path / "path/to/clips.csv", ("file", "emotion", "speaker", "split"), *rows)
    shutil.copy(tmp_path / "path/to" / rows[0][0], tmp_path / "some.wav")
    speakers = sorted({f"corpus/{row[2]}" for row in rows})
    genders = [(name, "fm"[place % 2]) for place, name in enumerate(speakers)]
    write_table(tmp_path / "speakers.csv", ("speaker", "gender"), *genders)
    return tmp_path


def run(words: list[str], place: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    env = {**os.environ, "PATH": path, "HOME": str(place / "home")}
    done = subprocess.run(words, cwd=place, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_every_task_can_be_done(place: Path) -> None:
    python = [sys.executable, "-W", "error::FutureWarning", "-c"]
    needing_runs = blocks("python", before="<!-- slow -->\n")
    run([*python, "\n".join(code for code in blocks("python") if code not in needing_runs)], place)
    commands = "set -e\n" + "".join(blocks("bash"))
    run(["bash", "-c", re.sub(TRAINS, rf"\1 {QUICK}", commands, flags=re.M)], place)
    run([*python, "\n".join(needing_runs)], place)
