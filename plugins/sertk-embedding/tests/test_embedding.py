"""Small models that the tests make themselves: what they say, and what happens to odd ones."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sertk_embedding
from ser_toolkit import Asset, FrameExtractor, SertkError, Signal, Stack, configure, import_keras
from ser_toolkit.testing import asset, checks_for, relative_error
from sertk_embedding import Embedding

# Keras 3 reads its variables in a way that numpy 2 deprecates.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
RATE_HZ = 16_000
N = 4000
NOISE = 0.1 * np.random.default_rng(0).standard_normal(16_000)


def make(folder: Path, pooled: bool) -> Path:
    """Return a frozen conv net: waveform (N,) to (5,), or to (T, 5)."""
    keras = import_keras()
    keras.utils.set_random_seed(4)
    layers = keras.layers
    start = keras.Input((N,), name="wave")
    x = layers.Reshape((N, 1))(start)
    x = layers.Conv1D(5, 400, 200, activation="relu")(x)
    x = layers.GlobalAveragePooling1D()(x) if pooled else x
    path = folder / ("pooled.keras" if pooled else "rows.keras")
    keras.Model(start, x).save(path)
    return path


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    folder = tmp_path_factory.mktemp("models")
    pooled, rows = make(folder, True), make(folder, False)
    return {
        "pooled.keras": pooled.read_bytes(),
        "rows.keras": rows.read_bytes(),
        "pooled.tflite": from_keras(pooled),
        "rows.tflite": from_keras(rows),
    }


def from_keras(path: Path) -> bytes:
    """Convert with TensorFlow's own converter, as an author of such a model does."""
    import tensorflow as tf

    model = import_keras().saving.load_model(path)
    exported = path.with_suffix("")
    model.export(exported, verbose=False)
    return bytes(tf.lite.TFLiteConverter.from_saved_model(str(exported)).convert())


CONFORMING = [("pooled.tflite", 1500), ("pooled.tflite", 6000)]
CONFORMING += [("rows.tflite", 1500), ("pooled.keras", 1500), ("rows.keras", 1500)]


@pytest.mark.parametrize(("name", "hop_length"), CONFORMING)
def test_it_keeps_to_the_contract(
    models: dict[str, bytes], name: str, hop_length: int, conforms: Callable[..., None]
) -> None:
    content = models[name]
    file = asset(content, name)
    conforms(Embedding(file, frame_length=N, hop_length=hop_length), assets=[content])


def test_the_plugin_keeps_to_the_contract() -> None:
    for check in checks_for(sertk_embedding):
        if check.name in ("hooks", "light", "declared", "json"):
            check()


def test_the_command_checks_a_file_that_is_given(models: dict[str, bytes], tmp_path: Path) -> None:
    path = tmp_path / "model.tflite"
    path.write_bytes(models["pooled.tflite"])
    values = {"file": f"@{path}", "frame_length": N, "hop_length": 1500}
    settings = [f"--set=embedding.{key}={value}" for key, value in values.items()]
    command = [Path(sys.executable).with_name("sertk"), "plugins", "check", "embedding", *settings]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "19 ok"


def opened(models: dict[str, bytes], name: str, **params: Any) -> FrameExtractor:
    content = models[name]
    asset = Asset(name, hashlib.sha256(content).hexdigest(), len(content))
    values = {"file": asset, "frame_length": N, "hop_length": 1500, **params}
    return Embedding(**values).prepare(lambda wanted: models[wanted.name])


def features(extractor: FrameExtractor, samples: np.ndarray) -> np.ndarray:
    return extractor.frames(Signal(samples, RATE_HZ))


NAMES = ["pooled.keras", "rows.keras", "pooled.tflite", "rows.tflite"]


def test_a_row_is_what_keras_says_of_its_own_samples(models, tmp_path: Path) -> None:
    samples = NOISE.astype(np.float32)
    for name in NAMES:
        path = tmp_path / "model.keras"
        path.write_bytes(models[name.replace("tflite", "keras")])
        model = import_keras().saving.load_model(path)
        rows = features(opened(models, name), samples)
        for row, start in zip(rows, range(0, 16_000, 1500), strict=False):
            output_text = np.array(model(samples[None, start : start + N]))
            expected = output_text.reshape(-1, 5).mean(axis=0)
            assert relative_error(row, expected) <= 1e-5, name


