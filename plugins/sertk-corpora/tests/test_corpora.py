"""The five corpora: on real files where there are some, and on trees with every published name."""

from __future__ import annotations

import csv
import itertools
import re
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit import EMOTIONS, AudioError, Clip, Reading, SertkError, configure, read_audio
from sertk_corpora import CORPORA, CorpusReader

READERS = {reader.name: reader for reader in CORPORA}
README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
N_SPEAKERS = {"emodb": 10, "tess": 2, "savee": 4, "ravdess": 24, "cremad": 91}
SIX = {"anger": 1271, "disgust": 1271, "fear": 1271, "happiness": 1271, "sadness": 1271}
SEVEN = ("anger", "disgust", "fear", "happiness", "neutral", "sadness", "surprise")
PER_EMOTION = {
    "emodb": {
        "anger": 127,
        "boredom": 81,
        "disgust": 46,
        "fear": 69,
        "happiness": 71,
        "neutral": 79,
        "sadness": 62,
    },
    "tess": dict.fromkeys(SEVEN, 400),
    "savee": {**dict.fromkeys(SEVEN, 60), "neutral": 120},
    "ravdess": {**dict.fromkeys((*SEVEN, "calm"), 192), "neutral": 96},
    "cremad": {**SIX, "neutral": 1087},
}


def touch(root: Path, names: Iterable[str]) -> Path:
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def emotions(reading: Reading) -> Counter[str]:
    return Counter(clip.emotion for clip in reading.clips)


def speakers(reading: Reading) -> set[str | None]:
    return {clip.speaker for clip in reading.clips}


def only(corpus: str, root: Path) -> Clip:
    (clip,) = READERS[corpus].read(root).clips
    return clip


def published(corpus: str) -> list[str]:
    """File names by the rule of each corpus: some of EMO-DB and CREMA-D, all of the others."""
    if corpus == "emodb":
        parts = itertools.product(("03", "16"), ("a01", "b10"), "WLEAFTN", "ab")
        return [f"wav/{''.join(part)}.wav" for part in parts]
    if corpus == "tess":
        words, codes = range(200), ("angry", "disgust", "fear", "happy", "neutral", "ps", "sad")
        named = ["".join(chr(97 + int(digit)) for digit in f"{word:03}") for word in words]
        parts = itertools.product(("OAF", "YAF"), codes, named)
        return [f"{who}_{code}/{who}_{word}_{code}.wav" for who, code, word in parts]
    if corpus == "savee":
        counts = {"a": 15, "d": 15, "f": 15, "h": 15, "n": 30, "sa": 15, "su": 15}
        codes = [f"{code}{index + 1:02}" for code, n in counts.items() for index in range(n)]
        return [f"{who}/{code}.wav" for who in ("DC", "JE", "JK", "KL") for code in codes]
    if corpus == "ravdess":
        parts = itertools.product(range(1, 25), range(1, 9), (1, 2), (1, 2), (1, 2))
        return [
            f"Actor_{actor:02}/03-01-{emotion:02}-{level:02}-{text:02}-{take:02}-{actor:02}.wav"
            for actor, emotion, level, text, take in parts
            if (emotion, level) != (1, 2)
        ]
    parts = itertools.product(("1001", "1091"), ("DFA", "IEO"), ("ANG", "NEU", "SAD"), ("XX", "HI"))
    return [f"AudioWAV/{'_'.join(part)}.wav" for part in parts]


# Real files, and trees with all real names


@pytest.mark.parametrize(
    ("name", "n_clips", "n_speakers"),
    [("emodb", 535, 10), ("tess", 336, 2), ("ravdess", 20, 3), ("cremad", 7, 2)],
)
def test_real_copies(data_dir: Path, name: str, n_clips: int, n_speakers: int) -> None:
    reading = READERS[name].read(data_dir / name)
    assert len(reading.clips) == n_clips
    assert len(speakers(reading)) == n_speakers
    assert reading.skipped == {}
    assert all(clip.path.is_file() and clip.corpus == name for clip in reading.clips)
    note = (f"{n_clips} of the {READERS[name].n_files} files of {name} are here",)
    assert reading.notes == (() if name == "emodb" else note)


