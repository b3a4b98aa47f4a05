"""The Python API with what Python users have in hand: arrays, instances, dicts, frames."""

from __future__ import annotations

import importlib.util
import inspect
import json
import os
import subprocess
import sys
import wave
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import soundfile

import ser_toolkit as sertk
from ser_toolkit.utils import tables

Small = tuple[Any, Path]


@pytest.fixture(scope="module")
def run(small_run: Small) -> Any:
    return small_run[0]


def read(path: Path) -> tuple[Any, int]:
    samples, rate_hz = soundfile.read(path, dtype="float32")
    return samples, int(rate_hz)


# Recipes and settings


def test_instances_become_names_with_what_differs_from_the_defaults() -> None:
    recipe = sertk.Recipe(extractor=[sertk.Mfcc(n_mfcc=13), "rms"], model=sertk.Tcn(channels=48))
    assert recipe == sertk.Recipe(
        "custom",
        "",
        (sertk.Use("mfcc", n_mfcc=13), sertk.Use("rms")),
        sertk.Use("tcn", {"channels": 48}),
    )
    assert replace(recipe, name="mine").extractor == recipe.extractor
    assert sertk.Recipe.from_toml(recipe.to_toml()) == recipe


def test_a_recipe_of_instances_trains(small_corpus: Path, tmp_path: Path) -> None:
    recipe = sertk.Recipe(
        extractor=[sertk.Mfcc(n_mfcc=13), sertk.Rms()],
        model=sertk.Tcn(channels=8),
        augmenter=sertk.Mask(),
    )
    run = sertk.train(
        small_corpus,
        recipe=recipe,
        settings={"training.epochs": 1, "training.copies": 0},
        emotions=("anger", "sadness"),
        workers=1,
        out=tmp_path / "run",
    )
    stored = sertk.Recipe.from_toml((run.path / "recipe.toml").read_text("utf-8"))
    assert stored.name == "custom" and [one.name for one in stored.extractor] == ["mfcc", "rms"]
    assert stored.extractor[0].params["n_mfcc"] == 13 and stored.model.params["channels"] == 8
    assert stored.training.epochs == run.metrics["epochs"] == 1
    assert run.load().labels == ("anger", "sadness")


def test_one_extractor_or_a_stack_of_them() -> None:
    single = sertk.Recipe(extractor=sertk.Rms(), model="tcn")
    assert single.extractor == (sertk.ComponentSpec("rms"),)
    stacked = sertk.Recipe(extractor=sertk.Stack((sertk.Mfcc(), sertk.Rms())), model="tcn")
    assert [spec.name for spec in stacked.extractor] == ["mfcc", "rms"]


@pytest.mark.parametrize(
    ("parts", "problem"),
    [
        ({"model": "tcn"}, "a recipe needs at least one extractor"),
        ({"extractor": "rms"}, "a recipe needs a model"),
        ({"extractor": "rms", "model": 3}, "'model' expects a component"),
        ({"extractor": [3], "model": "tcn"}, "'extractor' expects a component"),
    ],
)
def test_a_recipe_says_what_it_lacks(parts: dict[str, Any], problem: str) -> None:
    with pytest.raises(sertk.SertkError, match=problem):
        sertk.Recipe(**parts)


@dataclass(frozen=True)
class Mine(sertk.Mfcc):
    """An extractor that no plugin offers, under the name of one that is offered."""

    name: ClassVar[str] = "mfcc"


def test_an_instance_that_no_plugin_offers_is_refused_when_the_recipe_is_used(
    small_corpus: Path, tmp_path: Path
) -> None:
    recipe = sertk.Recipe(extractor=Mine(), model="tcn")
    for use in (
        lambda: sertk.train(small_corpus, recipe=recipe, out=tmp_path / "run"),
        lambda: sertk.train(
            small_corpus, settings={"extractor": Mine()}, epochs=1, out=tmp_path / "run"
        ),
    ):
        with pytest.raises(sertk.SertkError, match="no installed plugin offers the extractor Mine"):
            use()
    assert not (tmp_path / "run").exists()


WRONG_SETTINGS: tuple[tuple[Any, str], ...] = (
    ({"extractor": 3}, "'extractor' expects a component"),
    ({"window": 3}, "settings expects STAGE.FIELD=VALUE, received 'window': 3"),
    (["window=3"], "settings expects STAGE.FIELD=VALUE, received 'window=3'"),
    ({"model": ["tcn", "mlp"]}, "settings model= expects one name, received 'tcn,mlp'"),
    ({"training.epochs": "40"}, "training.epochs"),
    ("training.epochs=3", "settings expects a dict or a list of strings"),
    ([("training.epochs", 3)], "settings expects a dict or a list of strings"),
)