def test_it_is_stacked_like_any_other(models) -> None:
    part = opened(models, "pooled.tflite", hop_length=1600)
    stack = Stack((part, opened(models, "rows.tflite", hop_length=1600)))
    assert features(stack, NOISE).shape == (8, 10)


def test_lengths_that_are_open_take_any(tmp_path: Path) -> None:
    keras = import_keras()
    start = keras.Input((None,), name="wave")
    x = keras.layers.Reshape((-1, 1))(start)
    x = keras.layers.Conv1D(3, 64, 32)(x)
    keras.Model(start, x).save(tmp_path / "open.keras")
    models = {
        "open.keras": (tmp_path / "open.keras").read_bytes(),
        "open.tflite": from_keras(tmp_path / "open.keras"),
    }
    for length in (2000, 3000):
        a, b = (features(opened(models, n, frame_length=length), NOISE) for n in models)
        assert relative_error(a, b) <= 1e-5


def test_one_of_several_outputs_is_chosen(tmp_path: Path) -> None:
    keras = import_keras()
    start = keras.Input((N,), name="wave")
    ends = [keras.layers.Dense(2, name="a")(start), keras.layers.Dense(7, name="b")(start)]
    keras.Model(start, ends).save(tmp_path / "two.keras")
    models = {"two.keras": (tmp_path / "two.keras").read_bytes()}
    assert [len(opened(models, "two.keras", output=n).columns) for n in (0, 1)] == [2, 7]
    with pytest.raises(SertkError, match="has 2 outputs"):
        opened(models, "two.keras", output=2)


def refusal(models: dict[str, bytes], name: str, **params: Any) -> str:
    with pytest.raises(SertkError) as caught:
        opened(models, name, **params)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_what_does_not_fit_is_a_line_for_the_user(models) -> None:
    for name in NAMES:
        assert f"extractor.frame_length={N}" in refusal(models, name, frame_length=5000)
        assert "outputs" in refusal(models, name, output=3)
    odd = {"x.tflite": b"not a model", "y.tflite": models["pooled.tflite"][:900]}
    assert "'x.tflite' is no .tflite model" in refusal(odd, "x.tflite")
    assert "is no .tflite" in refusal({"k.tflite": models["pooled.keras"]}, "k.tflite")
    assert "is no Keras" in refusal({"t.keras": models["pooled.tflite"]}, "t.keras")
    assert "cannot be run" in refusal({"z.keras": b"PK\x03\x04" + bytes(90)}, "z.keras")
    with pytest.raises(SertkError, match=r"extractor\.file=@MODEL"):
        Embedding().prepare(lambda asset: b"")
    with pytest.raises(SertkError, match="prepare"):
        Embedding().frames(Signal(np.zeros(16_000), RATE_HZ))
    with pytest.raises(SertkError, match="hop_length must be 1"):
        configure(Embedding(), {"hop_length": 0})


def test_edge_ready_follows_the_file(models) -> None:
    assert opened(models, "pooled.tflite").edge_ready
    assert not opened(models, "pooled.keras").edge_ready


@pytest.mark.slow
def test_the_file_travels_in_the_bundle_which_predicts_without_tensorflow(
    models, tmp_path: Path, synthetic_corpus: Path
) -> None:
    import ser_toolkit

    file = tmp_path / "m.tflite"
    file.write_bytes(models["pooled.tflite"])
    settings = (
        "extractor=embedding",
        f"extractor.file=@{file}",
        f"extractor.frame_length={N}",
        "extractor.hop_length=2000",
        "augmenter=",
        "model=mlp",
        "window.length_frames=6",
        "window.hop_frames=3",
        "training.ema_momentum=0",
    )
    run = ser_toolkit.train(synthetic_corpus, settings=settings, epochs=2, out=tmp_path / "run")
    file.unlink()
    bundle = tmp_path / "emb.sertk"
    ser_toolkit.quantize(run, out=bundle)
    import soundfile

    soundfile.write(tmp_path / "x.wav", NOISE, RATE_HZ)
    code = """
import sys
for name in ("tensorflow", "keras", "librosa", "scipy", "sklearn"):
    sys.modules[name] = None
from ser_toolkit.cli import run
sys.exit(run(["predict", "emb.sertk", "x.wav"]))
"""
    env = {**os.environ, "SERTK_CACHE": str(tmp_path / "none")}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "x.wav" in done.stdout
