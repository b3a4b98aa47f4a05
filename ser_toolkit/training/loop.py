"""Train with Keras: early stopping on validation speakers, exact resumption."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..contracts.components import Utterance
from ..contracts.recipe import Training
from ..data.batches import Dataset, inverse_frequency, steps
from ..metrics.scores import Scores, network_scores, uar
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..utils.progress import Callback
from .checkpoint import Checkpoint
from .trainer import Trainer

if TYPE_CHECKING:
    import keras


@dataclass(frozen=True)
class Trained:
    """Result of a training; the network has the best weights."""

    network: keras.Model
    history: tuple[dict[str, Any], ...]
    best_epoch: int
    interrupted: bool


def fit(
    network: keras.Model,
    dataset: Dataset,
    train: Sequence[Utterance],
    validation: Sequence[Utterance],
    training: Training,
    seed: int,
    checkpoint: Path,
    callback: Callback,
) -> Trained:
    """Train `network` and leave the best averaged weights in it.

    An existing `checkpoint` file is continued, with the result that an uninterrupted run has.
    Ctrl-C after the first epoch ends the training early and keeps the best weights so far.

    Args:
        network: Not compiled yet; it is left compiled for training.
        dataset: Source of batches and windows.
        train: Clips to train on.
        validation: Clips by whose loss the epoch is chosen.
        training: Parameters of the training.
        seed: Seed of all random draws.
        checkpoint: File that is replaced after every epoch.
        callback: Receiver of every epoch's metrics.
    """
    loop = _Loop(network, dataset, tuple(train), tuple(validation), training, seed)
    state = Checkpoint.read(checkpoint)
    state = loop.restore(state) if state else loop.start()
    interrupted = False
    try:
        while not state.finished(training):
            state = loop.epoch(state)
            state.write(checkpoint)
            callback.epoch(state.history[-1], training.epochs)
    except KeyboardInterrupt:
        if not state.history:
            raise
        interrupted = True
        callback.warn(
            f"stopped by Ctrl-C after epoch {state.number}; the best epoch so far is kept"
        )
    _assign(network.weights, state.best)
    return Trained(network, state.history, state.best_epoch, interrupted)


class _Loop:
    def __init__(
        self,
        network: Any,
        dataset: Dataset,
        train: Sequence[Utterance],
        validation: Sequence[Utterance],
        training: Training,
        seed: int,
    ) -> None:
        self.network, self.dataset, self.training, self.seed = network, dataset, training, seed
        self.train, self.validation = tuple(train), tuple(validation)
        self.class_weights = _class_weights(self.train, dataset.labels, training)
        self.inputs = [dataset.windows(item) for item in self.validation]
        batches = steps(len(dataset.rows(self.train, training.crops)), training)
        self.trainer = Trainer(network, training, batches)

    def start(self) -> Checkpoint:
        """Return the state before the first epoch."""
        weights = _values(self.network.weights)
        optimizer = _values(self.trainer.optimizer.variables)
        return Checkpoint(weights=weights, optimizer=optimizer, average=weights, best=weights)

    def restore(self, state: Checkpoint) -> Checkpoint:
        """Put a stored state into network, optimizer and average."""
        optimizer = self.trainer.optimizer.variables
        _check_shapes("network", state.weights, self.network.weights)
        _check_shapes("optimizer", state.optimizer, optimizer)
        _assign(self.network.weights, state.weights)
        _assign(optimizer, state.optimizer)
        _assign(self.trainer.average, state.average)
        return state

    def epoch(self, state: Checkpoint) -> Checkpoint:
        """Train on all training clips once, then validate the averaged weights."""
        began = time.perf_counter()
        logs = self._train_epoch(state)
        weights, average = _values(self.network.weights), _values(self.trainer.average)
        _assign(self.network.weights, average)
        scores = network_scores(self.network, self.inputs, self.validation, self.dataset.labels)
        _assign(self.network.weights, weights)
        row = self._row(state, logs, scores, time.perf_counter() - began)
        optimizer = _values(self.trainer.optimizer.variables)
        trained = replace(
            state, weights=weights, optimizer=optimizer, average=average, number=state.number + 1
        )
        return trained.validated(row, self.training)

    def _train_epoch(self, state: Checkpoint) -> dict[str, float]:
        _reseed_dropout(self.network, self.seed, state.number)
        self.trainer.begin_epoch(state.rate_factor)
        settings = (self.class_weights, self.training, self.seed, state.number)
        for batch in self.dataset.epoch(self.train, *settings):
            self.trainer.step(batch)
        logs = self.trainer.metrics()
        if not np.isfinite(list(logs.values())).all():
            raise SertkError(
                f"the training loss of epoch {state.number + 1} is not a number",
                "Lower training.learning_rate",
            )
        return logs

    def _row(
        self, state: Checkpoint, logs: dict[str, float], scores: Scores, seconds: float
    ) -> dict[str, Any]:
        return {
            "epoch": state.number + 1,
            "loss": round(logs["loss"], 6),
            "accuracy": round(logs["accuracy"], 6),
            "val_loss": round(scores.loss, 6),
            "val_loss_se": round(scores.loss_se, 6),
            "val_accuracy": round(scores.accuracy, 6),
            "val_uar": round(uar(scores.confusion), 6),
            "learning_rate": float(f"{self.trainer.learning_rate:.6g}"),
            "seconds": round(seconds, 2),
        }


def _class_weights(
    utterances: Sequence[Utterance], labels: Sequence[str], training: Training
) -> F32:
    if training.class_weights:
        return inverse_frequency(utterances, labels)
    return np.ones(len(labels), np.float32)


def _check_shapes(
    name: str, stored: Sequence[np.ndarray[Any, Any]], variables: Sequence[Any]
) -> None:
    if [value.shape for value in stored] != [tuple(variable.shape) for variable in variables]:
        raise SertkError(
            f"the checkpoint holds another {name} than the recipe builds",
            "Resume with the recipe that the run was started with, or use a new --out",
        )


def _values(variables: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(variables: Sequence[Any], values: Sequence[np.ndarray[Any, Any]]) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)


def _reseed_dropout(network: Any, seed: int, number: int) -> None:
    """Seed random layers with (seed, epoch), so that a resumed run draws the same.

    Generators are what a network has as variables besides its weights; those of recurrent cells
    and of networks inside the network are among them.
    """
    weights = {id(variable) for variable in network.weights}
    states = [variable for variable in network.variables if id(variable) not in weights]
    words = np.random.default_rng([seed, number]).integers(0, 2**31, size=(len(states), 2))
    for state, word in zip(states, words, strict=True):
        state.assign(word.astype(state.dtype))