@pytest.mark.parametrize("name", READERS)
def test_all_published_names(data_dir: Path, tmp_path: Path, name: str) -> None:
    with (data_dir / "manifests" / f"{name}.csv").open(encoding="utf-8") as file:
        files = [row["file"] for row in csv.DictReader(file)]
    reading = READERS[name].read(touch(tmp_path / name, files))
    assert [clip.relative for clip in reading.clips] == sorted(files)
    assert emotions(reading) == PER_EMOTION[name]
    assert len(speakers(reading)) == N_SPEAKERS[name]
    assert (dict(reading.skipped), reading.notes) == ({}, ())


# Names by rule, wherever the tests run


def test_whole_corpora_by_rule(tmp_path: Path) -> None:
    for name in ("tess", "savee", "ravdess"):
        reading = READERS[name].read(touch(tmp_path / name, published(name)))
        assert emotions(reading) == PER_EMOTION[name], name
        assert len(speakers(reading)) == N_SPEAKERS[name], name
        assert (dict(reading.skipped), reading.notes) == ({}, ()), name


def test_each_corpus_is_recognised_by_its_reader_alone(tmp_path: Path) -> None:
    for name in READERS:
        root, n_files = touch(tmp_path / name, published(name)), len(published(name))
        matches = {reader.name: reader.recognises(root) for reader in CORPORA}
        ((found, match),) = [(key, match) for key, match in matches.items() if match]
        assert (found, match.score) == (name, 1)
        assert match.why.startswith(f"{n_files} of {n_files} audio files are named like ")


def facts(reading: Reading) -> list[tuple[str | None, ...]]:
    return sorted((clip.emotion, clip.speaker or "", clip.text) for clip in reading.clips)


def test_layouts_give_the_same_clips(tmp_path: Path) -> None:
    for name, reader in READERS.items():
        files, flat = published(name), name != "savee"
        usual = facts(reader.read(touch(tmp_path / name, files)))
        layouts = {
            "parent": [f"download/{name}/{file}" for file in files],
            "flat": [Path(file).name if flat else file.replace("/", "_") for file in files],
            "upper": [file.replace(".wav", ".WAV") for file in files],
        }
        for layout, moved in layouts.items():
            other = reader.read(touch(tmp_path / f"{name} {layout}", moved))
            assert facts(other) == usual, (name, layout)


NAMED = (
    ("emodb", "wav/03a01Fa.wav", "happiness", "03", "a01"),
    ("emodb", "wav/16b10Wb.wav", "anger", "16", "b10"),
    ("tess", "OAF_neutral/OA_bite_neutral.wav", "neutral", "OAF", "bite"),
    ("tess", "YAF_Pleasant_Surprised/YAF_neat_ps.wav", "surprise", "YAF", "neat"),
    ("tess", "whatever/YAF_neat_fear.flac", "fear", "YAF", "neat"),
    ("savee", "AudioData/DC/sa03.wav", "sadness", "DC", "sa03"),
    ("savee", "ALL/KL_su15.wav", "surprise", "KL", "su15"),
    ("savee", "JE_a01.wav", "anger", "JE", "a01"),
    ("ravdess", "Actor_03/03-01-02-01-02-01-20.wav", "calm", "20", "02"),
    ("cremad", "AudioWAV/1040_ITH_SAD_X.wav", "sadness", "1040", "ITH"),
    ("cremad", "1076_MTI_SAD_XX.wav", "sadness", "1076", "MTI"),
)


def test_what_a_name_says(tmp_path: Path) -> None:
    for number, (name, file, *said) in enumerate(NAMED):
        clip = only(name, touch(tmp_path / str(number), [file]))
        assert [clip.emotion, clip.speaker, clip.text] == said, file
        assert (clip.relative, clip.corpus, clip.side) == (file, name, None)


def test_a_speaker_folder_of_savee_can_be_the_root(tmp_path: Path) -> None:
    clip = only("savee", touch(tmp_path / "DC", ["d01.wav"]))
    assert (clip.speaker, clip.emotion, clip.relative) == ("DC", "disgust", "d01.wav")


# Oddities of real copies


def test_emodb_with_its_label_folders(tmp_path: Path) -> None:
    files = published("emodb")
    extra = ["silb/03a01Fa.silb", "labsilb/03a01Fa.labsilb", "lablaut/03a01Fa.wav", "erkennung.txt"]
    root = touch(tmp_path / "emodb", [*files, *extra])
    reading = READERS["emodb"].read(root)
    assert [clip.relative for clip in reading.clips] == sorted(files)
    assert reading.skipped == {}
    match = READERS["emodb"].recognises(root)
    assert match is not None
    assert match.score == 1


