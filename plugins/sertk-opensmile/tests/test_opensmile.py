"""openSMILE as a plugin: its own numbers, on any signal, the same every time."""

from __future__ import annotations

import contextlib
import subprocess
import sys
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit import SertkError, Signal, configure, extract
from sertk_opensmile import OpenSmile, sertk_extractors
from sertk_opensmile.extractor import FeatureSet
from sertk_opensmile.library import load_library

opensmile = load_library()
RATE_HZ = 16_000
SIZES = {
    "ComParE_2016": 6373,
    "GeMAPS": 62,
    "GeMAPSv01b": 62,
    "eGeMAPS": 88,
    "eGeMAPSv01b": 88,
    "eGeMAPSv02": 88,
    "emobase": 988,
    "IS09": 384,
    "IS10": 1582,
    "IS11": 4368,
    "IS12": 6125,
    "IS13": 6373,
}


def voice(n_samples: int = 24_000) -> np.ndarray:
    t = np.arange(n_samples) / RATE_HZ
    tone = sum(np.sin(2 * np.pi * 150 * k * t) / k for k in range(1, 10))
    noise = np.random.default_rng(0).standard_normal(n_samples)
    return (0.1 * tone * (1 + np.sin(5 * t)) + 0.002 * noise).astype(np.float32)


def functionals(one: OpenSmile, samples: np.ndarray) -> np.ndarray:
    return one.arrays(Signal(samples, RATE_HZ))["functionals"]


def test_every_set_gives_the_librarys_own_numbers() -> None:
    for feature_set, size in SIZES.items():
        one = configure(OpenSmile(), {"feature_set": feature_set})
        old = feature_set in ("GeMAPS", "eGeMAPS", "eGeMAPSv01b")
        with pytest.warns() if old else contextlib.nullcontext():
            theirs = opensmile.Smile(opensmile.FeatureSet[feature_set])
        frame = theirs.process_signal(voice(), RATE_HZ)
        assert tuple(frame.columns) == one.columns and len(one.columns) == size, feature_set
        np.testing.assert_array_equal(functionals(one, voice()), frame.to_numpy()[0], feature_set)


def test_every_set_of_the_library_is_offered() -> None:
    assert set(typing.get_args(FeatureSet)) == {one.name for one in opensmile.FeatureSet}
    assert set(SIZES) == set(typing.get_args(FeatureSet))


def test_threads_do_not_disturb_each_other() -> None:
    jobs = [voice(8000 + 500 * index) for index in range(12)]
    alone = [functionals(OpenSmile(), samples).tobytes() for samples in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda s: functionals(OpenSmile(), s).tobytes(), jobs)) == alone


def test_a_table_has_the_same_columns_for_clips_of_any_length(tmp_path: Path) -> None:
    seconds = {"short": (1, 2, 2), "long": (4, 7, 2)}
    for name, each in seconds.items():
        lines = ["file,emotion"]
        for number, (length_s, emotion) in enumerate(zip(each, "aab", strict=True)):
            soundfile.write(
                tmp_path / f"{name}{number}.wav", voice(length_s * RATE_HZ + number), RATE_HZ
            )
            lines.append(f"{name}{number}.wav,{emotion}")
        (tmp_path / f"{name}.csv").write_text("\n".join(lines))
    columns = list(OpenSmile().columns)
    for name, whole in (("short", False), ("long", False), ("long", True)):
        out = tmp_path / f"{name}{whole}.npz"
        found = extract(
            "opensmile", data=tmp_path / f"{name}.csv", out=out, whole_clip=whole, workers=1
        )
        assert found["columns"] == columns, name
        arrays = np.load(out)
        if name == "short" or whole:
            samples, _ = soundfile.read(tmp_path / f"{name}1.wav", dtype="float32")
            theirs = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02)
            wanted = theirs.process_signal(samples, RATE_HZ).to_numpy()[0]
            assert arrays["length"].tolist() == [1, 1, 1]
        else:
            assert arrays["length"].tolist() == [2, 4, 1]
            wanted = arrays["functionals"][2:6].mean(axis=0)
        np.testing.assert_allclose(arrays["table"][1], wanted, rtol=1e-5, err_msg=name)
    with pytest.raises(SertkError, match="'rms' computes frames, not values of a whole clip"):
        extract(
            "opensmile",
            files=tmp_path / "long1.wav",
            out=out,
            settings=["extractor=rms"],
            whole_clip=True,
        )


IN_A_CHILD = """
import sys
import numpy as np
for name in sys.argv[1:]:
    __import__(name)
from ser_toolkit import Signal
from sertk_opensmile import OpenSmile
samples = np.load("x.npy")
for feature_set in ("IS09", "eGeMAPSv02", "ComParE_2016"):
    values = OpenSmile(feature_set).arrays(Signal(samples, 16000))["functionals"]
    print(feature_set, values.tobytes().hex())
"""


@pytest.mark.slow
def test_tensorflow_before_it_changes_nothing(tmp_path: Path) -> None:
    # Both export functions of one name, and openSMILE ended the process when it met the other's.
    np.save(tmp_path / "x.npy", voice())
    command = [sys.executable, "-c", IN_A_CHILD]
    alone, beside = (
        subprocess.run([*command, *before], cwd=tmp_path, capture_output=True, text=True)
        for before in ([], ["tensorflow"])
    )
    assert alone.returncode == 0, alone.stderr
    assert beside.returncode == 0, beside.stderr
    assert len(alone.stdout.splitlines()) == 3 and beside.stdout == alone.stdout


def test_what_makes_no_sense_is_a_line_for_the_user() -> None:
    for params, expected_text in (
        ({"feature_set": "eGeMAPSv03"}, "expects one of ComParE_2016"),
        ({"rate_hz": 4000}, "8000 or more"),
        ({"hop_length": 0}, "1 or more"),
    ):
        with pytest.raises(SertkError, match=expected_text):
            configure(OpenSmile(), params)


def test_the_licence_is_shown_and_the_edge_refused() -> None:
    (one,) = sertk_extractors()
    assert not one.edge_ready and "non-commercial" in one.licence
    shown = subprocess.run(
        [sys.executable, "-c", "from ser_toolkit.cli import run; run(['plugins'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"opensmile: {one.licence}" in shown
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    assert "is not free software" in readme
