"""A training on EMO-DB from the 88 numbers of eGeMAPSv02, with the recipe that comes along."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit import Recipe, train
from sertk_opensmile import OpenSmile
from sertk_opensmile.library import load_library

pytestmark = [
    pytest.mark.slow,
    # Keras 3 reads its variables in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
opensmile = load_library()
# The letter of the emotion in a file's name.
EMOTIONS = {"W": "anger", "T": "sadness"}
QUICK = ("training.copies=0", "training.ema_momentum=0", "training.warmup_epochs=0")
N_WINDOW = 183 * 256 + 1024


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `cache` and `run` in it."""
    folder = tmp_path_factory.mktemp("opensmile")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERTK_CACHE", str(folder / "cache"))
        train(
            data_dir / "emodb",
            plugin="opensmile",
            emotions=list(EMOTIONS.values()),
            epochs=10,
            settings=QUICK,
            workers=1,
            out=folder / "run",
        )
    return folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "run" / name).read_text("utf-8"))


def test_no_clip_is_lost_and_it_has_learnt(trained: Path, data_dir: Path) -> None:
    plan, metrics = read(trained, "split.json")["clips"], read(trained, "metrics.json")
    names = [path.name for path in (data_dir / "emodb/wav").iterdir()]
    wanted = {name: EMOTIONS[name[5]] for name in names if name[5] in EMOTIONS}
    assert {Path(clip["path"]).name: clip["emotion"] for clip in plan} == wanted
    assert len(plan) == len(wanted) == 189
    with (trained / "run/predictions.csv").open(encoding="utf-8") as file:
        answers = {row["file"]: row["predicted"] for row in csv.DictReader(file)}
    assert set(answers) == {f"emodb/{clip['path']}" for clip in plan if clip["side"] == "test"}
    assert len(answers) == metrics["clips"] and set(answers.values()) == set(EMOTIONS.values())
    assert 1.5 / 2 < metrics["uar"] <= 1, "clearly above chance"


def test_the_run_names_the_extractor_and_its_licence(trained: Path) -> None:
    recipe = Recipe.from_toml((trained / "run/recipe.toml").read_text("utf-8"))
    (used,) = recipe.extractor
    assert (used.name, used.params["feature_set"]) == ("opensmile", "eGeMAPSv02")
    assert OpenSmile().licence in (trained / "run/log.txt").read_text("utf-8")


def test_what_it_was_trained_on_are_the_librarys_numbers(trained: Path, data_dir: Path) -> None:
    files = list((trained / "cache/features").rglob("*.npz"))
    arrays = [np.load(file)["functionals"] for file in files]
    assert len(arrays) == 189 and {array.shape[1:] for array in arrays} == {(88,)}
    found = {array.tobytes() for array in arrays}
    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02)
    for name in ("03a01Wa.wav", "03a02Ta.wav"):
        samples, rate_hz = soundfile.read(data_dir / "emodb/wav" / name, dtype="float32")
        # A clip that is shorter than a window comes as it is.
        assert len(samples) < N_WINDOW
        numbers = smile.process_signal(samples, rate_hz).to_numpy(np.float32)
        assert numbers.tobytes() in found
