"""Folders per emotion and tables, on trees as users have them."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from ser_toolkit.builtin.readers import FolderReader, TableReader
from ser_toolkit.contracts.components import Reader, Reading
from ser_toolkit.runtime.errors import SertkError


def touch(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def table(root: Path, text: str, name: str = "data.csv") -> Path:
    root.mkdir(exist_ok=True)
    (root / name).write_bytes(text.encode())
    return root


def fails(reader: Reader, root: Path) -> str:
    with pytest.raises(SertkError) as caught:
        reader.read(root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# A folder per emotion


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    root = tmp_path / "mine"
    return touch(
        root, "Angry/a.wav", "Angry/b.flac", "SAD/Ann/a.WAV", "sad/Bob/a.mp3", "Zeal/a.wav"
    )


def test_folders(folders: Path) -> None:
    reading = FolderReader().read(folders)
    got = [(clip.relative, clip.emotion, clip.speaker) for clip in reading.clips]
    assert got == [
        ("Angry/a.wav", "anger", None),
        ("Angry/b.flac", "anger", None),
        ("SAD/Ann/a.WAV", "sadness", "Ann"),
        ("Zeal/a.wav", "zeal", None),
        ("sad/Bob/a.mp3", "sadness", "Bob"),
    ]
    assert {clip.corpus for clip in reading.clips} == {"mine"}
    assert all(clip.path == folders / clip.relative for clip in reading.clips)
    assert reading.skipped == {}


def test_files_elsewhere_are_skipped_with_the_reason(folders: Path) -> None:
    touch(folders, "stray.wav", "Angry/Ann/day1/a.wav", "Angry/._a.wav", "Angry/readme.txt")
    reading = FolderReader().read(folders)
    assert len(reading.clips) == 5
    assert dict(reading.skipped) == {
        "Angry/Ann/day1/a.wav": "not in EMOTION/ or EMOTION/SPEAKER/",
        "stray.wav": "not in EMOTION/ or EMOTION/SPEAKER/",
    }


def test_folders_are_recognised_by_names_of_emotions(folders: Path) -> None:
    match = FolderReader().recognises(folders)
    assert match is not None
    assert match.score == pytest.approx(0.4)
    assert match.why == "4 of 5 audio files are in folders named after emotions"


def test_what_is_no_folder_per_emotion(tmp_path: Path) -> None:
    for number, names in enumerate(
        (
            (),
            ("a.wav", "b.wav"),
            ("Actor_01/a.wav", "Actor_02/a.wav"),
            ("angry/a.wav", "angry/b.wav"),
            ("angry/a.wav", "anger/b.wav"),
            ("angry/a.wav", "sad/a.wav", "x/a.wav", "x/b.wav", "x/c.wav"),
        )
    ):
        assert FolderReader().recognises(touch(tmp_path / str(number), *names)) is None, names


def test_folders_that_are_none(tmp_path: Path) -> None:
    assert FolderReader().recognises(tmp_path / "no") is None
    assert "is not there" in fails(FolderReader(), tmp_path / "no")
    assert "no audio file in a folder per emotion" in fails(FolderReader(), tmp_path)
    touch(tmp_path, "a.wav", "angry/readme.txt")
    assert "no audio file in a folder per emotion" in fails(FolderReader(), tmp_path)
    assert "is a file, not a folder" in fails(FolderReader(), tmp_path / "a.wav")


# Tables


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return touch(tmp_path / "mine", "wav/a.wav", "wav/b.wav", "wav/c.wav")


def read(root: Path, text: str, name: str = "data.csv") -> Reading:
    return TableReader().read(table(root, text, name))


def test_the_smallest_table(corpus: Path) -> None:
    reading = read(corpus, "file,emotion\nwav/a.wav,angry\nwav/b.wav,Zeal\n")
    a, b = reading.clips
    assert (a.path, a.relative, a.corpus) == (corpus / "wav/a.wav", "wav/a.wav", "mine")
    assert (a.emotion, b.emotion) == ("anger", "zeal")
    assert (a.speaker, a.text, a.start_s, a.end_s, a.side) == (None, None, 0.0, None, None)


def test_every_column(corpus: Path) -> None:
    text = (
        "speaker,file,emotion,start,end,text,split,mood\n"
        'S1,wav/a.wav,sad,0.5,1.25,"well, well",train,x\n'
        "S1,wav/a.wav,happy,2,,oh,Dev,x\n"
        ",wav/b.wav,neutral,,3,,test,x\n"
        "S2,wav/c.wav,neutral,,,,,x\n"
    )
    one, two, three, four = read(corpus, text).clips
    assert (one.speaker, one.start_s, one.end_s, one.text) == ("S1", 0.5, 1.25, "well, well")
    assert (two.emotion, two.start_s, two.end_s, two.side) == ("happiness", 2.0, None, "validation")
    assert (three.speaker, three.end_s, three.text, three.side) == (None, 3.0, None, "test")
    assert (one.side, four.side) == ("train", None)


def test_delimiters_and_line_ends(corpus: Path) -> None:
    rows = ["file,emotion,speaker", "wav/a.wav,sad,S1", "", "wav/b.wav,sad,S2"]
    for mark, newline in itertools.product((",", "\t", ";", "|"), ("\n", "\r\n")):
        text = newline.join(rows).replace(",", mark)
        assert [clip.speaker for clip in read(corpus, text).clips] == ["S1", "S2"], text


def test_names_and_values_are_stripped_and_names_have_aliases(corpus: Path) -> None:
    text = "\ufeff Filename \tLABEL\t  Speaker_ID\n wav/a.wav \tanger \t  ABC\n"
    clip = read(corpus, text, "data.tsv").clips[0]
    assert (clip.relative, clip.emotion, clip.speaker) == ("wav/a.wav", "anger", "ABC")


def test_the_first_alias_wins(corpus: Path) -> None:
    clip = read(corpus, "path,file,label,emotion\nno.wav,wav/a.wav,sad,fear\n").clips[0]
    assert (clip.relative, clip.emotion) == ("wav/a.wav", "fear")


def test_backslashes_are_folders(corpus: Path) -> None:
    assert read(corpus, "file,emotion\nwav\\a.wav,sad\n").clips[0].relative == "wav/a.wav"


def test_absolute_paths_show_no_more_than_needed(corpus: Path, tmp_path: Path) -> None:
    touch(tmp_path, "far/z.wav")
    text = f"file,emotion\n{corpus / 'wav/a.wav'},sad\n{tmp_path / 'far/z.wav'},sad\n"
    assert [clip.relative for clip in read(corpus, text).clips] == ["wav/a.wav", "z.wav"]


def test_audio_in_a_folder_of_its_own(corpus: Path) -> None:
    table(corpus, "file_id\temotion\tspeaker_id\na.wav\tsad\t  S1\n", "data.tsv")
    clip = TableReader(audio_folder="wav").read(corpus).clips[0]
    assert (clip.path, clip.relative) == (corpus / "wav/a.wav", "a.wav")


def test_the_root_may_be_the_table_itself(corpus: Path) -> None:
    table(corpus, "file,emotion\nwav/a.wav,sad\n", "one.csv")
    table(corpus, "file,emotion\nwav/b.wav,sad\n", "two.csv")
    clip = TableReader().read(corpus / "two.csv").clips[0]
    assert (clip.relative, clip.corpus) == ("wav/b.wav", "two")
    match = TableReader().recognises(corpus / "two.csv")
    assert match is not None
    assert match.score == 1


def test_several_tables_are_named(corpus: Path) -> None:
    for name in ("one.csv", "two.TSV"):
        table(corpus, "file,emotion\nwav/a.wav,sad\n", name)
    assert TableReader().recognises(corpus) is None
    assert "holds several tables: one.csv, two.TSV" in fails(TableReader(), corpus)


def test_other_tables_are_in_nobodys_way(corpus: Path) -> None:
    table(corpus, "ActorID,Age,Sex\n1001,51,Male\n", "VideoDemographics.csv")
    assert TableReader().recognises(corpus) is None
    table(corpus, "file,emotion\nwav/a.wav,sad\n", "data.csv")
    (corpus / "binary.csv").write_bytes(b"\xff\xfe\x00")
    (corpus / "._data.csv").write_bytes(b"file,emotion\n")
    match = TableReader().recognises(corpus)
    assert match is not None
    assert match.score < 1
    assert match.why == "data.csv has the columns file and emotion"
    assert len(TableReader().read(corpus).clips) == 1


def test_a_missing_file_is_skipped(corpus: Path) -> None:
    reading = read(corpus, "file,emotion\nwav/a.wav,sad\nwav/no.wav,sad\nwav,sad\n")
    assert len(reading.clips) == 1
    assert dict(reading.skipped) == {
        "wav/no.wav (data.csv line 3)": "no such file",
        "wav (data.csv line 4)": "no such file",
    }


def test_all_files_missing(corpus: Path) -> None:
    table(corpus, "file,emotion\na.wav,sad\nb.wav,sad\n")
    text = fails(TableReader(), corpus)
    assert text.startswith(f"none of the files of data.csv is there: '{corpus / 'a.wav'}' is none")


def test_a_row_twice_counts_once(corpus: Path) -> None:
    reading = read(corpus, "file,emotion\nwav/a.wav,sad\nwav/a.wav,sadness\n")
    assert len(reading.clips) == 1
    assert dict(reading.skipped) == {"wav/a.wav (data.csv line 3)": "same as data.csv line 2"}


HEAD = "file,emotion,speaker,start,end,split"


WRONG = (
    ("", "has no column file and no column emotion, its first line has: nothing"),
    ("\n\n", "has no column file and no column emotion, its first line has: nothing"),
    ("file,feeling\nwav/a.wav,sad\n", "has no column emotion, its first line has: file, feeling"),
    ("emotion;x\nsad;y\n", "data.csv has no column file, its first line has: emotion, x"),
    (f"{HEAD}\n", "data.csv has no rows"),
    (f"{HEAD}\nwav/a.wav,sad,,,,training2\n", "line 2: split expects train, validation or te"),
    (
        f"{HEAD}\n\nwav/a.wav,sad,,soon,,\n",
        "line 3: start in seconds expected, received 'soon'",
    ),
    (f"{HEAD}\nwav/a.wav,sad,,-1,,\n", "line 2: start in seconds expected, received '-1'"),
    (f"{HEAD}\nwav/a.wav,sad,,,nan,\n", "line 2: end in seconds expected, received 'nan'"),
    (f"{HEAD}\nwav/a.wav,sad,,2,1,\n", "line 2: an end after the start expected"),
    (f"{HEAD}\nwav/a.wav,,,,,\n", "data.csv line 2 has no emotion"),
    (f"{HEAD}\n,sad,,,,\n", "data.csv line 2 has no file"),
    (f"{HEAD}\nwav/a.wav,sad\n", "line 2: 6 values expected, received 2"),
    ("file,emotion,text\nwav/a.wav,sad,well, well\n", "line 2: 3 values expected, received 4"),
    ('file,emotion\nwav/a.wav,"sad\nwav/b.wav,sad\n', "line 3: unexpected end of data"),
    (
        "file,emotion\nwav/a.wav,sad\nwav/a.wav,anger\n",
        "line 3: 'wav/a.wav' is anger here and sadness in line 2",
    ),
)


def test_what_is_wrong_is_named_with_its_line(corpus: Path) -> None:
    for text, words in WRONG:
        table(corpus, text)
        assert words in fails(TableReader(), corpus / "data.csv"), text


def test_a_table_that_is_no_text(corpus: Path) -> None:
    (corpus / "data.csv").write_bytes("file,emotion\nä.wav,sad\n".encode("utf-16"))
    assert TableReader().recognises(corpus) is None
    with pytest.raises(SertkError, match=r"data\.csv is not UTF-8 text"):
        TableReader().recognises(corpus / "data.csv")
    assert "data.csv is not UTF-8 text" in fails(TableReader(), corpus / "data.csv")


def test_tables_that_are_none(tmp_path: Path) -> None:
    assert "no table or folder" in fails(TableReader(), tmp_path / "no")
    assert "no CSV or TSV table with columns file and emotion" in fails(TableReader(), tmp_path)
    assert TableReader().recognises(tmp_path / "no") is None
    assert TableReader().recognises(tmp_path) is None


def test_columns_that_are_not_used_are_listed(corpus: Path) -> None:
    reading = read(corpus, "file;Gender;emotion;label;age\nwav/a.wav;m;sad;x;30\n")
    assert reading.ignored == ("Gender", "label", "age")
    assert read(corpus, "file,emotion,sentence\nwav/a.wav,sad,hi\n").clips[0].text == "hi"


def test_the_first_line_of_a_table(corpus: Path) -> None:
    rows = "file;emotion\nwav/a.wav;sad\n"
    assert len(read(corpus, f"\n  \n{rows}").clips) == 1
    for first in ("sep=;", "# clips of mine"):
        table(corpus, f"{first}\n{rows}")
        assert f"its first line has: {first}" in fails(TableReader(), corpus / "data.csv")
        assert (
            f"data.csv has no column file and no column emotion, its first line has: {first}"
            in (fails(TableReader(), corpus))
        )


def test_a_name_that_is_too_long_is_the_name_of_no_file(corpus: Path) -> None:
    reading = read(corpus, f"file,emotion\nwav/a.wav,sad\n{'x' * 460},sad\n")
    assert len(reading.clips) == 1
    assert dict(reading.skipped) == {f"{'x' * 460} (data.csv line 3)": "no such file"}


def test_predictions_are_no_labels(corpus: Path) -> None:
    head = "file,start_s,end_s,label,uncertain,anger,sadness,error"
    table(corpus, f"{head}\nwav/a.wav,,,anger,false,0.9,0.1,\n", "predictions.csv")
    assert TableReader().recognises(corpus) is None
    assert "has predictions of a network" in fails(TableReader(), corpus / "predictions.csv")
    assert len(read(corpus, "file,emotion\nwav/a.wav,sad\n").clips) == 1
    table(corpus, f"{head},emotion\nwav/a.wav,,,anger,false,0.9,0.1,,fear\n", "checked.csv")
    assert TableReader().read(corpus / "checked.csv").clips[0].emotion == "fear"
