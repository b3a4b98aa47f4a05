"""What a run leaves behind: metrics, tables, pictures and a network that agree with each other."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.contracts.recipe import Recipe
from ser_toolkit.metrics.scores import Scores
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.audio.decode import content_hash, read_audio
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.runtime.features.normalizer import normalizers_from_bytes
from ser_toolkit.testing import relative_error
from ser_toolkit.training import report
from ser_toolkit.training.backend import load_network

FILES = {
    "adapter.npz",
    "history.csv",
    "log.txt",
    "metrics.json",
    "model.keras",
    "model.txt",
    "plots",
    "predictions.csv",
    "recipe.toml",
    "run.toml",
    "split.json",
}
PLOTS = {
    "accuracy.png",
    "classes.png",
    "confusion_counts.png",
    "confusion_percent.png",
    "loss.png",
}


@pytest.fixture(scope="module")
def folder(small_run: tuple[Any, Path]) -> Path:
    path: Path = small_run[0].path
    return path


@pytest.fixture(scope="module")
def corpus(small_run: tuple[Any, Path]) -> Path:
    return small_run[1]


@pytest.fixture(scope="module")
def metrics(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def plan(folder: Path) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((folder / "split.json").read_text("utf-8"))
    return content


@pytest.fixture(scope="module")
def predictions(folder: Path) -> list[dict[str, str]]:
    with (folder / "predictions.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def network(folder: Path) -> Any:
    return load_network(folder / "model.keras")


def test_a_run_holds_these_files_and_no_others(folder: Path) -> None:
    assert {path.name for path in folder.iterdir()} == FILES
    drawn = {*PLOTS, *(f"{Path(name).stem}.svg" for name in PLOTS)}
    assert {path.name for path in (folder / "plots").iterdir()} == drawn


@pytest.mark.parametrize("number", ["uar", "wa", "loss", "macro_f1", "calibration_error"])
def test_the_metrics_are_numbers(number: str, metrics: dict[str, Any]) -> None:
    assert isinstance(metrics[number], float)
    assert 0 <= metrics[number] <= (10 if number == "loss" else 1)


def test_metrics_have_everything(metrics: dict[str, Any]) -> None:
    labels = ["anger", "boredom", "fear", "happiness", "neutral", "sadness"]
    assert metrics["labels"] == labels
    assert list(metrics["per_class"]) == labels
    for row in (metrics["macro"], metrics["weighted"], *metrics["per_class"].values()):
        assert {"precision", "recall", "f1"} <= set(row)
    assert np.shape(metrics["confusion"]) == (6, 6)
    assert set(metrics["ci95"]) == {"uar", "wa", "macro_f1", "clusters", "groups"}
    for key in ("uar", "wa", "macro_f1"):
        low, high = metrics["ci95"][key]
        assert 0 <= low <= high <= 1
    assert metrics["protocol"]["name"] == "holdout"
    assert metrics["protocol"]["comparable"] is True
    assert set(metrics["parameters"]) == {"trainable", "total"}
    assert metrics["audit"]["clean"] is True
    assert metrics["sides"] == {"train": 24, "validation": 12, "test": 12}
    assert metrics["clips"] == 12
    assert metrics["interrupted"] is False
    assert metrics["epochs"] == 2
    assert metrics["best_epoch"] in (1, 2)
    assert (metrics["seed"], metrics["recipe"]) == (3, "compact")
    assert 0.25 <= metrics["temperature"] <= 4
    assert metrics["seconds"] > 0


def test_metrics_are_json_that_every_parser_reads(folder: Path) -> None:
    def refuse(word: str) -> Any:
        raise AssertionError(f"{word} is no JSON")

    json.loads((folder / "metrics.json").read_text("utf-8"), parse_constant=refuse)


def test_not_a_number_becomes_null(tmp_path: Path) -> None:
    content = {"a": float("nan"), "b": [float("inf"), 1.5], 3: (None, "ü")}
    report.write_json(tmp_path / "x.json", content)
    text = (tmp_path / "x.json").read_text("utf-8")
    assert json.loads(text) == {"a": None, "b": [None, 1.5], "3": [None, "ü"]}
    assert "ü" in text


def test_per_speaker_metrics_add_up(metrics: dict[str, Any]) -> None:
    (speaker,) = metrics["per_speaker"].values()
    assert speaker["clips"] == metrics["clips"]
    assert speaker["uar"] == metrics["uar"]


def test_predictions_give_the_metrics(
    predictions: list[dict[str, str]], metrics: dict[str, Any]
) -> None:
    from sklearn import metrics as reference

    truth = [row["emotion"] for row in predictions]
    prediction = [row["predicted"] for row in predictions]
    labels = metrics["labels"]
    chances = np.array([[float(row[f"p_{label}"]) for label in labels] for row in predictions])
    table = reference.confusion_matrix(truth, prediction, labels=labels)
    assert metrics["confusion"] == table.tolist()
    assert metrics["uar"] == pytest.approx(
        reference.recall_score(truth, prediction, average="macro")
    )
    assert metrics["wa"] == pytest.approx(reference.accuracy_score(truth, prediction))
    scores = reference.precision_recall_fscore_support(
        truth, prediction, average="weighted", zero_division=0
    )
    expected = dict(zip(("precision", "recall", "f1"), scores, strict=False))
    assert metrics["weighted"] == pytest.approx(expected)
    loss = reference.log_loss(truth, chances / chances.sum(1, keepdims=True), labels=labels)
    assert metrics["loss"] == pytest.approx(loss, abs=1e-5)
    assert [labels[i] for i in chances.argmax(axis=1)] == prediction
    np.testing.assert_allclose(chances.sum(axis=1), 1, atol=6e-6)


def test_predictions_are_those_of_the_test_subset(
    predictions: list[dict[str, str]], plan: dict[str, Any]
) -> None:
    clips = {f"{c['corpus']}/{c['path']}": c for c in plan["clips"] if c["side"] == "test"}
    assert {row["file"] for row in predictions} == set(clips)
    for row in predictions:
        clip = clips[row["file"]]
        assert (row["speaker"], row["emotion"]) == (clip["speaker"], clip["emotion"])


def test_the_split_names_every_clip_with_hash_path_side_and_speaker(
    plan: dict[str, Any], corpus: Path, metrics: dict[str, Any]
) -> None:
    assert len(plan["clips"]) == 48
    assert plan["hash"] == metrics["protocol"]["hash"]
    sides: dict[str, set[str]] = {}
    for clip in plan["clips"]:
        assert clip["hash"] == content_hash(read_audio(corpus / clip["path"]))
        assert clip["speaker"] == f"{corpus.name}/{clip['path'].split('/')[0]}"
        sides.setdefault(clip["speaker"], set()).add(clip["side"])
    assert sorted(map(sorted, sides.values())) == [["test"], ["train"], ["train"], ["validation"]]


def test_no_file_names_a_place_on_this_machine(folder: Path, corpus: Path) -> None:
    import zipfile

    for path in folder.rglob("*"):
        # It says where the data are, and stays here.
        if path.is_file() and path.name != "run.toml":
            content = path.read_bytes()
            if zipfile.is_zipfile(path):
                with zipfile.ZipFile(path) as archive:
                    content += b"".join(archive.read(name) for name in archive.namelist())
            for place in (corpus.parent, folder.parent, Path.home()):
                assert str(place).encode() not in content, path.name


def test_the_adapter_is_fitted_on_the_training_clips(
    folder: Path, corpus: Path, plan: dict[str, Any]
) -> None:
    """Computed again from the recordings, without the store."""
    recipe = Recipe.from_toml((folder / "recipe.toml").read_text("utf-8"))
    extractor: Any = assemble(recipe, load_plugins(env={})).extractor
    normalizer = normalizers_from_bytes((folder / "adapter.npz").read_bytes())["frames"]

    def moments(side: str) -> tuple[Any, Any]:
        paths = [corpus / clip["path"] for clip in plan["clips"] if clip["side"] == side]
        signals = [Signal(read_audio(path).samples, 16000) for path in paths]
        frames = np.concatenate([extractor.frames(signal) for signal in signals]).astype(float)
        return frames.mean(axis=0), frames.std(axis=0)

    mean, std = moments("train")
    assert relative_error(normalizer.mean, mean) <= 1e-5
    assert relative_error(normalizer.std, std) <= 1e-5
    assert np.abs(moments("test")[0] - mean).max() > 0.01


def test_the_stored_network_gives_the_calibrated_predictions(
    folder: Path, corpus: Path, network: Any, predictions: list[dict[str, str]]
) -> None:
    """So the temperature is in the graph, and a copy of the network needs no other number."""
    recipe = Recipe.from_toml((folder / "recipe.toml").read_text("utf-8"))
    extractor: Any = assemble(recipe, load_plugins(env={})).extractor
    normalizer = normalizers_from_bytes((folder / "adapter.npz").read_bytes())["frames"]
    for row in predictions:
        samples = read_audio(corpus / row["file"].removeprefix(f"{corpus.name}/")).samples
        frames = (extractor.frames(Signal(samples, 16000)) - normalizer.mean) / normalizer.std
        outputs = np.asarray(network(recipe.window.cut(frames.astype(np.float32))))
        stored = [float(value) for key, value in row.items() if key.startswith("p_")]
        np.testing.assert_allclose(outputs.mean(axis=0), stored, atol=2e-5)


def test_the_temperature_is_the_best_one_on_the_validation_subset(
    folder: Path, corpus: Path, network: Any, plan: dict[str, Any], metrics: dict[str, Any]
) -> None:
    """Another temperature than the fitted one makes the validation loss worse."""
    recipe = Recipe.from_toml((folder / "recipe.toml").read_text("utf-8"))
    extractor: Any = assemble(recipe, load_plugins(env={})).extractor
    normalizer = normalizers_from_bytes((folder / "adapter.npz").read_bytes())["frames"]
    windows, truth = [], []
    for clip in plan["clips"]:
        if clip["side"] == "validation":
            frames = extractor.frames(Signal(read_audio(corpus / clip["path"]).samples, 16000))
            frames = (frames - normalizer.mean) / normalizer.std
            windows.append(np.asarray(network(recipe.window.cut(frames.astype(np.float32)))))
            truth.append(plan["labels"].index(clip["emotion"]))

    def loss(temperature: float) -> float:
        powers = [p ** (1 / temperature) for p in windows]
        means = [(p / p.sum(axis=1, keepdims=True)).mean(axis=0) for p in powers]
        return float(-np.mean([np.log(p[t]) for p, t in zip(means, truth, strict=True)]))

    assert loss(1.0) < loss(0.8)
    if metrics["temperature"] < 3.99:  # else the search ended at its bound
        assert loss(1.0) < loss(1.25)


def test_the_table_of_layers_adds_up_to_what_keras_counts(
    folder: Path, network: Any, metrics: dict[str, Any]
) -> None:
    text = (folder / "model.txt").read_text("utf-8")
    header, *rows, total, trainable = text.splitlines()
    counts = [int(row.split()[-1].replace(",", "")) for row in rows]
    assert header.split() == ["layer", "kind", "output", "units", "parameters"]
    assert counts == [layer.count_params() for layer in network.layers]
    assert sum(counts) == network.count_params()
    expected = sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)
    assert total == f"total parameters: {network.count_params():,}"
    assert trainable == f"trainable parameters: {expected:,}"
    assert metrics["parameters"] == {"trainable": expected, "total": network.count_params()}
    assert [row["parameters"] for row in metrics["layers"]] == counts
    assert [row["name"] for row in metrics["layers"]] == [row.split()[0] for row in rows]
    assert metrics["layers"][-1] == {
        "name": "emotion",
        "kind": "Dense",
        "output": "(None, 6)",
        "units": 6,
        "parameters": counts[-1],
    }
    assert expected < network.count_params()
    assert rows[-1].split()[0] == "emotion"
    assert rows[-1].split()[-2] == "6"


@pytest.mark.parametrize("name", sorted(PLOTS))
def test_the_plots_are_pictures_with_something_on_them(name: str, folder: Path) -> None:
    from matplotlib.image import imread

    path = folder / "plots" / name
    assert path.read_bytes().startswith(b"\x89PNG\r\n\x1a\n")
    picture = imread(path)
    height, width = picture.shape[:2]
    assert 400 <= width <= 2000
    assert 300 <= height <= 2000
    assert 0.01 < (picture[..., :3].min(axis=-1) < 0.9).mean() < 0.9


def scores(predictions: str, truths: str) -> Scores:
    labels = tuple(sorted(set(truths + predictions)))
    clips = tuple(
        Utterance(Clip(Path("x"), f"{i}.wav", "c", t, "s"), f"{i:064x}", 1.0)
        for i, t in enumerate(truths)
    )
    chances = np.array([[0.9 if label == g else 0.1 for label in labels] for g in predictions])
    return Scores(clips, labels, np.array([labels.index(t) for t in truths]), chances)


def test_the_weakest_class_and_what_it_is_taken_for() -> None:
    text = report.weakest(scores(predictions="aabbbccc", truths="aaaabbcc"))
    assert text == "weakest class: a (recall 50 %), most often taken for b"
    assert report.weakest(scores("aabb", "aabb")) == "no class is ever mistaken"
    assert "weakest class: b (recall 0 %)" in report.weakest(scores("aaaa", "aabb"))


def test_a_table_survives_commas_quotes_and_lines(tmp_path: Path) -> None:
    rows = [{"a": 'x,"y"', "b": "one\ntwo"}, {"a": "ü", "b": 1}]
    report.write_csv(tmp_path / "x.csv", rows)
    with (tmp_path / "x.csv").open(encoding="utf-8", newline="") as file:
        assert list(csv.DictReader(file)) == [rows[0], {"a": "ü", "b": "1"}]
