"""Audio folders and saved datasets on disk, read as clips; no network."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit import Clip, SertkError, TableReader, read_audio
from sertk_datasets import DatasetsReader

READER = DatasetsReader()
ROWS = [
    ("a/1.wav", "anger", "ann", "x"),
    ("a/2.wav", "happy", "ben", "y"),
    ("b/3.wav", "sadness", "ben", "x"),
]
EXPECTED = [
    ("a/1.wav", "anger", "ann", "x", None),
    ("a/2.wav", "happiness", "ben", "y", None),
    ("b/3.wav", "sadness", "ben", "x", None),
]


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Return a cache of its own, and no way out."""

    def refuse(*args: object) -> None:
        raise AssertionError("the network was asked for")

    monkeypatch.setenv("SERTK_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def tone(path: Path, hz: float = 200) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, 0.1 * np.sin(2 * np.pi * hz * np.arange(4000) / 16_000), 16_000)
    return path


def folder(root: Path, kind: str, rows=ROWS) -> Path:
    """Return an audio folder with its metadata."""
    table = [
        dict(zip(("file_name", "emotion", "speaker", "text"), row, strict=True)) for row in rows
    ]
    for index, row in enumerate(rows):
        tone(root / row[0], 100 * (index + 1))
    path = root / f"metadata.{kind}"
    if kind == "jsonl":
        path.write_text("\n".join(map(json.dumps, table)), "utf-8")
    else:
        import pandas as pd

        frame = pd.DataFrame(table)
        frame.to_csv(path, index=False) if kind == "csv" else frame.to_parquet(path)
    return root


def found(root: Path) -> list[tuple[str | None, ...]]:
    return [(c.relative, c.emotion, c.speaker, c.text, c.side) for c in READER.read(root).clips]


@pytest.mark.parametrize("kind", ["csv", "jsonl", "parquet"])
def test_an_audio_folder_with_metadata(tmp_path: Path, kind: str) -> None:
    root = folder(tmp_path / "corpus", kind)
    assert found(root) == EXPECTED
    assert all(c.corpus == "corpus" for c in READER.read(root).clips)
    match = READER.recognises(root)
    assert match is not None and match.score > 0.9


def test_folders_of_splits_and_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        for emotion in ("anger", "sadness"):
            tone(tmp_path / split / emotion / f"{split}.wav")
    assert READER.recognises(tmp_path) is not None
    assert found(tmp_path) == [
        ("test/anger/test.wav", "anger", None, None, "test"),
        ("test/sadness/test.wav", "sadness", None, None, "test"),
        ("train/anger/train.wav", "anger", None, None, "train"),
        ("train/sadness/train.wav", "sadness", None, None, "train"),
    ]


@pytest.mark.parametrize("embedded", [True, False])
def test_what_save_to_disk_wrote(tmp_path: Path, embedded: bool) -> None:
    import datasets

    files = [tone(tmp_path / "in" / row[0], 100 * (n + 1)) for n, row in enumerate(ROWS)]
    values = [
        {"path": file.name, "bytes": file.read_bytes()}
        if embedded
        else {"path": str(file), "bytes": None}
        for file in files
    ]
    # The library would not put audio in without torchcodec; a cast needs none.
    features = datasets.Features(
        {
            "audio": {"bytes": datasets.Value("binary"), "path": datasets.Value("string")},
            "label": datasets.ClassLabel(names=["anger", "happy", "sadness"]),
            "speaker_id": datasets.Value("int64"),
        }
    )
    rows = datasets.Dataset.from_dict(
        {"audio": values, "label": [0, 1, 2], "speaker_id": [7, 8, 8]}, features=features
    ).cast_column("audio", datasets.Audio(decode=False))
    root = tmp_path / "saved"
    datasets.DatasetDict({"train": rows, "validation": rows.select([1])}).save_to_disk(str(root))
    match = READER.recognises(root)
    assert match is not None and match.score == 1.0
    clips = READER.read(root).clips
    train = [clip for clip in clips if clip.side == "train"]
    assert [(c.emotion, c.speaker) for c in train] == [
        ("anger", "7"),
        ("happiness", "8"),
        ("sadness", "8"),
    ]
    assert [c.emotion for c in clips if c.side == "validation"] == ["happiness"]
    for clip, file in zip(train, files, strict=True):
        assert np.array_equal(read_audio(clip.path).samples, read_audio(file).samples)
    if embedded:
        assert train[0].relative == "train/000000.wav"
        assert train[0].path.is_relative_to(tmp_path / "cache")


def test_what_is_left_out_is_named(tmp_path: Path) -> None:
    root = folder(tmp_path / "corpus", "jsonl", [*ROWS, ("b/4.wav", None, "ann", "z")])
    reading = READER.read(root)
    assert len(reading.clips) == 3 and reading.skipped == {"b/4.wav": "no emotion"}


def test_what_does_not_fit_is_a_line_for_the_user(tmp_path: Path) -> None:
    root = folder(tmp_path / "corpus", "csv")
    table = root / "metadata.csv"
    table.write_text(table.read_text("utf-8").replace("emotion", "mood"), "utf-8")
    with pytest.raises(SertkError, match=r"no column emotion or label, it has: .*mood"):
        READER.read(root)
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "dataset_dict.json").write_text("{", "utf-8")
    for name in ("bad", "none"):
        with pytest.raises(SertkError) as caught:
            READER.read(tmp_path / name)
        assert "\n" not in str(caught.value)


