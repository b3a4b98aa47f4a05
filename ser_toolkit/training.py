"""Training with Keras: early stopping on validation speakers, exact resumption."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from .checkpoint import Checkpoint
from .contracts import Utterance
from .dataset import Dataset, inverse_frequency, steps
from .recipe import Training
from .runtime.errors import SertkError
from .runtime.extractor import F32
from .scoring import Scores, fed, network_scores, uar
from .utils.progress import Callback

if TYPE_CHECKING:
    import keras

MOMENTUM_RAMP = 10


@dataclass(frozen=True)
class Trained:
    """The outcome of a training: best weights are in the network."""

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
    """
    loop = _Loop(network, dataset, tuple(train), tuple(validation), training, seed)
    state = Checkpoint.read(checkpoint)
    state = loop.restore(state) if state else loop.start()
    interrupted = False
    try:
        while not state.over(training):
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
    _assign(network, state.best)
    return Trained(network, state.history, state.best_epoch, interrupted)


@dataclass
class _Loop:
    network: Any
    dataset: Dataset
    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    training: Training
    seed: int

    def __post_init__(self) -> None:
        import keras

        settings = self.training
        kind = {"adam": keras.optimizers.Adam, "adamw": keras.optimizers.AdamW}[settings.optimizer]
        decay = {"weight_decay": settings.weight_decay} if settings.optimizer == "adamw" else {}
        self.optimizer = kind(settings.learning_rate, **decay)
        if decay:
            self.optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        loss = keras.losses.CategoricalCrossentropy(label_smoothing=settings.label_smoothing)
        self.network.compile(self.optimizer, loss, metrics=["accuracy"], jit_compile=False)
        self.optimizer.build(self.network.trainable_variables)
        self.class_weights = self._weights()
        self.steps = steps(len(self.dataset.rows(self.train, settings.crops)), settings)
        self.inputs = [self.dataset.windows(item) for item in self.validation]

    def _weights(self) -> F32:
        labels = self.dataset.labels
        if self.training.class_weights:
            return inverse_frequency(self.train, labels)
        return np.ones(len(labels), np.float32)

    def start(self) -> Checkpoint:
        """The state before the first epoch."""
        weights = _values(self.network.weights)
        optimizer = _values(self.optimizer.variables)
        return Checkpoint(weights=weights, optimizer=optimizer, average=weights, best=weights)

    def restore(self, state: Checkpoint) -> Checkpoint:
        """Put a stored state into network and optimizer."""
        for name, stored, here in (
            ("network", state.weights, self.network.weights),
            ("optimizer", state.optimizer, self.optimizer.variables),
        ):
            if [v.shape for v in stored] != [tuple(v.shape) for v in here]:
                raise SertkError(
                    f"the checkpoint holds another {name} than the recipe builds",
                    "Resume with the recipe that the run was started with, or use a new --out",
                )
        _assign(self.network, state.weights)
        for variable, value in zip(self.optimizer.variables, state.optimizer, strict=True):
            variable.assign(value)
        return state

    def epoch(self, state: Checkpoint) -> Checkpoint:
        """One pass over the training clips, then validation with the averaged weights."""
        began = time.perf_counter()
        _reseed_dropout(self.network, self.seed, state.number)
        average, logs = list(state.average), []
        for step, batch in enumerate(self._batches(state.number)):
            total = state.number * self.steps + step
            self.optimizer.learning_rate.assign(self._rate(total, state.rate_factor))
            feed = fed(batch.inputs)
            # Older Keras goes on counting from batch to batch, which no resumed run could.
            self.network.reset_metrics()
            logs.append(self.network.train_on_batch(feed, batch.targets, batch.weights))
            _update(average, self.network.weights, self._momentum(total))
        if not np.isfinite(logs).all():
            raise SertkError(
                f"the training loss of epoch {state.number + 1} is not a number",
                "Lower training.learning_rate",
            )
        raw = _values(self.network.weights)
        _assign(self.network, average)
        scores = network_scores(self.network, self.inputs, self.validation, self.dataset.labels)
        _assign(self.network, raw)
        row = self._row(state, np.mean(logs, axis=0), scores, time.perf_counter() - began)
        optimizer = _values(self.optimizer.variables)
        moved = replace(
            state, weights=raw, optimizer=optimizer, average=average, number=state.number + 1
        )
        return moved.judged(row, self.training)

    def _batches(self, number: int) -> Any:
        return self.dataset.epoch(self.train, self.class_weights, self.training, self.seed, number)

    def _rate(self, step: int, factor: float) -> float:
        settings = self.training
        warmup = settings.warmup_epochs * self.steps
        if step < warmup:
            return settings.learning_rate * (step + 1) / warmup
        if settings.schedule == "cosine":
            done = (step - warmup) / max(1, settings.epochs * self.steps - warmup)
            return settings.learning_rate * (0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * done)))
        return settings.learning_rate * factor

    def _momentum(self, step: int) -> float:
        """Grows to its final value, so that the first weights are soon forgotten."""
        return min(self.training.ema_momentum, (1 + step) / (MOMENTUM_RAMP + step))

    def _row(
        self, state: Checkpoint, logs: np.ndarray[Any, Any], scores: Scores, seconds: float
    ) -> dict[str, Any]:
        return {
            "epoch": state.number + 1,
            "loss": round(float(logs[0]), 6),
            "accuracy": round(float(logs[1]), 6),
            "val_loss": round(scores.loss, 6),
            "val_loss_se": round(scores.loss_se, 6),
            "val_accuracy": round(scores.accuracy, 6),
            "val_uar": round(uar(scores.confusion), 6),
            "learning_rate": float(f"{float(self.optimizer.learning_rate):.6g}"),
            "seconds": round(seconds, 2),
        }


def _values(variables: Sequence[Any]) -> list[np.ndarray[Any, Any]]:
    return [np.array(variable.numpy()) for variable in variables]


def _assign(network: Any, values: Sequence[np.ndarray[Any, Any]]) -> None:
    for variable, value in zip(network.weights, values, strict=True):
        variable.assign(value)


def _update(average: list[Any], variables: Sequence[Any], momentum: float) -> None:
    for index, variable in enumerate(variables):
        value = variable.numpy()
        average[index] = (momentum * average[index] + (1 - momentum) * value).astype(value.dtype)


def _reseed_dropout(network: Any, seed: int, number: int) -> None:
    """Random layers start each epoch from (seed, epoch), so that a resumed run draws the same.

    Generators are what a network has as variables besides its weights; those of recurrent cells
    and of networks inside the network are among them.
    """
    weights = {id(variable) for variable in network.weights}
    states = [variable for variable in network.variables if id(variable) not in weights]
    words = np.random.default_rng([seed, number]).integers(0, 2**31, size=(len(states), 2))
    for state, word in zip(states, words, strict=True):
        state.assign(word.astype(state.dtype))
