"""Corpora as people have them: names, empty cells, splits in folders, several of one name."""

from __future__ import annotations

import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.contracts.components import Utterance
from ser_toolkit.data.corpus import read_corpus
from ser_toolkit.data.split import make_splits
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.utils.progress import Callback

DECOMPOSED = unicodedata.normalize("NFD", "José")


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


def voice(path: Path, seed: int) -> Path:
    """A second of noise, another for each seed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(0, 0.1, 16_000)
    soundfile.write(path, samples, 16_000)
    return path


def table(folder: Path, rows: Sequence[str], seed: int = 0, name: str = "clips.csv") -> Path:
    """A table with file, emotion, speaker, and its audio."""
    for number, row in enumerate(rows):
        voice(folder / row.split(",")[0], 100 * seed + number)
    (folder / name).write_text("\n".join(["file,emotion,speaker", *rows]), "utf-8")
    return folder / name


class Warned(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str, details: Sequence[str] = ()) -> None:
        self.lines += [text, *details]


def read(
    plugins: Plugins, *data: Path, callback: Callback | None = None, reader: str | None = None
) -> tuple[Utterance, ...]:
    return read_corpus(data, plugins, callback or Callback(), reader).utterances


def test_a_name_in_two_unicode_forms_is_one_speaker(plugins: Plugins, tmp_path: Path) -> None:
    rows = ["a.wav,anger,José", f"b.wav,neutral,{DECOMPOSED}", "c.wav,anger,Ann"]
    items = read(plugins, table(tmp_path, rows))
    assert Counter(item.speaker for item in items) == {"clips/José": 2, "clips/Ann": 1}
    folders = tmp_path / "folders"
    voice(folders / "anger" / "José" / "a.wav", 1)
    voice(folders / "neutral" / DECOMPOSED / "a.wav", 2)
    assert {item.speaker for item in read(plugins, folders)} == {"folders/José"}


def test_a_path_in_another_unicode_form_is_found(plugins: Plugins, tmp_path: Path) -> None:
    made = table(tmp_path, [f"{DECOMPOSED}.wav,anger,1", "b.wav,neutral,2"])
    made.write_text(unicodedata.normalize("NFC", made.read_text("utf-8")), "utf-8")
    assert len(read(plugins, made)) == 2


def test_what_programs_write_for_nothing_is_no_emotion(plugins: Plugins, tmp_path: Path) -> None:
    empty = ("nan", "NA", "NULL", "N/A", "None", "<NA>")
    rows = [f"{n}.wav,{word},1" for n, word in enumerate(empty)]
    warned = Warned()
    items = read(
        plugins, table(tmp_path, [*rows, "a.wav,anger,1", "b.wav,neutral,2"]), callback=warned
    )
    assert {item.emotion for item in items} == {"anger", "neutral"}
    assert warned.lines[0] == "table: 6 files left out"
    assert "0.wav: no emotion: 'nan'" in warned.lines


def test_folders_named_after_subsets_are_a_split(plugins: Plugins, tmp_path: Path) -> None:
    for n, emotion in enumerate(("anger", "neutral")):
        for m, name in enumerate(("train", "Validation", "test")):
            voice(tmp_path / emotion / name / "a.wav", 10 * n + m)
    items = read(plugins, tmp_path, reader="folders")
    assert {item.speaker for item in items} == {None}
    assert Counter(item.clip.side for item in items) == {"train": 2, "validation": 2, "test": 2}
    voice(tmp_path / "anger" / "Ann" / "a.wav", 99)
    items = read(plugins, tmp_path, reader="folders")
    assert {item.clip.side for item in items} == {None} and None not in {i.speaker for i in items}


def test_an_official_split_without_speakers_says_so(plugins: Plugins, tmp_path: Path) -> None:
    for n, emotion in enumerate(("anger", "neutral")):
        for m, name in enumerate(("train", "test")):
            for take in range(4):
                voice(tmp_path / emotion / name / f"{take}.wav", 100 * n + 10 * m + take)
    (split,) = make_splits(read(plugins, tmp_path, reader="folders"), "official", 0)
    assert split.caveats[0].startswith("validation is by clip: speakers are unknown")


@pytest.mark.parametrize("named", ["clips.csv", ""])
def test_two_of_one_name_are_two_corpora(plugins: Plugins, tmp_path: Path, named: str) -> None:
    for n, place in enumerate(("here/voices", "there/voices")):
        rows = [f"{s}{e}.wav,{e},{s}" for s in ("03", "08") for e in ("anger", "neutral")]
        table(tmp_path / place, rows, seed=n + 1)
    sources = [tmp_path / place / named for place in ("here/voices", "there/voices")]
    items = read(plugins, *sources)
    stem = "clips" if named else "voices"
    above = ("voices-clips", "voices-clips-2") if named else ("here-voices", "there-voices")
    assert {item.clip.corpus for item in items} == set(above), stem
    assert len({item.speaker for item in items}) == 4
    assert len({item.name for item in items}) == 8
    assert len(make_splits(items, "cross-corpus", 0)) == 2


def test_a_folder_that_is_renamed_is_the_same_corpus(plugins: Plugins, tmp_path: Path) -> None:
    root = tmp_path / "before"
    for number in range(16):
        voice(root / ("anger", "neutral")[number % 2] / f"s{number // 4}" / f"{number}.wav", number)
    hashes = set()
    for name in ("after", "zzz"):
        root = root.rename(tmp_path / name)
        splits = [make_splits(read(plugins, root), protocol, 0) for protocol in ("loso", "kfold:2")]
        hashes.add(tuple(split.hash for folds in splits for split in folds))
    assert len(hashes) == 1


def test_absolute_paths_of_one_base_name_stay_apart(plugins: Plugins, tmp_path: Path) -> None:
    for n, place in enumerate(("a", "b")):
        voice(tmp_path / "audio" / place / "x.wav", n)
    rows = [f"{tmp_path}/audio/{p}/x.wav,{e},{p}" for p, e in (("a", "anger"), ("b", "neutral"))]
    folder = tmp_path / "tables"
    folder.mkdir()
    gone = [f"{tmp_path}/audio/{p}/gone.wav,anger,a" for p in "ab"]
    text = "\n".join(["file,emotion,speaker", *rows, *gone])
    (folder / "clips.csv").write_text(text, "utf-8")
    warned = Warned()
    items = read(plugins, folder / "clips.csv", callback=warned)
    assert [item.name for item in items] == ["clips/a/x.wav", "clips/b/x.wav"]
    assert warned.lines[0] == "table: 2 files left out"
    assert "a/gone.wav (clips.csv line 4): no such file" in warned.lines


def test_one_recording_of_two_speakers_is_said(plugins: Plugins, tmp_path: Path) -> None:
    made = table(tmp_path, ["a.wav,anger,1", "b.wav,neutral,2", "c.wav,neutral,1"])
    soundfile.write(tmp_path / "d.wav", soundfile.read(tmp_path / "a.wav")[0], 16_000)
    made.write_text(made.read_text("utf-8") + "\nd.wav,anger,2", "utf-8")
    warned = Warned()
    items = read(plugins, made, callback=warned)
    assert items[0].other_speakers == ("clips/2",)
    assert any("one person under two names?" in line for line in warned.lines)
    assert "clips/1 = clips/2: 1 recordings" in warned.lines


def test_a_table_without_its_columns_is_told_what_it_lacks(
    plugins: Plugins, tmp_path: Path
) -> None:
    (tmp_path / "labels.csv").write_text("file,labels,speaker\na.wav,anger,01\n", "utf-8")
    (tmp_path / "latin.csv").write_bytes("file;emotion\na.wav;wütend\n".encode("latin-1"))
    for name, problem in (("labels.csv", "no column emotion"), ("latin.csv", "is not UTF-8 text")):
        with pytest.raises(SertkError, match=problem):
            read(plugins, tmp_path / name)
