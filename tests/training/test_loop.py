"""Training with Keras: same seed, same bytes; killed and resumed, the same bytes again."""

from __future__ import annotations

import csv
import itertools
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.components import Utterance
from ser_toolkit.contracts.recipe import Training
from ser_toolkit.data.batches import Dataset, fit_normalizers, inverse_frequency
from ser_toolkit.data.feature_store import Features, Store
from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import Stack
from ser_toolkit.runtime.features.spectral import Rms, Zcr
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.testing import relative_error
from ser_toolkit.training.backend import prepare_backend
from ser_toolkit.training.checkpoint import Checkpoint
from ser_toolkit.training.loop import Trained, fit
from ser_toolkit.utils.progress import Callback

LABELS = ("anger", "boredom", "fear", "happiness", "neutral", "sadness")
QUICK = Training(
    epochs=4, batch_size=6, warmup_epochs=1, copies=0, learning_rate=0.02, tolerance_se=0
)
Fit = Callable[..., Trained]


def no_assets(asset: Asset) -> bytes:
    raise AssertionError(f"{asset.name} was asked for")


def quick(**changes: Any) -> Training:
    import dataclasses

    return dataclasses.replace(QUICK, **changes)


def dense(dropout: float = 0.0) -> Any:
    from keras import Input, Model, layers

    start = Input((30, 2), name="frames")
    x = layers.Conv1D(8, 3)(start)
    x = layers.ReLU()(layers.BatchNormalization()(x))
    x = layers.Dropout(dropout)(layers.GlobalAveragePooling1D()(x))
    return Model(start, layers.Dense(6, activation="softmax")(x))


def recurrent() -> Any:
    """Random layers inside a cell, and inside a network inside the network."""
    from keras import Input, Model, Sequential, layers

    start = Input((30, 2), name="frames")
    x = layers.LSTM(4, dropout=0.3, recurrent_dropout=0.3)(start)
    inner = Sequential([layers.Dense(5), layers.Dropout(0.4), layers.GaussianNoise(0.1)])
    return Model(start, layers.Dense(6, activation="softmax")(inner(x)))


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory, utterances: tuple[Utterance, ...]) -> Dataset:
    store = Store(tmp_path_factory.mktemp("features"))
    wanted = Features(Stack((Zcr(), Rms())), Window(30, 15), (), 0, no_assets)
    return Dataset(store, wanted, fit_normalizers(store, wanted, utterances[:12]), LABELS)


@pytest.fixture
def train(tmp_path: Path, dataset: Dataset, utterances: tuple[Utterance, ...]) -> Fit:
    """Trains a new network on one speaker and validates on the other."""
    numbers = itertools.count()

    def train(
        training: Training = QUICK,
        seed: int = 0,
        build: Callable[[], Any] = dense,
        checkpoint: Path | None = None,
        callback: Callback | None = None,
    ) -> Trained:
        prepare_backend(seed)
        path = checkpoint or tmp_path / f"{next(numbers)}.npz"
        sides = (utterances[:12], utterances[12:])
        return fit(build(), dataset, *sides, training, seed, path, callback or Callback())

    return train


def weights(trained: Trained) -> bytes:
    return b"".join(array.tobytes() for array in trained.network.get_weights())


def timeless(history: Any) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


class Stop(Callback):
    """Presses Ctrl-C after an epoch."""

    def __init__(self, after: int) -> None:
        self._after = after
        self.warnings: list[str] = []

    def epoch(self, row: Mapping[str, Any], epochs: int) -> None:
        if row["epoch"] == self._after:
            raise KeyboardInterrupt

    def warn(self, text: str, details: Any = ()) -> None:
        self.warnings.append(text)


def test_the_same_seed_gives_the_same_bytes_and_another_does_not(train: Fit) -> None:
    def build() -> Any:
        return dense(dropout=0.4)

    first, second, other = (train(seed=seed, build=build) for seed in (5, 5, 6))
    assert weights(first) == weights(second)
    assert timeless(first.history) == timeless(second.history)
    assert weights(other) != weights(first)
    assert len(first.history) == 4


