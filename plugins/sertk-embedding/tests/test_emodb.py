"""A frozen network on EMO-DB: trained on, put into a bundle, and asked by the command."""

from __future__ import annotations

import csv
import hashlib
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit as sertk
from ser_toolkit import Recipe, import_keras

pytestmark = [
    pytest.mark.slow,
    # Keras 3 reads its variables in a way that numpy 2 deprecates.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
EMOTIONS = ("anger", "sadness")
N = 4000
SETTINGS = (
    "extractor=embedding",
    "extractor.file=@frozen.tflite",
    f"extractor.frame_length={N}",
    "extractor.hop_length=2000",
    "model=mlp",
    "window.length_frames=8",
    "window.hop_frames=4",
    "augmenter=",
    "training.copies=0",
    "training.ema_momentum=0",
    "training.warmup_epochs=0",
)
# As on a device: nothing of what trains is there.
PREDICT = """
import sys
for name in ("tensorflow", "keras", "librosa", "scipy", "sklearn"):
    sys.modules[name] = None
from ser_toolkit.cli import run
sys.exit(run(["predict", "--json", *sys.argv[1:]]))
"""


def frozen(folder: Path) -> bytes:
    """Return a network with random weights, as .tflite: 0.25 s of sound to 32 numbers."""
    keras = import_keras()
    import tensorflow as tf

    keras.utils.set_random_seed(4)
    start = keras.Input((N,), name="wave")
    x = keras.layers.Reshape((N, 1))(start)
    x = keras.layers.Conv1D(32, 400, 100, activation="relu")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    keras.Model(start, x).export(folder / "frozen", verbose=False)
    return bytes(tf.lite.TFLiteConverter.from_saved_model(str(folder / "frozen")).convert())


@pytest.fixture(scope="module")
def trained(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with `run` and `voice.sertk` in it; the network's own file is gone."""
    folder = tmp_path_factory.mktemp("embedding")
    (folder / "frozen.tflite").write_bytes(frozen(folder))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        run = sertk.train(
            data_dir / "emodb",
            emotions=EMOTIONS,
            epochs=20,
            settings=SETTINGS,
            workers=1,
            out="run",
        )
        (folder / "frozen.tflite").rename(folder / "kept")
        sertk.quantize(run, mode="float32", out="voice.sertk")
    return folder


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / "run" / name).read_text("utf-8"))


def rows(folder: Path) -> dict[str, dict[str, str]]:
    with (folder / "run/predictions.csv").open(encoding="utf-8") as file:
        return {row["file"]: row for row in csv.DictReader(file)}


def test_no_clip_is_lost_and_it_has_learnt(trained: Path) -> None:
    plan, metrics = read(trained, "split.json")["clips"], read(trained, "metrics.json")
    assert len(plan) == 127 + 62 and {clip["emotion"] for clip in plan} == set(EMOTIONS)
    tested = {f"emodb/{clip['path']}" for clip in plan if clip["side"] == "test"}
    assert set(rows(trained)) == tested and len(tested) == metrics["clips"]
    assert 1.5 / 2 < metrics["uar"] <= 1, "clearly above chance"


def test_the_network_is_named_by_its_hash_and_travels(trained: Path) -> None:
    content = (trained / "kept").read_bytes()
    digest = hashlib.sha256(content).hexdigest()
    (used,) = Recipe.from_toml((trained / "run/recipe.toml").read_text("utf-8")).extractor
    assert used.name == "embedding" and used.params["file"]["sha256"] == digest
    assert (trained / "run/assets" / digest).read_bytes() == content
    with zipfile.ZipFile(trained / "voice.sertk") as bundle:
        assert bundle.read(f"assets/{digest}") == content


def test_the_bundle_answers_as_the_run_did(trained: Path, data_dir: Path) -> None:
    expected = rows(trained)
    wavs = [str(data_dir / file) for file in list(expected)[::8]]
    env = {**os.environ, "SERTK_CACHE": str(trained / "none")}
    done = subprocess.run(
        [sys.executable, "-c", PREDICT, "voice.sertk", *wavs],
        cwd=trained,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    assert [answer["file"] for answer in answers] == wavs and len(wavs) >= 4
    for answer, row in zip(answers, list(expected.values())[::8], strict=True):
        expected_text = {label: float(row[f"p_{label}"]) for label in EMOTIONS}
        assert answer["probabilities"] == pytest.approx(expected_text, abs=1e-3)
