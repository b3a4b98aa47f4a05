"""openSMILE through the seam: its own numbers, on any signal, the same every time."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import typing
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from ser_toolkit import (
    SertkError,
    Signal,
    Window,
    configure,
    features,
    from_spec,
    load_plugins,
    to_spec,
)
from ser_toolkit.assemble import assemble
from sertk_opensmile import OpenSmile, sertk_extractors, sertk_recipes
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


SIGNALS = {
    "voice": voice(),
    "silence": np.zeros(24_000, np.float32),
    "dc": np.full(24_000, 0.5, np.float32),
    "full scale": np.sign(np.sin(np.arange(24_000) / 20)).astype(np.float32),
    "long": np.tile(voice(), 8),
    "short": voice(300),
    "one sample": np.array([0.25], np.float32),
    "nothing": np.zeros(0, np.float32),
}


def heard(one: OpenSmile, samples: np.ndarray) -> np.ndarray:
    return one.arrays(Signal(samples, RATE_HZ))["functionals"]


@pytest.mark.parametrize("signal", SIGNALS)
@pytest.mark.parametrize("feature_set", ["eGeMAPSv02", "IS09", "ComParE_2016"])
def test_shape_finiteness_determinism_and_no_mutation(feature_set: str, signal: str) -> None:
    samples = SIGNALS[signal].copy()
    samples.flags.writeable = False
    one = configure(OpenSmile(), {"feature_set": feature_set})
    values = heard(one, samples)
    assert values.shape == (SIZES[feature_set],) and values.dtype == np.float32
    assert np.isfinite(values).all()
    assert values.tobytes() == heard(one, samples).tobytes()
    assert np.array_equal(samples, SIGNALS[signal])


@pytest.mark.parametrize("feature_set", SIZES)
def test_every_set_gives_the_librarys_own_numbers(feature_set: str) -> None:
    one = configure(OpenSmile(), {"feature_set": feature_set})
    old = feature_set in ("GeMAPS", "eGeMAPS", "eGeMAPSv01b")
    with pytest.warns() if old else contextlib.nullcontext():
        theirs = opensmile.Smile(opensmile.FeatureSet[feature_set])
    frame = theirs.process_signal(SIGNALS["voice"], RATE_HZ)
    assert tuple(frame.columns) == one.columns and len(one.columns) == SIZES[feature_set]
    np.testing.assert_array_equal(heard(one, SIGNALS["voice"]), frame.to_numpy()[0])


def test_every_set_of_the_library_is_offered() -> None:
    assert set(typing.get_args(FeatureSet)) == {one.name for one in opensmile.FeatureSet}
    assert set(SIZES) == set(typing.get_args(FeatureSet))


def test_windows_of_a_clip() -> None:
    window = Window(length_frames=90, hop_frames=45)
    one = OpenSmile()
    assert features(one, Signal(voice(), RATE_HZ), window)["functionals"].shape == (1, 88)
    assert features(one, Signal(voice(60_000), RATE_HZ), window)["functionals"].shape[0] > 3


def test_threads_do_not_disturb_each_other() -> None:
    jobs = [voice(8000 + 500 * index) for index in range(12)]
    alone = [heard(OpenSmile(), samples).tobytes() for samples in jobs]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda s: heard(OpenSmile(), s).tobytes(), jobs)) == alone


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
    np.save(tmp_path / "x.npy", SIGNALS["voice"])
    command = [sys.executable, "-c", IN_A_CHILD]
    alone, beside = (
        subprocess.run([*command, *before], cwd=tmp_path, capture_output=True, text=True)
        for before in ([], ["tensorflow"])
    )
    assert alone.returncode == 0, alone.stderr
    assert beside.returncode == 0, beside.stderr
    assert len(alone.stdout.splitlines()) == 3 and beside.stdout == alone.stdout


def test_fields_are_the_whole_state() -> None:
    one = configure(OpenSmile(), {"feature_set": "IS09"})
    assert from_spec(json.loads(json.dumps(to_spec(one))), lambda name: OpenSmile()) == one


@pytest.mark.parametrize(
    ("params", "told"),
    [
        ({"feature_set": "eGeMAPSv03"}, "expects one of ComParE_2016"),
        ({"rate_hz": 4000}, "8000 or more"),
        ({"hop_length": 0}, "1 or more"),
    ],
)
def test_what_makes_no_sense_is_a_line_for_the_user(params: dict, told: str) -> None:
    with pytest.raises(SertkError, match=told):
        configure(OpenSmile(), params)


def test_the_licence_is_shown_and_the_edge_refused() -> None:
    (one,) = sertk_extractors()
    assert not one.edge_ready and "non-commercial" in one.licence
    (recipe,) = sertk_recipes()
    assert assemble(recipe, load_plugins()).licences == (f"'opensmile': {one.licence}",)
    shown = subprocess.run(
        [sys.executable, "-c", "from ser_toolkit.cli import run; run(['plugins'])"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert f"opensmile: {one.licence}" in shown
    readme = (Path(__file__).parents[1] / "README.md").read_text("utf-8")
    assert "is not free software" in readme


def test_looking_around_imports_nothing_heavy() -> None:
    code = (
        "import sertk_opensmile as s, sys; s.sertk_extractors(); s.sertk_recipes()\n"
        "print([m for m in ('opensmile', 'pandas', 'scipy') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