@pytest.mark.parametrize(
    "build", [lambda: dense(dropout=0.4), pytest.param(recurrent, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("schedule", ["cosine", pytest.param("plateau", marks=pytest.mark.slow)])
def test_stopped_and_resumed_is_as_if_never_stopped(
    schedule: Any, build: Callable[[], Any], train: Fit, tmp_path: Path
) -> None:
    training = quick(schedule=schedule, plateau_patience=1)
    whole = train(training, build=build)
    path, callback = tmp_path / "kept.npz", Stop(after=2)
    stopped = train(training, build=build, checkpoint=path, callback=callback)
    assert stopped.interrupted
    assert len(stopped.history) == 2
    assert callback.warnings == ["stopped by Ctrl-C after epoch 2; the best epoch so far is kept"]
    resumed = train(training, build=build, checkpoint=path)
    assert not resumed.interrupted
    assert timeless(resumed.history) == timeless(whole.history)
    assert weights(resumed) == weights(whole)


def test_the_weights_kept_are_those_of_the_best_epoch(train: Fit) -> None:
    training = quick(schedule="constant", epochs=10, learning_rate=0.3, ema_momentum=0.0)
    long = train(training)
    losses = [row["val_loss"] for row in long.history]
    best = long.best_epoch
    assert best == 1 + int(np.argmin(losses))
    assert best < 10
    short = train(quick(schedule="constant", epochs=best, learning_rate=0.3, ema_momentum=0.0))
    assert short.best_epoch == best
    assert weights(short) == weights(long)


def test_the_kept_network_has_the_loss_of_its_epoch(
    train: Fit, dataset: Dataset, utterances: tuple[Utterance, ...]
) -> None:
    """Computed again here, window by window, with the network that `fit` leaves."""
    trained = train(quick(epochs=6))
    losses = []
    for item in utterances[12:]:
        scores = np.asarray(trained.network(dataset.windows(item)["frames"])).mean(axis=0)
        losses.append(-math.log(scores[LABELS.index(item.emotion)]))
    row = trained.history[trained.best_epoch - 1]
    assert row["val_loss"] == pytest.approx(np.mean(losses), abs=2e-6)
    error = np.std(losses, ddof=1) / math.sqrt(len(losses))
    assert row["val_loss_se"] == pytest.approx(error, abs=2e-6)


def test_patience_ends_the_training(train: Fit) -> None:
    training = quick(
        schedule="constant", epochs=40, learning_rate=0.5, patience=3, ema_momentum=0.5
    )
    trained = train(training)
    losses = [row["val_loss"] for row in trained.history]
    assert len(losses) < 40
    assert len(losses) == trained.best_epoch + 3
    assert min(losses) == losses[trained.best_epoch - 1] < min(losses[-3:])
    assert not trained.interrupted


def test_the_cosine_starts_after_the_warmup_and_ends_near_zero(train: Fit) -> None:
    training = quick(epochs=6, warmup_epochs=2, batch_size=5, learning_rate=0.01)
    steps, total = 2, 12  # 12 clips in batches of 5
    rates = [row["learning_rate"] for row in train(training).history]
    expected = []
    for last in range(steps - 1, total, steps):
        if last < 2 * steps:
            expected.append(0.01 * (last + 1) / (2 * steps))
        else:
            share = (last - 2 * steps) / (total - 2 * steps)
            expected.append(0.01 * (0.01 + 0.99 * (1 + math.cos(math.pi * share)) / 2))
    np.testing.assert_allclose(rates, expected, rtol=1e-5)


def test_the_plateau_follows_the_losses(train: Fit) -> None:
    training = quick(
        schedule="plateau",
        plateau_patience=2,
        plateau_floor=0.06,
        epochs=14,
        warmup_epochs=0,
        learning_rate=0.4,
        patience=0,
        ema_momentum=0.0,
    )
    history = train(training).history
    rate, lowest, waited, expected = 0.4, math.inf, 0, []
    for row in history:
        expected.append(rate)
        waited = 0 if row["val_loss"] <= lowest else waited + 1
        lowest = min(lowest, row["val_loss"])
        if waited and waited % 2 == 0:
            rate = max(rate / 2, 0.06)
    assert len(history) == 14
    assert len(set(expected)) > 1
    np.testing.assert_allclose([row["learning_rate"] for row in history], expected, rtol=1e-5)


@pytest.mark.parametrize("momentum", [0.0, 0.3, 0.99])
def test_the_kept_weights_are_an_average_over_steps(
    momentum: float, train: Fit, dataset: Dataset, utterances: tuple[Utterance, ...]
) -> None:
    """Against a loop that keeps all weights and averages them afterwards."""
    import keras

    training = quick(
        epochs=2, batch_size=2, schedule="constant", ema_momentum=momentum, tolerance_se=1e9
    )
    trained = train(training)
    prepare_backend(0)
    network = dense()
    optimizer = keras.optimizers.AdamW(training.learning_rate, weight_decay=0.01)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    network.compile(optimizer, keras.losses.CategoricalCrossentropy(label_smoothing=0.1))
    visited = [network.get_weights()]
    balance = inverse_frequency(utterances[:12], LABELS)
    epochs = [dataset.epoch(utterances[:12], balance, training, 0, number) for number in (0, 1)]
    for step, batch in enumerate(itertools.chain(*epochs)):
        optimizer.learning_rate.assign(training.learning_rate * min(1, (step + 1) / 6))
        network.train_on_batch(batch.inputs["frames"], batch.targets, batch.weights)
        visited.append(network.get_weights())
    shares = [min(momentum, (1 + step) / (10 + step)) for step in range(12)]
    parts = [math.prod(shares)]
    parts += [(1 - shares[i]) * math.prod(shares[i + 1 :]) for i in range(12)]
    assert sum(parts) == pytest.approx(1)
    assert trained.best_epoch == 2
    for index, kept in enumerate(trained.network.get_weights()):
        expected = sum(part * step[index] for part, step in zip(parts, visited, strict=True))
        assert relative_error(np.ravel(kept), np.ravel(expected)) <= 1e-4


def test_weight_decay_leaves_biases_and_normalisation_alone(train: Fit) -> None:
    """After one step, two trainings differ by rate * decay * weight, and only in kernels."""
    one_step = {"epochs": 1, "batch_size": 12, "warmup_epochs": 0, "ema_momentum": 0.0}
    still = train(quick(**one_step, weight_decay=0.0)).network
    decayed = train(quick(**one_step, weight_decay=0.5)).network
    prepare_backend(0)
    initial = dense().get_weights()
    kinds = []
    for before, free, held in zip(initial, still.weights, decayed.weights, strict=True):
        lost = free.numpy() - held.numpy()
        wanted = 0.02 * 0.5 * before if free.name == "kernel" else np.zeros_like(before)
        np.testing.assert_allclose(lost, wanted, atol=1e-7)
        kinds.append(free.name)
    assert {"kernel", "bias", "gamma", "beta"} <= set(kinds)


def test_class_weights_and_their_absence_give_other_losses(
    dataset: Dataset, utterances: tuple[Utterance, ...], tmp_path: Path
) -> None:
    def first_loss(name: str, class_weights: bool) -> float:
        prepare_backend(0)
        training = quick(epochs=1, class_weights=class_weights, batch_size=99, label_smoothing=0)
        sides = (utterances[1:12], utterances[12:])
        path = tmp_path / f"{name}.npz"
        trained = fit(dense(), dataset, *sides, training, 0, path, Callback())
        return float(trained.history[0]["loss"])

    assert first_loss("with", True) != first_loss("without", False)


def test_ctrl_c_before_the_first_epoch_is_over_is_a_ctrl_c(train: Fit, tmp_path: Path) -> None:
    def build() -> Any:
        network = dense()
        network.train_step = _interrupt
        return network

    path = tmp_path / "none.npz"
    with pytest.raises(KeyboardInterrupt):
        train(build=build, checkpoint=path)
    assert not path.exists()


def _interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_rate_that_explodes_is_an_error(train: Fit) -> None:
    with pytest.raises(SertkError, match="training loss of epoch 1 is not a number") as caught:
        train(quick(learning_rate=1e30, optimizer="adam", warmup_epochs=0, epochs=1, batch_size=2))
    assert caught.value.todo == "Lower training.learning_rate"


@pytest.mark.parametrize(
    ("other", "what"),
    [({"build": recurrent}, "network"), ({"training": quick(optimizer="adam")}, None)],
)
def test_a_checkpoint_of_another_network_is_refused(
    other: dict[str, Any], what: str | None, train: Fit, tmp_path: Path
) -> None:
    path = tmp_path / "kept.npz"
    train(checkpoint=path, callback=Stop(after=1))
    if what is None:  # Adam and AdamW keep the same variables
        train(checkpoint=path, **other)
        return
    with pytest.raises(SertkError, match=f"holds another {what} than the recipe builds"):
        train(checkpoint=path, **other)


# The real command, killed.

SMALL = ["model.channels=16", "training.copies=1", "training.batch_size=12"]
COSINE = ["training.learning_rate=0.01"]
PLATEAU = [
    "training.schedule=plateau",
    "training.plateau_patience=4",
    "training.plateau_floor=0.01",
    "training.patience=12",
    "training.crops=3",
    "training.tolerance_se=0",
    "training.ema_momentum=0.9",
    "training.learning_rate=0.4",
    "model.dropout=0.5",
]
KINDS = {"cosine": (30, COSINE), "plateau": (200, PLATEAU)}


def command(kind: str, data: Path, out: Path) -> list[Any]:
    epochs, chosen = KINDS[kind]
    settings = [part for setting in (*SMALL, *chosen) for part in ("--set", setting)]
    common = ("--seed", 3, "--workers", 1, "--epochs", epochs)
    return ["train", "--data", data, "--out", out, *common, *settings]


def rows(out: Path) -> list[dict[str, str]]:
    try:
        with (out / "history.csv").open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))
    except FileNotFoundError:
        return []


def best_of(history: list[dict[str, str]]) -> int:
    return max(int(row["epoch"]) for row in history if row["best"] == "1")


def stored_weights(out: Path) -> list[bytes]:
    from ser_toolkit.training.backend import load_network

    return [array.tobytes() for array in load_network(out / "model.keras").get_weights()]


def stop_after(epochs: int, process: Any, out: Path, how: signal.Signals) -> None:
    """Send a signal as soon as so many epochs are over."""
    while len(rows(out)) < epochs and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(how)
    process.wait()


@pytest.fixture(scope="module")
def whole(
    small_corpus: Path, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[str], Path]]:
    """Runs of the command that nobody interrupted, one per kind."""
    import os
    import subprocess
    import sys

    made: dict[str, Path] = {}

    def run(kind: str) -> Path:
        if kind not in made:
            out = tmp_path_factory.mktemp("whole") / kind
            source = "from ser_toolkit.cli import main; main()"
            arguments = map(str, command(kind, small_corpus, out))
            env = {**os.environ, "SERTK_CACHE": str(cache)}
            subprocess.run(
                [sys.executable, "-c", source, *arguments], check=True, env=env, capture_output=True
            )
            made[kind] = out
        return made[kind]

    yield run


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_killed_and_resumed_gives_the_bytes_of_an_uninterrupted_run(
    kind: str,
    whole: Callable[[str], Path],
    start: Callable[..., Any],
    small_corpus: Path,
    tmp_path: Path,
) -> None:
    expected, out = whole(kind), tmp_path / "killed"
    arguments = command(kind, small_corpus, out)
    process = start(*arguments)
    after = 4 if kind == "cosine" else best_of(rows(expected)) + 3
    stop_after(after, process, out, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    state = Checkpoint.read(out / "checkpoint.npz")
    assert state is not None
    assert after <= state.number < len(rows(expected))
    assert (kind == "cosine") or state.waited >= 3
    assert not (out / "metrics.json").exists()
    resumed = start(*arguments, "--resume")
    assert resumed.wait() == 0
    assert timeless(rows(out)) == timeless(rows(expected))
    assert stored_weights(out) == stored_weights(expected)
    for name in ("predictions.csv", "adapter.npz", "split.json", "recipe.toml", "model.txt"):
        assert (out / name).read_bytes() == (expected / name).read_bytes(), name
    assert not (out / "checkpoint.npz").exists()


@pytest.mark.slow
def test_the_plateau_run_ended_early_with_a_lower_rate(whole: Callable[[str], Path]) -> None:
    """Otherwise the comparison above would say less than it seems to."""
    history = rows(whole("plateau"))
    assert len(history) == best_of(history) + 12 < 200
    assert len({row["learning_rate"] for row in history[2:]}) >= 3


@pytest.mark.slow
def test_ctrl_c_leaves_a_usable_run_that_can_be_resumed(
    whole: Callable[[str], Path],
    start: Callable[..., Any],
    sertk: Callable[..., Any],
    small_corpus: Path,
    tmp_path: Path,
) -> None:
    import json

    expected, out = whole("cosine"), tmp_path / "stopped"
    arguments = command("cosine", small_corpus, out)
    process = start(*arguments)
    stop_after(3, process, out, signal.SIGINT)
    assert process.returncode == 0, (tmp_path / "output.txt").read_text("utf-8")
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["interrupted"] is True
    assert 3 <= metrics["epochs"] == len(rows(out)) < 30
    wav = next(small_corpus.rglob("*.wav"))
    predicted = sertk("predict", out, wav, "--json")
    assert predicted.returncode == 0, predicted.stderr
    assert json.loads(predicted.stdout)["label"] in metrics["labels"]
    resumed = start(*arguments, "--resume")
    assert resumed.wait() == 0
    metrics = json.loads((out / "metrics.json").read_text("utf-8"))
    assert metrics["interrupted"] is False
    assert timeless(rows(out)) == timeless(rows(expected))
    assert stored_weights(out) == stored_weights(expected)