INNER = {
    "tess": "TESS Toronto emotional speech set data/TESS Toronto emotional speech set data",
    "ravdess": "audio_speech_actors_01-24",
    "savee": "AudioData",
    "cremad": "copy",
}


def test_a_nested_copy_counts_once(tmp_path: Path) -> None:
    for name, inner in INNER.items():
        files = published(name)
        root = touch(tmp_path / name, [*files, *(f"{inner}/{file}" for file in files)])
        reading = READERS[name].read(root)
        assert [clip.relative for clip in reading.clips] == sorted(files), name
        assert f"{len(files)} further copies of the same utterances were left out" in reading.notes


def test_a_copy_that_decodes_and_loses_nothing_is_taken(tmp_path: Path) -> None:
    """CREMA-D as it is cloned: MP3 beside WAV, and one of them pointers."""
    names, pointer = ("1001_DFA_ANG_XX", "1002_IEO_SAD_HI"), "version https://git-lfs.github.com\n"
    for number, folder in enumerate(("AudioMP3", "AudioWAV")):
        for name in names:
            (tmp_path / folder).mkdir(exist_ok=True)
            path = tmp_path / folder / f"{name}.{folder[-3:].lower()}"
            soundfile.write(path, np.random.default_rng(number).normal(0, 0.1, 16_000), 16_000)
    (tmp_path / "AudioWAV" / f"{names[1]}.wav").write_text(pointer)
    found = [clip.relative for clip in READERS["cremad"].read(tmp_path).clips]
    assert found == [f"AudioMP3/{names[1]}.mp3", f"AudioWAV/{names[0]}.wav"]
    for path in (tmp_path / "AudioMP3").iterdir():
        path.write_text(pointer)
    found = [clip.relative for clip in READERS["cremad"].read(tmp_path).clips]
    assert found == [f"AudioWAV/{name}.wav" for name in names]


def test_one_utterance_under_two_names(tmp_path: Path) -> None:
    files = ["OAF_neutral/OA_bite_neutral.wav", "fixed/deeper/OAF_bite_neutral.wav"]
    assert only("tess", touch(tmp_path / "tess", files)).relative == files[0]
    assert only("savee", touch(tmp_path / "savee", ["DC_a01.wav", "DC/a01.wav"])).text == "a01"


def test_clips_come_in_the_order_of_their_paths(tmp_path: Path) -> None:
    files = ["a/deep/03a01Wa.wav", "wav/03a01Fa.wav", "z.wav"]
    reading = READERS["emodb"].read(touch(tmp_path / "emodb", files))
    assert [clip.relative for clip in reading.clips] == files[:2]


def test_versions_and_levels_are_utterances_of_their_own(tmp_path: Path) -> None:
    root = touch(tmp_path / "emodb", ["03a01Fa.wav", "03a01Fb.wav"])
    assert len(READERS["emodb"].read(root).clips) == 2
    levels = [f"1001_IEO_ANG_{level}.wav" for level in ("LO", "MD", "HI")]
    assert len(READERS["cremad"].read(touch(tmp_path / "cremad", levels)).clips) == 3
    takes = [f"03-01-05-0{level}-01-0{take}-01.wav" for level in (1, 2) for take in (1, 2)]
    assert len(READERS["ravdess"].read(touch(tmp_path / "ravdess", takes)).clips) == 4


def test_ravdess_leaves_songs_and_other_channels_out(tmp_path: Path) -> None:
    files = ["Actor_01/03-01-05-01-01-01-01.wav", "Actor_01/03-02-05-01-01-01-01.wav"]
    reading = READERS["ravdess"].read(touch(tmp_path / "ravdess", files))
    assert [clip.relative for clip in reading.clips] == files[:1]
    assert dict(reading.skipped) == {files[1]: "not named like 03-01-05-01-02-01-12.wav"}


def test_an_unknown_emotion_is_skipped(tmp_path: Path) -> None:
    for name, file, code in (
        ("emodb", "03a01Xa.wav", "X"),
        ("tess", "OAF_back_bored.wav", "bored"),
        ("savee", "DC/x01.wav", "x"),
        ("ravdess", "03-01-09-01-01-01-01.wav", "09"),
        ("cremad", "1001_DFA_BOR_XX.wav", "BOR"),
    ):
        reading = READERS[name].read(touch(tmp_path / name, [*published(name), file]))
        assert dict(reading.skipped) == {file: f"unknown emotion code '{code}'"}
        assert len(reading.clips) == len(published(name)), name


