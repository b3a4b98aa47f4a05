"""From a trained run to bundles: measured in the runtime, decided on validation clips, written."""

from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ser_toolkit as sertk
from ser_toolkit.export import quantize as quantization
from ser_toolkit.export.converter import convert
from ser_toolkit.export.run_data import RunSource, open_run
from ser_toolkit.plugins.bundles import open_bundle
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes
from ser_toolkit.runtime.inference.tflite import TfliteModel
from ser_toolkit.training.run_dir import NETWORK, RunDirectory
from ser_toolkit.utils.progress import Callback

Small = tuple[Any, Path]


@pytest.fixture(scope="module")
def run(small_run: Small, tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A copy, because quantizing writes into the run."""
    folder = tmp_path_factory.mktemp("runs") / "small"
    return RunDirectory(Path(shutil.copytree(small_run[0].path, folder)))


@pytest.fixture(scope="module")
def found(run: RunDirectory, cache: Path) -> dict[str, Any]:
    """The report of float32 and int8, bundles written whatever they lose."""
    options = quantization.Options(modes=("float32", "int8"), force=True)
    return quantization.quantize(run, options, run.path / "small.sertk", Callback())


def test_each_mode_becomes_a_bundle_of_its_own(found: dict[str, Any]) -> None:
    names = [Path(path).name for path in found["bundles"]]
    assert names == ["small-float32.sertk", "small-int8.sertk"]
    float32, int8 = (Path(path).stat().st_size for path in found["bundles"])
    assert int8 < float32


def test_the_report_is_kept_beside_its_picture(run: RunDirectory, found: dict[str, Any]) -> None:
    stored = json.loads((run.path / "quantization.json").read_text("utf-8"))
    assert stored == {
        key: value for key, value in found.items() if key not in ("bundles", "tflite")
    }
    assert (run.path / "plots" / "quantization.png").read_bytes().startswith(b"\x89PNG")


def test_the_metrics_of_keras_are_those_of_the_run(
    run: RunDirectory, found: dict[str, Any]
) -> None:
    assert found["keras"]["test"]["uar"] == pytest.approx(run.metrics["uar"])
    assert found["keras"]["test"]["loss"] == pytest.approx(run.metrics["loss"], abs=1e-5)


def test_float32_decides_as_keras(found: dict[str, Any]) -> None:
    row = found["modes"][0]
    for side in ("validation", "test"):
        assert row[side]["agreement"] == 1
        assert row[side]["difference"]["uar"] == 0
        assert row[side]["ci95"]["uar"] == [0, 0]
    proof = next(one for one in row["runtimes"] if one["runtime"] == "ai-edge-litert")
    assert proof["proven"] and proof["max_difference"] < 1e-5
    assert 0 < proof["median_ms"] <= proof["p95_ms"]


def test_the_bundle_gives_what_the_report_says(
    run: RunDirectory, found: dict[str, Any], small_run: Small
) -> None:
    """Window by window in the classifier of the bundle, from the files on."""
    classifier = open_bundle(Path(found["bundles"][1]), check=False)
    with (run.path / "predictions.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    hits = []
    for row in rows:
        path = small_run[1] / row["file"].partition("/")[2]
        mean = classifier.window_probabilities(read_audio(path)).mean(axis=0)
        prediction = classifier.labels[int(mean.argmax())]
        hits.append((row["emotion"], prediction))
    per_class = [
        np.mean([prediction == truth for truth, prediction in hits if truth == label])
        for label in classifier.labels
    ]
    assert np.mean(per_class) == pytest.approx(found["modes"][1]["test"]["uar"])


def test_the_manifest_says_where_it_comes_from(run: RunDirectory, found: dict[str, Any]) -> None:
    bundle = parse_bundle(read_bytes(Path(found["bundles"][1])))
    manifest, metrics = bundle.manifest, run.metrics
    assert manifest.labels == run.labels and manifest.quantization.mode == "int8"
    assert manifest.training["protocol"]["hash"] == metrics["protocol"]["hash"]
    assert manifest.training["seed"] == metrics["seed"]
    assert manifest.figures["test"]["uar"] == found["modes"][1]["test"]["uar"]
    assert [part.distribution for part in manifest.parts][-1] == "ser-toolkit"
    assert manifest.thresholds["uncertain"] == found["modes"][1]["uncertain_below"]
    assert dataclasses.asdict(manifest.speech_level) == metrics["speech_level"]
    assert -60 < manifest.speech_level.low_dbfs < manifest.speech_level.high_dbfs < 0
    plan = run.json("split.json")
    assert [clip["hash"] for clip in bundle.split["clips"]] == [c["hash"] for c in plan["clips"]]
    assert all(set(c) == {"hash", "side", "emotion", "speaker"} for c in bundle.split["clips"])


def test_nothing_of_this_machine_is_in_a_bundle(
    run: RunDirectory, found: dict[str, Any], small_run: Small
) -> None:
    content = Path(found["bundles"][0]).read_bytes()
    speakers = {clip["speaker"] for clip in run.json("split.json")["clips"]}
    for private in (str(small_run[1]), str(run.path), str(Path.home()), ".wav", *speakers):
        assert private.encode() not in content


def test_the_card_says_what_one_must_know(found: dict[str, Any]) -> None:
    card = parse_bundle(read_bytes(Path(found["bundles"][1]))).card
    for word in ("## Data", "licence", "## Protocol", "hash", "UAR", "[", "## Quantization"):
        assert word in card
    for word in ("Acted speech", "Language", "nothing about a person", "uncertain"):
        assert word in card
    assert card.count("| speaker ") == 1


def test_calibration_windows_come_from_training_clips_alone(run: RunDirectory, cache: Path) -> None:
    data = open_run(run, RunSource(load_plugins()))
    windows = data.calibration(seed=3, count=40)["frames"]
    pool = {
        name: {w.tobytes() for u in items for w in data.dataset.windows(u)["frames"]}
        for name, items in data.subsets.items()
    }
    drawn = {window.tobytes() for window in windows}
    assert drawn <= pool["train"]
    assert not drawn & (pool["validation"] | pool["test"])
    assert len(drawn) > 10


@pytest.mark.slow
def test_what_loses_too_much_is_refused_and_the_report_stays(
    run: RunDirectory, found: dict[str, Any], tmp_path: Path
) -> None:
    broken = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "broken")))
    _make_fragile(broken)
    _make_right(broken)
    out = tmp_path / "broken.sertk"
    with pytest.raises(sertk.SertkError, match=r"loses [\d.]+ UAR points on validation.*0 allowed"):
        quantization.quantize(broken, quantization.Options(max_drop=0.0), out, Callback())
    assert not out.exists()
    row = broken.json("quantization.json")["modes"][0]
    assert row["bundled"] is False and row["validation"]["difference"]["uar"] < 0
    forced = quantization.Options(max_drop=0.0, force=True)
    assert quantization.quantize(broken, forced, out, Callback())["bundles"] == [str(out)]
    chosen = quantization.Options(max_drop=2.0, float_layers=("auto",))
    better = quantization.quantize(broken, chosen, out, Callback())["modes"][0]
    assert better["float_layers"] == ["emotion"]
    assert better["validation"]["uar"] > row["validation"]["uar"]


def _make_right(run: RunDirectory) -> None:
    """Call validation clips what the network predicts for them: two epochs learn too little."""
    data = open_run(run, RunSource(load_plugins()))
    scores = data.keras_scores("validation")
    predicted = dict(zip((item.hash for item in scores.utterances), scores.predicted, strict=True))
    plan = run.json("split.json")
    for clip in plan["clips"]:
        if clip["hash"] in predicted:
            clip["emotion"] = plan["labels"][int(predicted[clip["hash"]])]
    (run.path / "split.json").write_text(json.dumps(plan), "utf-8")


def _make_fragile(run: RunDirectory) -> None:
    """Let one channel before the pooling be zero, and its weight after it 3000.

    In float nothing changes; in int8 one scale must serve that weight and all others.
    """
    from ser_toolkit.training.backend import load_network

    network = load_network(run.path / NETWORK)
    norms = [one for one in network.layers if type(one).__name__ == "BatchNormalization"]
    gamma, beta, mean, variance = norms[-1].get_weights()
    gamma[0] = beta[0] = 0
    norms[-1].set_weights([gamma, beta, mean, variance])
    weights, bias = network.layers[-1].get_weights()
    weights[0] = 3000
    network.layers[-1].set_weights([weights, bias])
    network.save(run.path / NETWORK)


def test_a_run_whose_features_are_gone_asks_for_its_data(
    run: RunDirectory, small_run: Small, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SERTK_CACHE", str(tmp_path / "empty"))
    with pytest.raises(sertk.SertkError, match=r"48 of the run's 48 clips are not in the cache"):
        open_run(run, RunSource(load_plugins()))
    other = tmp_path / "other"
    shutil.copytree(small_run[1], other)
    for path in sorted(other.rglob("*.wav"))[::2]:
        path.unlink()
    with pytest.raises(sertk.SertkError, match=r"24 of these clips are not in the data"):
        open_run(run, RunSource(load_plugins(), (str(other),), "folders"))
    data = open_run(run, RunSource(load_plugins(), (str(small_run[1]),)))
    assert sum(len(items) for items in data.subsets.values()) == 48


@pytest.mark.slow
def test_one_fold_is_quantized_once_for_each_network(
    run: RunDirectory, cache: Path, tmp_path: Path
) -> None:
    fold = RunDirectory(Path(shutil.copytree(run.path, tmp_path / "fold")))
    plugins = load_plugins()
    quantization.quantize_fold(fold, "dynamic", plugins)
    facts = fold.path / quantization.facts_name("dynamic")
    first = facts.stat().st_mtime_ns
    quantization.quantize_fold(fold, "dynamic", plugins)
    assert facts.stat().st_mtime_ns == first
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "network": "another"}))
    quantization.quantize_fold(fold, "dynamic", plugins)
    assert json.loads(facts.read_text())["network"] != "another"


def test_wrong_modes_and_names_are_refused(run: RunDirectory, tmp_path: Path) -> None:
    with pytest.raises(sertk.SertkError, match=r"mode expects one of float32.*received 'int4'"):
        sertk.quantize(run, mode="int4")
    with pytest.raises(sertk.SertkError, match=r"ends in \.sertk"):
        sertk.quantize(run, out=tmp_path / "x.zip")
    with pytest.raises(sertk.SertkError, match="there is no run directory"):
        sertk.quantize(tmp_path / "nothing", out=tmp_path / "x.sertk")


@pytest.mark.slow
def test_columns_of_very_different_ranges_stay_in_step(tmp_path: Path) -> None:
    """A large column without meaning beside a small one that carries the class, 4000 : 1.

    Standardised before the network, int8 decides as float does. The same network with the
    standardisation inside sees both columns on one scale, and loses the small one.
    """
    import keras

    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 400)
    raw = np.stack([rng.normal(-250, 120, 400), 0.05 + 0.06 * truth], axis=1).astype(np.float32)
    mean, std = raw.mean(axis=0), raw.std(axis=0)
    scaled = (raw - mean) / std
    weights = np.array([[0, 0], [-3, 3]], np.float32)
    inputs = {
        "outside": (weights, np.zeros(2, np.float32), scaled),
        "inside": (weights / std[:, None], -(mean / std) @ weights, raw),
    }
    agreement = {}
    for name, (kernel, bias, values) in inputs.items():
        start = keras.Input((2,), name="frames")
        dense = keras.layers.Dense(2, activation="softmax")
        network = keras.Model(start, dense(start))
        dense.set_weights([kernel, bias])
        path = tmp_path / f"{name}.keras"
        network.save(path)
        content = convert(path, "int8", {"frames": values}).content
        prediction = TfliteModel(content)({"frames": values}).argmax(axis=1)
        agreement[name] = float((prediction == truth).mean())
    assert agreement["outside"] == 1
    assert agreement["inside"] < 0.7
