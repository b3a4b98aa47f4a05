"""Bad input to the command line: one clear line, a non-zero exit, and never a traceback.

Most of it is tried in this process; `test_a_process_ends_as_the_command_does_here` says why.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest

Sertk = Callable[..., CompletedProcess[str]]
Refused = Callable[..., None]
Few = Callable[..., Path]
Bad = dict[str, tuple[Callable[[Path], Any], str]]

SPEAKERS = "no known speaker", "EMOTION/SPEAKER/file.wav"

# Arguments after `sertk train TINY --data GOOD`, and what the one line has to say.
TRAIN = (
    ("--plugin msf", "either a plugin or a recipe file expected", "'msf'"),
    ("--reader nonsense", "there is no reader 'nonsense'", "Known:", "folders"),
    ("--reader emodb", "no file of the corpus 'emodb'", "03a01Fa.wav"),
    ("--protocol nonsense", "expects one of holdout, kfold:K", "'nonsense'"),
    ("--protocol kfold:1", "expects one of holdout, kfold:K", "'kfold:1'"),
    ("--protocol kfold:9", "kfold:9 needs 9 speakers, received 4", "Use kfold:4"),
    ("--protocol official", "60 of 60 have none", "'split' column"),
    ("--protocol cross-corpus", "at least two corpora", "Give --data"),
    ("--fold 99", "fold expects 1 to 1, received 99"),
    (
        "--emotions nonsense",
        "'nonsense' is not an emotion of this data",
        "it has: anger",
    ),
    ("--emotions ,", "separated by commas expected, received ','"),
    ("--emotions anger", "at least two emotions expected, received anger", "--emot"),
    ("--map a", "a mapping old=new expected, received 'a'"),
    ("--map nonsense=anger", "'nonsense' is not an emotion of this data", "it has:"),
    ("--map anger=x --map anger=y", "'anger' is mapped both to 'x' and to 'y'"),
    ("--map anger=sad --map neutral=sad", "at least two emotions expected"),
    ("--resume", "--resume expects --out", "Add --out"),
    ("--set nonsense", "expects STAGE.FIELD=VALUE, received 'nonsense'", "Stages: extr"),
    ("--set nonsense.x=1", "expects STAGE.FIELD=VALUE", "Stages: extractor"),
    ("--set extractor.nonsense=1", "does not exist in this recipe", "extractor.zcr"),
    ("--set extractor.hop_length=1", "is ambiguous", "extractor.zcr.hop_length"),
    ("--set training.epochs=many", "'training.epochs' expects a whole number, received 'many'"),
    ("--set training.epochs=true", "'training.epochs' expects a whole number, received True"),
    ("--set training.epochs=0", "'training.epochs' expects 1 or more, received 0"),
    ("--set training.batch_size=0", "'training.batch_size' expects 1 or more"),
    ("--set training.learning_rate=nan", "'training.learning_rate' expects", "nan"),
    ("--set training.optimizer=sgd", "expects one of adamw, adam", "'sgd'"),
    ("--set window.length_frames=0", "'window.length_frames' expects 1 to 1000000"),
    ("--set augmenter.p=2", "'gain.p' expects a probability, 0 to 1, received 2"),
    ("--set model=nonsense", "there is no model 'nonsense'", "tcn"),
    ("--set model=tcn,tcn", "--set model= expects one name, received 'tcn,tcn'"),
    ("--set extractor=", "a recipe needs at least one extractor"),
    ("--set model.channels=@x", "only extractors and augmenters take"),
    ("--set extractor.x=@nowhere", "cannot read 'nowhere'", "Check the path"),
)

# The same, where click refuses before the command starts.
USAGE = (
    ("--epochs 0", "'--epochs'", "x>=1"),
    ("--epochs many", "'--epochs'", "'many' is not a valid integer"),
    ("--fold 0", "'--fold'", "x>=1"),
    ("--seed -1", "'--seed'", "0<=x<="),
    ("--seed 4294967296", "'--seed'", "0<=x<=4294967295"),
    ("--nonsense", "No such option", "--nonsense"),
    ("--recipe compact", "either --recipe or a recipe file"),
)


def test_a_process_ends_as_the_command_does_here(
    sertk: Sertk, here: Sertk, refused: Refused, tiny: Path, good: Path
) -> None:
    cases = (
        ("--set training.epochs=many", "expects a whole number, received 'many'", 1),
        ("--epochs 0", "'--epochs'", 2),
    )
    for options, part, code in cases:
        arguments = ("train", tiny, "--data", good, *options.split())
        refused(sertk(*arguments), part, code=code)
        assert sertk(*arguments).stderr == here(*arguments).stderr


def test_train_refuses(here: Sertk, refused: Refused, tiny: Path, good: Path) -> None:
    for options, *parts in TRAIN:
        refused(here("train", tiny, "--data", good, *options.split()), *parts)


def test_usage(here: Sertk, refused: Refused, tiny: Path, good: Path) -> None:
    for options, *parts in USAGE:
        refused(here("train", tiny, "--data", good, *options.split()), *parts, code=2)


ONE_LINE = (
    ("train", ("no data given", "--data DIR")),
    ("train --data missing", ("data folder 'missing' does not exist", "Check the path")),
    ("train --data synthetic --reader nonsense", ("there is no reader 'nonsense'",)),
    ("train --data synthetic --reader folders", ("makes its own corpus", "Leave out --reader")),
    ("train missing.toml", ("cannot read recipe 'missing.toml'", "Check the path")),
    ("train --plugin nonsense", ("there is no plugin 'nonsense'", "Known: ")),
    ("train --plugin nonsense --recipe compact", ("there is no plugin 'nonsense'",)),
    ("train --recipe nonsense", ("there is no recipe 'nonsense'", "Known: ", "compact")),
    ("crossval --data missing", ("data folder 'missing' does not exist",)),
    ("crossval --protocol holdout", ("'holdout' has one fold", "Use loso or kfold:K")),
    ("crossval --protocol nonsense", ("expects one of holdout, kfold:K",)),
    (
        "evaluate missing --data missing",
        ("no run directory or bundle 'missing'", "Check the path"),
    ),
    ("predict missing x.wav", ("no run directory or bundle 'missing'", "Check the path")),
    ("recipe show nonsense", ("there is no recipe 'nonsense'", "Known: ", "compact")),
    ("recipe show missing.toml", ("cannot read recipe 'missing.toml'",)),
    ("extract --out x.npy", ("expects either files or --data", "Give one of them")),
    ("extract a.wav --data d --out x.npz", ("expects either files or --data",)),
    ("extract a.wav --out x.csv", ("expects .npy or .npz here, received 'x.csv'",)),
    ("extract --data d --out x.npy", ("expects .npz or .csv here, received 'x.npy'",)),
    ("extract a.wav --out x.npy", ("'a.wav' is not there",)),
    ("extract a.wav --out x.npy --recipe nonsense", ("there is no recipe 'nonsense'",)),
    ("extract a.wav --out x.npy --set x=1", ("expects STAGE.FIELD=VALUE", "Stages:")),
    ("extract --data missing --out x.csv", ("data folder 'missing' does not exist",)),
)


def test_one_line(here: Sertk, refused: Refused) -> None:
    for arguments, parts in ONE_LINE:
        refused(here(*arguments.split()), *parts)


USAGE_ALONE = (
    ("train recipe.txt", "a recipe file ends in .toml, received 'recipe.txt'"),
    ("predict run", "Missing argument 'FILE|DIR…'"),
    ("extract a.wav", "Missing option '--out'"),
)


def test_usage_alone(here: Sertk, refused: Refused) -> None:
    for arguments, part in USAGE_ALONE:
        refused(here(*arguments.split()), part, code=2)


BAD_RECIPES = (
    ("name = ", ("is not valid TOML", "at end of document", "Fix that line")),
    ("nonsense = 1", ("a recipe has no key 'nonsense'", "It has: name")),
    ("model = 3", ("'model' expects a table", "received 3")),
    ('model = "x"', ("there is no model 'x'", "tcn")),
    ('extractor = "x"', ("there is no extractor 'x'", "Known:")),
    ("extractor = []", ("needs at least one extractor",)),
    ("window = 3", ("mine.toml",)),
    ("window = { length = 3 }", ("'window' has no parameter 'length'", "length_frames")),
    ("training = { epochs = 0 }", ("'training.epochs' expects 1 or more, received 0",)),
    ('training = { copies = "4" }', ("'training.copies' expects a whole number, received '4'",)),
    ("training = 5", ("mine.toml",)),
    ('model = { name = "tcn", channels = "x" }', ("'tcn.channels' expects a whole number",)),
    ('extractor = [{ name = "zcr", version = 9 }]', ("'zcr' version 9 expected", "Install")),
)


def test_a_bad_recipe_file(here: Sertk, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    base = {"name": "mine", "model": "tcn", "extractor": "zcr"}
    for text, parts in BAD_RECIPES:
        missing = [f'{k} = "{v}"' for k, v in base.items() if not text.startswith(f"{k} =")]
        path.write_text("\n".join([*missing, text]))
        refused(here("train", path, "--data", "missing"), *parts)


def test_a_recipe_file_without_an_extractor(here: Sertk, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('name = "x"\nmodel = "tcn"')
    refused(here("train", path), "a recipe needs 'extractor'", "sertk recipe show")


def test_a_recipe_file_that_is_no_text(here: Sertk, refused: Refused, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_bytes(b"\xff\xfe\x00name")
    refused(here("train", path), "mine.toml", "is not a recipe", "sertk recipe show")


def test_refusing_never_costs_the_import_of_tensorflow(
    sertk: Sertk, tiny: Path, good: Path, tmp_path: Path
) -> None:
    refusals = (
        ("train", tiny, "--data", good, "--emotions", "anger"),
        ("crossval", tiny, "--data", good, "--protocol", "kfold:9"),
        ("evaluate", tmp_path, "--data", good),
        ("predict", tmp_path, "x.wav"),
    )
    for arguments in refusals:
        result = sertk(*arguments, python=("-X", "importtime"))
        modules = {line.rpartition("|")[2].strip() for line in result.stderr.splitlines()}
        assert result.returncode == 1
        assert "ser_toolkit.pipeline" in modules
        assert not modules & {"tensorflow", "keras", "librosa", "sklearn", "matplotlib"}


def test_a_corpus_of_nothing_but(
    here: Sertk, refused: Refused, tiny: Path, bad: Bad, tmp_path: Path
) -> None:
    for kind, (make, reason) in bad.items():
        for emotion in ("anger", "sadness"):
            for name in ("x.wav", "y.wav"):
                (tmp_path / kind / emotion / "anna").mkdir(parents=True, exist_ok=True)
                make(tmp_path / kind / emotion / "anna" / name)
        result = here("train", tiny, "--data", tmp_path / kind, "--protocol", "random")
        refused(result, "none of 4 files is usable", "'anger/anna/x.wav'", reason)


def test_extract_refuses_one_file(
    here: Sertk, refused: Refused, tiny: Path, bad: Bad, tmp_path: Path
) -> None:
    file, out = tmp_path / "x.wav", tmp_path / "x.npy"
    for kind in ("corrupt", "empty", "silent", "one-sample", "nan", "pointer"):
        make, reason = bad[kind]
        file.unlink(missing_ok=True)
        make(file)
        refused(here("extract", file, "--recipe", tiny, "--out", out), "x.wav", reason)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["x.wav"], kind


def test_an_empty_folder(here: Sertk, refused: Refused, tmp_path: Path) -> None:
    refused(here("train", "--data", tmp_path), "no reader recognises", "a folder per emotion")
    todo = ("no audio file in a folder per emotion", "EMOTION/SPEAKER/x.wav")
    refused(here("train", "--data", tmp_path, "--reader", "folders"), *todo)


def test_a_file_that_is_no_table(here: Sertk, refused: Refused, good: Path) -> None:
    file = next(good.rglob("*.wav"))
    refused(here("train", "--data", file), "no reader recognises", "or a CSV")
    refused(here("train", "--data", file, "--reader", "emodb"), "is a file, not a folder")
    refused(here("train", "--data", file, "--reader", "table"), "is not UTF-8 text")


def test_one_speaker(here: Sertk, refused: Refused, few: Few, tmp_path: Path) -> None:
    root = few(tmp_path, lambda clip: clip.speaker == "spk01")
    parts = ("at least two speakers expected, received one", "--protocol random")
    refused(here("train", "--data", root), *parts)
    refused(here("crossval", "--data", root), *parts)


def test_no_speakers(here: Sertk, refused: Refused, few: Few, tmp_path: Path) -> None:
    root = few(tmp_path, name=lambda clip: f"{clip.emotion}/{clip.path.name}")
    refused(here("train", "--data", root), "24 of 24", "no known speaker", "EMOTION/SPEAKER/")


def test_one_class(here: Sertk, refused: Refused, few: Few, tmp_path: Path) -> None:
    root = few(tmp_path, lambda clip: clip.emotion == "anger")
    arguments = ("--data", root, "--reader", "folders")
    refused(here("train", *arguments), "at least two emotions expected, received anger")


def test_a_class_with_one_clip(here: Sertk, refused: Refused, few: Few, tmp_path: Path) -> None:
    root = few(tmp_path)
    clip = next((root / "anger").rglob("*.wav"))
    (root / "fear" / "spk01").mkdir(parents=True)
    content = bytearray(clip.read_bytes())
    content[-200:] = bytes(200)
    (root / "fear" / "spk01" / "x.wav").write_bytes(content)
    result = here("train", "--data", root)
    refused(result, "emotion 'fear' has one clip", "--emotions anger,neutral,sadness")


def test_files_that_are_all_copies_with_two_emotions(
    here: Sertk, refused: Refused, few: Few, tmp_path: Path
) -> None:
    root = few(tmp_path, lambda clip: clip.emotion == "anger")
    shutil.copytree(root / "anger", root / "sadness")
    refused(here("train", "--data", root), "no usable recording is left", "two emotions")


def test_codes_that_are_all_unknown(
    here: Sertk, refused: Refused, few: Few, tmp_path: Path
) -> None:
    few(tmp_path, name=lambda clip: f"{clip.speaker[-2:]}a{clip.path.stem[-5:-3]}Xa.wav")
    refused(here("train", "--data", tmp_path), "no file of the corpus 'emodb'", "03a01Fa.wav")


BAD_TABLES = (
    ("file,speaker\na.wav,x\n", ("x.csv has no column emotion", "Columns: file")),
    ("file,emotion\n", ("x.csv has no rows",)),
    ("file,emotion\na.wav,anger\n", ("none of the files of x.csv is there", "a.wav' is none")),
    ("file,emotion,start\na.wav,anger,soon\n", ("x.csv line 2", "seconds", "'soon'")),
    ("file,emotion,split\na.wav,anger,tset\n", ("x.csv line 2", "train, validation or test")),
    ("file,emotion\na.wav,\n", ("x.csv line 2 has no emotion",)),
    ('file,emotion\n"a.wav,anger\n', ("x.csv line",)),
)


def test_a_bad_table(here: Sertk, refused: Refused, tmp_path: Path) -> None:
    for table, parts in BAD_TABLES:
        (tmp_path / "x.csv").write_text(table)
        refused(here("train", "--data", tmp_path / "x.csv"), *parts)


def test_a_run_directory_that_is_taken(
    here: Sertk, refused: Refused, tiny: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    for command in ("train", "crossval"):
        # The data are not there either, but hours of reading would come first if they were.
        arguments = (command, tiny, "--data", "missing", "--out")
        refused(here(*arguments, tmp_path / "file"), "--out expects a folder", "another --out")
        refused(here(*arguments, tmp_path), "is not empty", "Add --resume")
        refused(here(*arguments, tmp_path / "file" / "run"), "file' is a file")


def test_a_cache_that_cannot_be_written(
    here: Sertk, refused: Refused, tiny: Path, good: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    env = {"SERTK_CACHE": str(tmp_path / "file" / "cache")}
    arguments = ("--recipe", tiny, "--data", good, "--workers", 1, "--out", tmp_path / "x.csv")
    refused(here("extract", *arguments, env=env), "cache/features", "Not a directory")
    arguments = ("--data", "synthetic", "--out", tmp_path / "x.csv")
    refused(here("extract", *arguments, env=env), "cannot write into", "Set SERTK_CACHE")


def test_a_read_only_cache(
    here: Sertk, refused: Refused, tiny: Path, good: Path, tmp_path: Path
) -> None:
    tmp_path.chmod(0o500)
    if os.access(tmp_path, os.W_OK):
        pytest.skip("root may write everywhere")
    arguments = ("extract", "--recipe", tiny, "--data", good, "--workers", 1, "--out", "x.csv")
    env = {"SERTK_CACHE": str(tmp_path)}
    refused(here(*arguments, env=env), str(tmp_path), "Permission denied")