def test_an_error_in_settings_speaks_of_settings(small_corpus: Path) -> None:
    for settings, problem in WRONG_SETTINGS:
        with pytest.raises(sertk.SertkError, match=problem) as caught:
            sertk.train(small_corpus, settings=settings)
        assert "--set" not in str(caught.value)


def test_settings_are_values_names_or_instances(files: list[Path], tmp_path: Path) -> None:
    for settings in (
        {"extractor": sertk.LogMel(n_mels=17)},
        {"extractor": "log_mel", "extractor.n_mels": 17},
        {"extractor": ["log_mel"], "extractor.log_mel.n_mels": 17},
        ["extractor=log_mel", "extractor.n_mels=17"],
    ):
        found = sertk.extract("compact", files=files[0], out=tmp_path / "x.npy", settings=settings)
        assert len(found.columns) == 17 == np.load(tmp_path / "x.npy").shape[1]
    recipe = sertk.Recipe(extractor="log_mel", model="tcn")
    whole = sertk.extract(recipe, files=files[0], out=tmp_path / "x.npy")
    assert whole["columns"] == whole.to_dict()["columns"]


def test_a_recipe_and_a_plugin_are_not_given_together(small_corpus: Path) -> None:
    recipe = sertk.Recipe(extractor="rms", model="tcn")
    with pytest.raises(sertk.SertkError, match="either a plugin or a recipe expected"):
        sertk.train(small_corpus, plugin="builtin", recipe=recipe)


