"""EMO-DB as an audio folder: the clips, the split and the metrics that its own reader gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ser_toolkit import Clip
from sertk_datasets import DatasetsReader


@pytest.fixture(scope="module")
def audio_folder(emodb_clips: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "emodb"
    lines = [
        "file_name,emotion,speaker",
        *(f"{clip.relative},{clip.emotion},{clip.speaker}" for clip in emodb_clips),
    ]
    for clip in emodb_clips:
        (folder / clip.relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / clip.relative).write_bytes(clip.path.read_bytes())
    (folder / "metadata.csv").write_text("\n".join(lines), "utf-8")
    return folder


def test_the_clips_are_those_of_emodb(emodb_clips: tuple[Clip, ...], audio_folder: Path) -> None:
    found = DatasetsReader().read(audio_folder).clips
    assert {(c.relative, c.emotion, c.speaker) for c in found} == {
        (c.relative, c.emotion, c.speaker) for c in emodb_clips
    }


# Keras 3 reads its variables in a way that numpy 2 deprecates.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.slow
def test_a_training_gives_the_split_and_the_metrics_of_emodb(
    audio_folder: Path, same_training: Callable[[Path, str], None]
) -> None:
    same_training(audio_folder, "datasets")