def test_an_empty_folder_says_what_was_expected(tmp_path: Path) -> None:
    with pytest.raises(SertkError, match=r"no recording in the dataset .* SPLIT/EMOTION/ folders"):
        READER.read(tmp_path)


def test_other_folders_are_not_recognised(tmp_path: Path) -> None:
    tone(tmp_path / "anger" / "ann" / "1.wav")
    assert READER.recognises(tmp_path) is None
    assert READER.recognises(tmp_path / "none") is None


def test_a_comma_in_a_text_without_quotes_is_refused(tmp_path: Path) -> None:
    """Or what follows it would be the speaker."""
    tone(tmp_path / "a.wav")
    text = "file_name,emotion,transcription,speaker\na.wav,anger,Oh, no,03\n"
    (tmp_path / "metadata.csv").write_text(text, "utf-8")
    with pytest.raises(SertkError, match=r"metadata\.csv line 2: 4 values expected, received 5"):
        READER.read(tmp_path)


def test_a_line_separator_in_a_json_text_ends_no_line(tmp_path: Path) -> None:
    tone(tmp_path / "a.wav")
    text = "one\u2028two\x85three"
    row = {"file_name": "a.wav", "emotion": "anger", "speaker": "03", "text": text}
    line = json.dumps(row, ensure_ascii=False)
    (tmp_path / "metadata.jsonl").write_text(f"\ufeff{line}\n", "utf-8")
    (clip,) = READER.read(tmp_path).clips
    assert (clip.speaker, clip.text) == ("03", text)


HEAD = "file_name,emotion,speaker,start,end,split,age"
PARTS = ["a.wav,anger,ann,0.05,0.15,train,30", "a.wav,happy,ann,0.15,,train,30"]


def parts(root: Path, table: str, name: str = "metadata.csv") -> Path:
    """Return a folder with one recording, and a table."""
    tone(root / "a.wav")
    (root / name).write_text(table, "utf-8")
    return root


def places(clips: Iterable[Clip]) -> list[tuple[object, ...]]:
    return [(c.relative, c.emotion, c.speaker, c.start_s, c.end_s, c.side) for c in clips]


def test_parts_and_splits_are_those_of_a_table(tmp_path: Path) -> None:
    root = parts(tmp_path / "csv", "\n".join([HEAD, *PARTS]))
    reading = READER.read(root)
    assert places(reading.clips) == places(TableReader().read(root / "metadata.csv").clips)
    assert places(reading.clips)[0] == ("a.wav", "anger", "ann", 0.05, 0.15, "train")
    assert reading.ignored == ("age",)
    rows = [dict(zip(HEAD.split(","), row.split(","), strict=True)) for row in PARTS]
    rows = [{**row, "start": float(row["start"]), "end": row["end"] or None} for row in rows]
    lines = parts(tmp_path / "jsonl", "\n".join(map(json.dumps, rows)), "metadata.jsonl")
    assert places(READER.read(lines).clips) == places(reading.clips)


def test_files_elsewhere_have_names_of_their_own(tmp_path: Path) -> None:
    places = [tone(tmp_path / place / "x.wav") for place in ("far/a", "far/b", "corpus/c")]
    rows = [f"{places[0]},anger", "../far/b/x.wav,happy", f"{places[2]},sadness"]
    table = "\n".join(["file_name,emotion", *rows])
    clips = READER.read(parts(tmp_path / "corpus", table)).clips
    assert [clip.relative for clip in clips] == ["000000/x.wav", "000001/x.wav", "c/x.wav"]
    assert all(clip.path.is_file() for clip in clips)


def test_parts_and_splits_that_are_none(tmp_path: Path) -> None:
    for row, problem in (
        ("a.wav,anger,ann,soon,,,", "start in seconds expected, received 'soon'"),
        ("a.wav,anger,ann,2,1,,", "an end after the start expected"),
        ("a.wav,anger,ann,,,tset,", "train, validation or test, received 'tset'"),
    ):
        with pytest.raises(SertkError, match=problem):
            READER.read(parts(tmp_path, f"{HEAD}\n{row}"))


def test_a_table_of_another_kind_is_left_to_the_reader_of_tables(tmp_path: Path) -> None:
    for number, head in enumerate(("file,emotion", "path,emotion", "file_name;emotion")):
        root = parts(tmp_path / str(number), f"{head}\na.wav{head[-8]}anger\n")
        assert READER.recognises(root) is None
        assert TableReader().recognises(root) is not None


def test_a_name_that_is_too_long_is_left_out(tmp_path: Path) -> None:
    root = parts(tmp_path, f"file_name,emotion\na.wav,anger\n{'x' * 460},anger\n")
    reading = READER.read(root)
    assert len(reading.clips) == 1 and dict(reading.skipped) == {"x" * 460: "no such file"}
