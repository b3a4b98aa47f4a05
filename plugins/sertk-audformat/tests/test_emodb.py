"""EMO-DB as a database of audformat: the clips, the split and the metrics that its reader gives."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import audformat
import pytest

from ser_toolkit import Clip
from sertk_audformat import AudformatReader

pytestmark = [
    # audformat writes with arguments that pandas 3 deprecates; what it reads is quiet of itself.
    pytest.mark.filterwarnings("ignore:The inplace keyword"),
    # Keras 3 reads its variables in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def database(
    data_dir: Path, emodb_clips: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("database")
    files = [clip.relative for clip in emodb_clips]
    made = audformat.Database("emodb")
    made["files"] = audformat.Table(audformat.filewise_index(files))
    for name in ("emotion", "speaker"):
        values = [getattr(clip, name) for clip in emodb_clips]
        made.schemes[name] = audformat.Scheme(labels=sorted(set(values)))
        made["files"][name] = audformat.Column(scheme_id=name)
        made["files"][name].set(values)
    made.save(str(folder))
    (folder / "wav").symlink_to(data_dir / "emodb/wav")
    return folder


def test_the_clips_are_those_of_emodb(emodb_clips: tuple[Clip, ...], database: Path) -> None:
    found = AudformatReader().read(database).clips
    assert {(c.relative, c.emotion, c.speaker) for c in found} == {
        (c.relative, c.emotion, c.speaker) for c in emodb_clips
    }


@pytest.mark.slow
def test_a_training_gives_the_split_and_the_metrics_of_emodb(
    database: Path, same_training: Callable[[Path, str], None]
) -> None:
    same_training(database, "audformat")
