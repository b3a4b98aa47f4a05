"""Names of files that are no Unicode or end a line, and outputs that cannot show them."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.builtin.synthetic import SpokenSentence, SyntheticReader

NAMES = (b"b\xff\xe9.wav", "grüße.wav".encode(), "n\u0085l.wav".encode(), b"c\rr.wav", b"l\nf.wav")
SHOWN = ["b\\xff\\xe9.wav", "grüße.wav", "n\u0085l.wav", "c\rr.wav", "l\nf.wav"]
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
COMMAND = "from ser_toolkit.cli import main; main()"
NO_HOME = f"""
import os, pwd
os.environ.pop("HOME", None)
def unknown(uid):
    raise KeyError(f"getpwuid(): uid not found: {{uid}}")
pwd.getpwuid = unknown
{COMMAND}
"""


def sertk(
    *args: str | bytes | Path, code: str = COMMAND, **env: str
) -> subprocess.CompletedProcess[bytes]:
    kept = {k: v for k, v in os.environ.items() if not k.startswith("PYTHONIO")}
    command = [sys.executable, "-c", code, *args]
    done = subprocess.run(command, env={**kept, **env}, capture_output=True)
    assert b"Traceback" not in done.stderr + done.stdout, done.stderr.decode("utf-8", "replace")
    return done


@pytest.fixture(scope="module")
def odd(files: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[bytes]:
    """The first file of the small corpus, under each of the names."""
    folder = tmp_path_factory.mktemp("odd")
    return [os.fsencode(shutil.copy(files[0], folder / os.fsdecode(name))) for name in NAMES]


def test_predictions_in_any_encoding(bundle: Path, odd: list[bytes]) -> None:
    for env in ({}, ASCII, {"PYTHONIOENCODING": "latin-1"}, {"PYTHONIOENCODING": "cp437"}):
        done = sertk("predict", bundle, *odd, "--json", **env)
        assert done.returncode == 0, done.stderr
        lines = done.stdout.decode(env.get("PYTHONIOENCODING", "utf-8")).split("\n")[:-1]
        # In a locale without umlauts, Python makes surrogates of them too.
        places = [json.loads(line)["file"].encode("utf-8", "surrogateescape") for line in lines]
        assert places == odd, env


def test_predictions_as_text_and_table(bundle: Path, odd: list[bytes]) -> None:
    done = sertk("predict", bundle, *odd, **ASCII)
    lines = done.stdout.decode().split("\n")
    assert len(lines) == len(odd) + 1 and "b\\xff\\xe9.wav: " in lines[0], lines
    table = sertk("predict", bundle, *odd, "--csv", **ASCII).stdout.decode()
    rows = list(csv.DictReader(io.StringIO(table, newline="")))
    assert [row["file"].rpartition("/")[2] for row in rows] == SHOWN


def test_a_missing_file_is_named(bundle: Path) -> None:
    done = sertk("predict", bundle, b"no\xff\rne.wav")
    assert done.returncode == 1
    assert done.stderr.endswith(b"Error: 'no\\xff\\rne.wav' is not there. Check the path\n")


def test_features_and_a_picture(odd: list[bytes], tmp_path: Path) -> None:
    done = sertk("extract", "--out", tmp_path / "x.npz", *odd, **ASCII)
    assert done.returncode == 0, done.stderr
    stems = [f"{index:04d}_{name.removesuffix('.wav')}" for index, name in enumerate(SHOWN)]
    with np.load(tmp_path / "x.npz") as arrays:
        assert list(arrays) == stems
    table = Path(os.fsdecode(odd[0])).with_name("tablé.csv")
    table.write_text(f"file,emotion\n{SHOWN[1]},anger\n", "utf-8")
    done = sertk("extract", "--data", table, "--out", tmp_path / "x.csv", **ASCII)
    assert done.returncode == 0, done.stderr
    with (tmp_path / "x.csv").open(encoding="utf-8") as file:
        assert [row["file"] for row in csv.DictReader(file)] == [f"tablé/{SHOWN[1]}"]
    done = sertk("inspect", odd[0], "--recipe", "compact", "--out", tmp_path / "x.png", **ASCII)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_a_training_and_its_report(tiny: str, tmp_path: Path) -> None:
    data, out = tmp_path / "data", tmp_path / os.fsdecode(b"run\xff")
    (tmp_path / "tiny.toml").write_text(tiny)
    for number, speaker in enumerate((b"J\xc3\xb6rg", b"\xff", b"c", b"d"), 1):
        for emotion in ("anger", "sadness"):
            folder = data / emotion / os.fsdecode(speaker)
            folder.mkdir(parents=True)
            for text, name in enumerate(NAMES[:4], 1):
                samples = SyntheticReader().samples(SpokenSentence(number, emotion, text, 1))
                with (folder / os.fsdecode(name)).open("wb") as file:
                    soundfile.write(file, samples, 16_000, format="WAV")
    command = ("train", tmp_path / "tiny.toml", "--data", data, "--workers", "1", "--out", out)
    # Neither the locale nor the output has umlauts.
    done = sertk(*command, **ASCII, PYTHONIOENCODING="cp437")
    assert done.returncode == 0, done.stderr
    with (out / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [row["file"].rpartition("/")[2] for row in rows]
    assert len(rows) == 8 and sorted(names) == sorted(SHOWN[:4] * 2)
    clips = json.loads((out / "split.json").read_text("utf-8"))["clips"]
    speakers = {clip["speaker"] for clip in clips}
    assert speakers == {f"data/{name}" for name in ("Jörg", "\\xff", "c", "d")}


def test_a_user_without_a_home_folder(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    nowhere = {"SERTK_CACHE": "", "XDG_CACHE_HOME": ""}
    assert sertk("predict", bundle, files[0], code=NO_HOME, **nowhere).returncode == 0
    for command in (
        ("train", "--data", files[0].parents[2], "--out", tmp_path / "run"),
        ("extract", files[0], "--out", tmp_path / "x.npz"),
    ):
        done = sertk(*command, code=NO_HOME, **nowhere)
        assert done.returncode == 1 and done.stderr.count(b"\n") == 1, done.stderr
        assert b"no home folder" in done.stderr and b"Set SERTK_CACHE" in done.stderr
    doctor = sertk("doctor", code=NO_HOME, **nowhere)
    assert doctor.returncode == 1 and b"no home folder" in doctor.stdout
    kept = sertk("extract", files[0], "--out", tmp_path / "x.npz", code=NO_HOME)
    assert kept.returncode == 0, kept.stderr
