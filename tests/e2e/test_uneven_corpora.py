"""Corpora whose metrics mislead: what `sertk train` says of them before the first metric.

Their shapes are those of published corpora, their speech is synthetic.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit.contracts.components import Clip

Result = subprocess.CompletedProcess[str]
Sertk = Callable[..., Result]
EMOTIONS = ("anger", "neutral", "sadness")


@pytest.fixture
def speech(clips: tuple[Clip, ...]) -> dict[str, Iterator[Clip]]:
    """The clips of each emotion, to be taken one by one."""
    return {
        emotion: iter([clip for clip in clips if clip.emotion == emotion]) for emotion in EMOTIONS
    }


def lay_out(
    root: Path, speech: dict[str, Iterator[Clip]], speaker: str, counts: Sequence[int]
) -> None:
    """Write so many clips of each emotion for a speaker."""
    for emotion, count in zip(EMOTIONS, counts, strict=True):
        folder = root / emotion / speaker
        folder.mkdir(parents=True, exist_ok=True)
        for number in range(count):
            shutil.copy(next(speech[emotion]).path, folder / f"{number}.wav")


def caveats_of(result: Result) -> list[str]:
    """Return the caveats that stand before the metrics."""
    assert result.returncode == 0, result.stderr + result.stdout
    lines = result.stdout.splitlines()
    metrics = next(line for line in lines if line.startswith("UAR ") and "95 %" in line)
    return [line for line in lines[: lines.index(metrics)] if line.startswith("! ")]


def metrics_of(run: Path) -> dict[str, Any]:
    return json.loads((run / "metrics.json").read_text("utf-8"))


@pytest.mark.slow
def test_most_speakers_have_one_emotion_only(
    here: Sertk, tiny: Path, speech: dict[str, Iterator[Clip]], tmp_path: Path
) -> None:
    root, run = tmp_path / "talk", tmp_path / "run"
    for number in range(12):
        lay_out(root, speech, f"m{number:02}", [4 * (number % 3 == which) for which in range(3)])
    for number in range(2):
        lay_out(root, speech, f"f{number}", (2, 2, 2))
    caveats = caveats_of(here("train", tiny, "--data", root, "--workers", 1, "--out", run))
    assert any("12 of 14 speakers have one emotion only" in line for line in caveats)
    assert any(line.startswith("! the test clips are few (") for line in caveats)
    found = metrics_of(run)
    assert all(row["recall"] is not None for row in found["per_class"].values())
    assert abs(found["clips"] / 60 - 0.2) <= 0.07


@pytest.mark.slow
def test_corpora_with_speakers_of_very_different_size(
    here: Sertk, tiny: Path, speech: dict[str, Iterator[Clip]], tmp_path: Path
) -> None:
    for number, size in enumerate((5, 3, 2, 1, 1)):
        lay_out(tmp_path / "words", speech, str(number), (size,) * 3)
    for number in range(4):
        lay_out(tmp_path / "other" / "clips", speech, str(number), (2,) * 3)
    data = ("--data", tmp_path / "words", "--data", f"second={tmp_path / 'other' / 'clips'}")
    said = here("train", tiny, *data, "--workers", 1, "--out", tmp_path / "run")
    caveats = caveats_of(said)
    assert any("speaker" in line and "the test clips are few" in line for line in caveats)
    found = metrics_of(tmp_path / "run")
    assert set(found["per_corpus"]) == {"words", "second"}
    assert sum(row["clips"] for row in found["per_corpus"].values()) == found["clips"]
    assert abs(found["clips"] / 60 - 0.2) <= 0.07
    table = said.stdout.partition("Corpora")[2].splitlines()
    for line, (name, row) in zip(table[2:], found["per_corpus"].items(), strict=False):
        assert line.split()[:3] == [name, str(row["clips"]), f"{100 * row['uar']:.1f}"]


@pytest.mark.slow
def test_segments_that_overlap(
    here: Sertk,
    refused: Callable[..., None],
    tiny: Path,
    speech: dict[str, Iterator[Clip]],
    tmp_path: Path,
) -> None:
    """Segments of 2 s every second of two files for each emotion, in turn for each subset."""
    rows = ["file,emotion,speaker,start,end,split"]
    for emotion in EMOTIONS:
        for take in range(2):
            parts = [soundfile.read(next(speech[emotion]).path)[0] for _ in range(8)]
            soundfile.write(tmp_path / f"{emotion}{take}.wav", np.concatenate(parts), 16_000)
            for start in range(9):
                subset = ("train", "test", "validation")[start % 3]
                row = (f"{emotion}{take}.wav", emotion, f"s{start % 3}", start, start + 2, subset)
                rows.append(",".join(map(str, row)))
    (tmp_path / "clips.csv").write_text("\n".join(rows), "utf-8")
    arguments = ("train", tiny, "--data", tmp_path / "clips.csv", "--protocol", "official")
    arguments = (*arguments, "--workers", 1, "--out", tmp_path / "run")
    refused(here(*arguments), "part of 18 test segments is in training segments", "--overlapping")
    caveats = caveats_of(here(*arguments, "--overlapping"))
    assert any("part of 18 test segments is in training segments" in line for line in caveats)
    assert "! the leakage audit is not clean: see `audit` in metrics.json" in caveats
    assert len(metrics_of(tmp_path / "run")["audit"]["train-test"]["overlapping"]) == 18


def test_labels_that_are_no_emotions(
    here: Sertk, refused: Callable[..., None], tiny: Path, few: Callable[..., Path], tmp_path: Path
) -> None:
    codes = dict(zip(EMOTIONS, "012", strict=True))
    root = few(tmp_path / "digits", name=lambda c: f"{codes[c.emotion]}/{c.speaker}/{c.path.name}")
    arguments = ("train", tiny, "--data", root, "--reader", "folders", "--protocol", "kfold:9")
    refused(here(*arguments), "received '0' (8), '1' (8), '2' (8)", "--labels-as-they-are")
    # Refused later, for the protocol.
    mapped = ("--map", "0=anger,1=neutral,2=sadness")
    for asked in (("--labels-as-they-are",), mapped):
        refused(here(*arguments, *asked), "kfold:9 needs 9 speakers")