def test_hidden_files_are_ignored(tmp_path: Path) -> None:
    files = ["wav/03a01Fa.wav", "wav/._03a01Fa.wav", "__MACOSX/wav/03a01Wa.wav"]
    reading = READERS["emodb"].read(touch(tmp_path / "emodb", files))
    assert [clip.relative for clip in reading.clips] == files[:1]
    assert reading.skipped == {}


def test_git_lfs_pointers_are_clips_until_they_are_decoded(tmp_path: Path) -> None:
    root = touch(tmp_path / "cremad", ["AudioWAV/1001_DFA_ANG_XX.wav"])
    clip = only("cremad", root)
    clip.path.write_text(
        "version https://git-lfs.github.com/spec/v1\noid sha256:c6f9\nsize 72862\n"
    )
    with pytest.raises(AudioError, match=r"Git LFS pointer, not audio. Run `git lfs pull`"):
        read_audio(clip.path, shown=clip.relative)


# What is not the corpus


def test_half_of_the_files_must_fit(tmp_path: Path) -> None:
    root = touch(tmp_path / "mixed", ["03a01Fa.wav", "03a01Wa.wav", "x.wav", "y.wav"])
    match = READERS["emodb"].recognises(root)
    assert match is not None
    assert (match.score, match.why) == (0.5, "2 of 4 audio files are named like 03a01Fa.wav")
    touch(root, ["z.wav"])
    assert READERS["emodb"].recognises(root) is None


def test_folders_without_the_corpus(tmp_path: Path) -> None:
    strangers = touch(tmp_path / "strangers", ["angry/1.wav", "03a01Fa.txt", "DC/readme.md"])
    for reader in CORPORA:
        assert reader.recognises(strangers) is None, reader.name
        assert reader.recognises(tmp_path / "no") is None, reader.name
        for root, problem in (
            (tmp_path / "no", "is not there"),
            (strangers, "no file of the corpus"),
            (strangers / "03a01Fa.txt", "is a file, not a folder"),
        ):
            with pytest.raises(SertkError, match=problem):
                reader.read(root)


def test_names_that_nearly_fit(tmp_path: Path) -> None:
    nearly = {
        "emodb": ("3a01Fa.wav", "x03a01Fa.wav", "03a01Fa_noisy.wav"),
        "tess": ("MAF_back_angry.wav",),
        "savee": ("DC/a1.wav", "XX/a01.wav", "ABDC_a01.wav"),
        "ravdess": ("01-01-05-01-01-01-01.wav", "03-01-05-01-01-01.wav"),
        "cremad": ("1001_DFA_ANG.wav",),
    }
    for name, files in nearly.items():
        for number, file in enumerate(files):
            root = touch(tmp_path / f"{name}{number}", [file])
            assert READERS[name].recognises(root) is None, file
            with pytest.raises(SertkError, match=f"no file of the corpus '{name}'"):
                READERS[name].read(root)


# The readers as components, and a README that agrees with them


def test_a_field_can_be_set() -> None:
    reader = configure(READERS["tess"], {"emotions": [["ps", "happiness"]]})
    assert isinstance(reader, CorpusReader)
    assert reader.emotions == (("ps", "happiness"),)
    assert reader.pattern == READERS["tess"].pattern


def test_a_reader_is_complete() -> None:
    for reader in CORPORA:
        assert {emotion for _, emotion in reader.emotions} <= set(EMOTIONS), reader.name
        assert reader.homepage.startswith("http"), reader.name
        assert all((reader.language, reader.licence, reader.citation)), reader.name


def test_the_readme_has_the_same_figures() -> None:
    for reader in CORPORA:
        (row,) = re.findall(rf"^\| `{reader.name}` \|.*<http.*$", README, re.MULTILINE)
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert cells[3:5] == [str(reader.n_files), str(N_SPEAKERS[reader.name])]
        assert cells[6:] == [reader.licence, f"<{reader.homepage}>"]
        assert all(emotion in cells[5] for _, emotion in reader.emotions)


def test_the_reader_in_the_readme_works(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    namespace: dict[str, object] = {}
    exec(compile(code, "README.md", "exec"), namespace)
    (reader,) = namespace["sertk_readers"]()  # type: ignore[operator]
    (tmp_path / "f1_angry_07.wav").touch()
    (clip,) = reader.read(tmp_path).clips
    assert (clip.speaker, clip.emotion, clip.text) == ("f1", "anger", "07")