def test_a_recipe_file_may_be_a_path(small_corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(sertk.SertkError, match="cannot read recipe"):
        sertk.train(small_corpus, recipe=tmp_path / "nowhere.toml")


# Options


@pytest.mark.parametrize(("function", "protocol"), [("train", "holdout"), ("crossval", "kfold:5")])
def test_the_signature_names_every_option(function: str, protocol: str) -> None:
    call = getattr(sertk, function)
    parameters = inspect.signature(call).parameters
    options = inspect.signature(sertk.TrainOptions).parameters
    own = {"train": {"fold"}, "crossval": {"quantize"}}[function] | {"callback"}
    assert set(parameters) == set(options) | own
    assert parameters["protocol"].default == protocol
    with pytest.raises(TypeError, match=rf"{function}\(\) has no argument 'epoch'; choose from"):
        call("corpus", epoch=3)


# Prediction


def test_a_run_loads_the_same_class_as_a_bundle(
    run: sertk.Run, bundle: Path, files: list[Path]
) -> None:
    models = [run.load(), sertk.load(run), sertk.load(run.path), sertk.load(bundle)]
    assert {type(model) for model in models} == {sertk.Model}
    assert len({model.labels for model in models}) == 1
    found = [model.predict(files[0]) for model in models]
    assert {one.label for one in found} == {found[0].label}
    assert all(isinstance(one, sertk.Prediction) for one in found)
    assert set(found[0].to_dict()) == {"file", "label", "probabilities", "uncertain", "windows"}


@pytest.mark.parametrize("which", ["run", "bundle"])
def test_samples_are_predicted_as_their_file(
    which: str, run: sertk.Run, bundle: Path, files: list[Path]
) -> None:
    model = sertk.load(run if which == "run" else bundle)
    expected = model.predict(files[0])
    samples, rate_hz = read(files[0])
    whole, _ = soundfile.read(files[0], dtype="int16")
    for given in (
        samples,
        samples.astype(np.float64),
        whole,
        samples[:, None],
        np.stack([samples, samples], axis=1),
    ):
        found = model.predict(given, rate_hz=rate_hz)
        assert found == replace(expected, file=None)
    assert model.predict(sertk.Audio(samples, rate_hz)) == replace(expected, file=None)
    first, second = model.predict([samples, str(files[0])], rate_hz=rate_hz)
    assert (first.file, second) == (None, expected)


def test_channels_are_averaged(bundle: Path, files: list[Path], tmp_path: Path) -> None:
    model = sertk.load(bundle)
    samples, rate_hz = read(files[0])
    both = np.stack([samples, 0.5 * samples[::-1]], axis=1)
    soundfile.write(tmp_path / "both.wav", both, rate_hz, subtype="FLOAT")
    of_file = model.predict(tmp_path / "both.wav")
    assert model.predict(both, rate_hz=rate_hz) == replace(of_file, file=None)


NO_SPEECH: tuple[tuple[Any, int | None, str], ...] = (
    (np.zeros(16000), None, "an array needs its sample rate"),
    (np.zeros(16000), 7, "rate_hz expects 1000 to 1000000, received 7"),
    (np.zeros((2, 16000)), 16000, r"\(N, channels\) expected, received \(2, 16000\)"),
    (np.zeros((1, 2, 3)), 16000, r"received \(1, 2, 3\)"),
    (np.zeros(16000, bool), 16000, "float or signed integer samples expected, received bool"),
    (np.zeros(16000), 16000, "'the audio' is silent"),
    (np.full(16000, np.nan), 16000, "not numbers"),
    (np.zeros(3), 16000, "too short"),
    ([0.1, 0.2], 16000, "a file or an array expected, received float"),
)


def test_an_array_that_cannot_be_speech_is_refused(bundle: Path) -> None:
    model = sertk.load(bundle)
    for samples, rate_hz, problem in NO_SPEECH:
        with pytest.raises(sertk.SertkError, match=problem):
            model.predict(samples, rate_hz=rate_hz)


def test_a_bad_file_raises_or_is_returned(
    run: sertk.Run, bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    bad = tmp_path / "bad.wav"
    bad.write_bytes(b"RIFF")
    for model in (run.load(), sertk.load(bundle)):
        with pytest.raises(sertk.AudioError, match=r"'bad\.wav' cannot be decoded"):
            model.predict(bad)
        with pytest.raises(sertk.AudioError, match=r"'bad\.wav' cannot be decoded"):
            model.predict([files[0], bad])
        good, failed = model.predict([files[0], bad], errors="return")
        assert isinstance(good, sertk.Prediction) and isinstance(failed, sertk.FailedPrediction)
        assert failed == model.predict(bad, errors="return")
        assert failed.to_dict() == {"file": str(bad), "error": failed.error}
        json.dumps(failed.to_dict())
        with pytest.raises(sertk.SertkError, match="errors expects 'raise' or 'return'"):
            model.predict(bad, errors="ignore")


def test_a_script_without_a_main_guard_may_use_workers(
    bundle: Path, files: list[Path], tmp_path: Path
) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import ser_toolkit as sertk\n"
        f"found = sertk.load({str(bundle)!r}).predict({[str(f) for f in files[:3]]!r}, workers=2)\n"
        "print([one.label for one in found])\n",
        "utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    expected = [one.label for one in sertk.load(bundle).predict(files[:3])]
    assert (done.stdout.strip(), done.stderr) == (str(expected), "")


# Evaluation


def test_a_model_evaluates(run: sertk.Run, bundle: Path, small_corpus: Path) -> None:
    for model in (run.load(), sertk.load(bundle)):
        found = model.evaluate(small_corpus)
        assert found["uar"] == found.uar == pytest.approx(run.metrics["uar"])
        assert found.protocol["hash"] == run.metrics["protocol"]["hash"]
        assert found.to_dict() == dict(found)
        assert json.loads(json.dumps(found.to_dict()))["counts"] == found["counts"]
        with pytest.raises(AttributeError, match="there is no 'war'; choose from"):
            found.war  # noqa: B018
    assert sertk.evaluate(bundle, small_corpus)["uar"] == found["uar"]


def test_nothing_is_parsed_or_warned_of_twice(bundle: Path, small_corpus: Path) -> None:
    """A profile of one call in a process of its own counts who was called how often."""
    code = (
        "import cProfile, json, pstats, ser_toolkit as sertk\n"
        "profile = cProfile.Profile()\n"
        f"profile.runcall(sertk.evaluate, {str(bundle)!r}, {str(small_corpus)!r})\n"
        "rows = pstats.Stats(profile).stats.items()\n"
        "names = ('parse_bundle', 'load_plugins')\n"
        "print(json.dumps({n: sum(v[1] for k, v in rows if k[2] == n) for n in names}))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == {"parse_bundle": 1, "load_plugins": 1}


def test_a_bundle_that_is_evaluated_again_loads_and_warns_once(
    bundle: Path, small_corpus: Path
) -> None:
    """The few plugins of the bundle are loaded with it, the others when data is to be read."""
    code = (
        "import sys, ser_toolkit as sertk\n"
        "model = sertk.load(sys.argv[1])\n"
        "few = {plugin.key for plugin in model.plugins.loaded}\n"
        "scores = [model.evaluate(sys.argv[2])['uar'] for _ in range(2)]\n"
        "assert few < {plugin.key for plugin in model.plugins.loaded} and scores[0] == scores[1]\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, bundle, small_corpus],
        env={**os.environ, "SERTK_PLUGINS": "sertk-corpora,nowhere"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.count("names 'nowhere', which is not installed") == 1


# Embeddings


def test_a_bundle_embeds_as_the_run(
    run: sertk.Run, bundle: Path, bundles: Path, files: list[Path]
) -> None:
    of_run = run.load().embed(files[:5])
    of_bundle = sertk.load(bundle).embed(files[:5])
    assert of_run.shape == of_bundle.shape and of_run.ndim == 2 and len(of_run) == 5
    assert of_run.dtype == of_bundle.dtype == np.float32
    np.testing.assert_allclose(of_bundle, of_run, atol=1e-4)
    of_int8 = sertk.load(next(bundles.glob("*int8*.sertk"))).embed(files[:5])
    distance = np.linalg.norm(of_int8 - of_run) / np.linalg.norm(of_run)
    assert of_int8.dtype == np.float32 and distance < 0.1


def test_an_embedding_is_what_the_last_layer_sees(run: sertk.Run, files: list[Path]) -> None:
    model = run.load()
    samples, rate_hz = read(files[0])
    one = model.embed(files[0])
    assert one.ndim == 1
    np.testing.assert_array_equal(one, model.embed(samples, rate_hz=rate_hz))
    inputs = model.classifier.inputs(sertk.read_audio(files[0]))
    kernel, bias = model.classifier.network.model.layers[-1].get_weights()
    logits = model.classifier.network.embed(inputs) @ kernel + bias
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(shares, model.classifier.network(inputs), atol=1e-5)
    with pytest.raises(sertk.SertkError, match="at least one clip"):
        model.embed([])


# Tables


def rows_of(table: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = table.to_dict("records") if hasattr(table, "columns") else table
    return rows


@pytest.mark.parametrize("with_pandas", [True, False])
def test_tables_are_frames_where_pandas_is(
    with_pandas: bool, run: sertk.Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    if with_pandas:
        pytest.importorskip("pandas")
    else:
        monkeypatch.setattr(tables, "importlib", _Without("pandas"))
    history, predictions, table = run.history, run.predictions, run.table
    assert hasattr(history, "columns") == hasattr(table, "columns") == with_pandas
    rows = rows_of(history)
    assert [row["epoch"] for row in rows] == [1, 2] and isinstance(rows[0]["val_loss"], float)
    rows = rows_of(predictions)
    labels = run.metrics["labels"]
    assert len(rows) == run.metrics["clips"] and rows[0]["predicted"] in labels
    assert all(sum(row[f"p_{x}"] for x in labels) == pytest.approx(1, abs=1e-4) for row in rows)
    rows = rows_of(table)
    assert [row["label"] for row in rows] == labels
    assert rows[0]["recall"] == run.metrics["per_class"][labels[0]]["recall"]
    assert run.metrics["uar"] == pytest.approx(np.mean([row["recall"] for row in rows]))


class _Without:
    """The module `importlib`, in an environment that lacks a package."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.util = self

    def find_spec(self, name: str) -> Any:
        return None if name == self._name else importlib.util.find_spec(name)


# The command line as a module


def test_python_dash_m_is_the_command_line() -> None:
    command = [sys.executable, "-m", "ser_toolkit", "--version"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert sertk.__version__ in done.stdout
    assert done.stderr == ""


def test_standard_library_sound_is_enough(bundle: Path, files: list[Path]) -> None:
    """Samples as `wave` gives them: integers, with the channels in the columns."""
    with wave.open(str(files[0])) as file:
        pcm = np.frombuffer(file.readframes(file.getnframes()), "<i2")
        samples = pcm.reshape(-1, file.getnchannels())
        found = sertk.load(bundle).predict(samples, rate_hz=file.getframerate())
    assert found.label == sertk.load(bundle).predict(files[0]).label


def test_the_card_names_the_corpora_and_no_place(bundle: Path, small_run: tuple[Any, Path]) -> None:
    from ser_toolkit.export.model_card import _renamed
    from ser_toolkit.runtime.bundle.file import parse_bundle

    content = bundle.read_bytes()
    assert "Corpora: voices." in parse_bundle(content).card
    assert str(small_run[1].parent).encode() not in content
    assert _renamed({"mapping": {"calm": "neutral"}}) == " (with calm as neutral)"
    assert _renamed({}) == ""
