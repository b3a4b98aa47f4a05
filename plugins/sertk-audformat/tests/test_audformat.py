"""Databases that audformat itself writes, read again as clips."""

from __future__ import annotations

from pathlib import Path

import audformat
import pytest

from ser_toolkit import SertkError
from sertk_audformat import AudformatReader

# audformat writes with arguments that pandas 3 deprecates; what it reads is quiet of itself.
pytestmark = pytest.mark.filterwarnings("ignore:The inplace keyword")
READER = AudformatReader()
FILES = ["wav/1.wav", "wav/2.wav", "wav/3.wav"]


def database() -> audformat.Database:
    made = audformat.Database("mini", license="CC0-1.0", usage="research")
    made.splits["train"] = audformat.Split("train")
    made.splits["dev"] = audformat.Split("dev")
    made.schemes["emotion"] = audformat.Scheme(labels=["anger", "happy", "sadness"])
    made.schemes["speaker"] = audformat.Scheme(labels=["a", "b"])
    made.schemes["transcription"] = audformat.Scheme("str")
    made["files"] = audformat.Table(audformat.filewise_index(FILES))
    for name, values in {"speaker": ["a", "b", "b"], "transcription": ["x", "y", "z"]}.items():
        made["files"][name] = audformat.Column(scheme_id=name)
        made["files"][name].set(values)
    return made


def with_emotions(
    made: audformat.Database,
    values: list[str | None],
    index=None,
    table: str = "emotion",
    column: str = "emotion",
    split: str | None = None,
) -> None:
    index = audformat.filewise_index(FILES[: len(values)]) if index is None else index
    made[table] = audformat.Table(index, split_id=split)
    made[table][column] = audformat.Column(scheme_id="emotion")
    made[table][column].set(values)


def saved(made: audformat.Database, root: Path, storage: str = "csv", files=FILES) -> Path:
    made.save(str(root), storage_format=storage)
    (root / "wav").mkdir(exist_ok=True)
    for file in files:
        (root / file).write_bytes(b"RIFF")
    return root


@pytest.mark.parametrize("storage", ["csv", "parquet"])
def test_files_with_emotion_speaker_and_text(tmp_path: Path, storage: str) -> None:
    made = database()
    with_emotions(made, ["anger", "happy", "sadness"])
    reading = READER.read(saved(made, tmp_path, storage))
    found = [(c.relative, c.emotion, c.speaker, c.text, c.side) for c in reading.clips]
    assert found == [
        ("wav/1.wav", "anger", "a", "x", None),
        ("wav/2.wav", "happiness", "b", "y", None),
        ("wav/3.wav", "sadness", "b", "z", None),
    ]
    assert all(c.corpus == "mini" for c in reading.clips)
    assert all((c.start_s, c.end_s) == (0.0, None) for c in reading.clips)
    assert reading.notes == ("the database says: licence CC0-1.0, usage research",)
    match = READER.recognises(tmp_path)
    assert match is not None and match.score == 1.0


def test_segments_and_splits(tmp_path: Path) -> None:
    made = database()
    index = audformat.segmented_index(
        ["wav/2.wav", "wav/1.wav", "wav/1.wav"], [0, 0.5, 2], [1, 2, 3]
    )
    with_emotions(made, ["anger", "happy", "anger"], index, split="train")
    with_emotions(made, ["sadness"], audformat.filewise_index(FILES[2:]), "later", split="dev")
    clips = READER.read(saved(made, tmp_path)).clips
    assert [(c.relative, c.start_s, c.end_s, c.speaker, c.side) for c in clips] == [
        ("wav/1.wav", 0.5, 2.0, "a", "train"),
        ("wav/1.wav", 2.0, 3.0, "a", "train"),
        ("wav/2.wav", 0.0, 1.0, "b", "train"),
        ("wav/3.wav", 0.0, None, "b", "validation"),
    ]


def test_a_scheme_gives_the_meaning_where_no_column_has_the_name(tmp_path: Path) -> None:
    made = database()
    with_emotions(made, ["anger", "happy"], column="gold")
    assert [c.emotion for c in READER.read(saved(made, tmp_path)).clips] == ["anger", "happiness"]


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    made = database()
    with_emotions(made, ["anger", None, "happy"])
    with_emotions(made, ["sadness"], table="other")
    with pytest.raises(SertkError, match="no usable clip"):
        READER.read(saved(made, tmp_path, files=FILES[:2]))
    (tmp_path / FILES[2]).write_bytes(b"RIFF")
    reading = READER.read(tmp_path)
    assert [c.relative for c in reading.clips] == ["wav/3.wav"]
    assert reading.skipped == {"wav/1.wav": "two values: anger and sadness"}


def test_no_emotion_at_all_says_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(SertkError, match="speaker, transcription"):
        READER.read(saved(database(), tmp_path))


def test_pickles_and_tags_are_never_obeyed(tmp_path: Path) -> None:
    made = database()
    with_emotions(made, ["anger", "happy"])
    root = saved(made, tmp_path)
    (root / "db.emotion.pkl").write_bytes(b"")
    with pytest.raises(SertkError, match="pickle"):
        READER.read(root)
    (root / "db.emotion.pkl").unlink()
    header = root / "db.yaml"
    text = header.read_text("utf-8")
    header.write_text(f"{text}\nmeta: !!python/object/apply:os.mkdir ['{root}/made']\n", "utf-8")
    with pytest.raises(SertkError, match="cannot be read"):
        READER.read(root)
    assert not (root / "made").exists()


def test_a_broken_header_is_a_line_for_the_user(tmp_path: Path) -> None:
    for text in ("", "- 1", "name: [", "name: x"):
        (tmp_path / "db.yaml").write_text(text, "utf-8")
        with pytest.raises(SertkError) as caught:
            READER.read(tmp_path)
        assert "\n" not in str(caught.value), text


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    assert READER.recognises(tmp_path / "none") is None
    with pytest.raises(SertkError, match=r"no db\.yaml"):
        READER.read(tmp_path)


def test_columns_that_are_not_used_are_listed(tmp_path: Path) -> None:
    made = database()
    with_emotions(made, ["anger", "happy", "sadness"])
    made["files"]["age"] = audformat.Column()
    made["files"]["age"].set([30, 40, 50])
    assert READER.read(saved(made, tmp_path)).ignored == ("age",)
