"""Run training steps on the device: update, learning rate and weight average in one graph."""

from __future__ import annotations

from typing import Any

from ..contracts.recipe import Training
from ..data.batches import Batch
from ..metrics.scores import network_input
from .schedule import learning_rate_schedule

MOMENTUM_RAMP = 10


class Trainer:
    """A network with its optimizer and the running average of its weights.

    A step leaves everything on the device. Keras' own average (`use_ema`) covers trainable weights
    alone; this one has the statistics of batch normalisation too, which belong to them.

    Attributes:
        network: A plain Keras network; its `train_step` computes losses and updates.
        optimizer: Adam or AdamW.
        schedule: The learning rate of each step.
        average: The averaged weights, in the order of `network.weights`.
    """

    def __init__(self, network: Any, training: Training, steps: int) -> None:
        """Prepare to train `network`, within the strategy that it was built in.

        Args:
            network: Not compiled yet.
            training: Parameters of the training.
            steps: Number of batches per epoch.
        """
        import tensorflow as tf

        self.network = network
        self._momentum = training.ema_momentum
        self._strategy = network.distribute_strategy
        with self._strategy.scope():
            self.optimizer = _optimizer(training)
            _compile(network, self.optimizer, training)
            self.schedule = learning_rate_schedule(training, steps)
            self.average = [
                tf.Variable(weight, trainable=False, dtype=weight.dtype)
                for weight in network.weights
            ]
        graph = tf.autograph.experimental.do_not_convert(self._step)
        self._graph = tf.function(graph, reduce_retracing=True)

    def begin_epoch(self, rate_factor: float) -> None:
        """Reset the metrics and set the factor of the learning rate."""
        self.network.reset_metrics()
        self.schedule.factor.assign(rate_factor)

    def step(self, batch: Batch) -> None:
        """Train on one batch, which the replicas of a distributed training share."""
        values = (network_input(batch.inputs), batch.targets, batch.weights)
        self._graph(self._strategy.experimental_distribute_values_from_function(_share(values)))

    def metrics(self) -> dict[str, float]:
        """Return `loss` and `accuracy` over all steps since the epoch began."""
        return {name: float(value) for name, value in self.network.get_metrics_result().items()}

    @property
    def learning_rate(self) -> float:
        """Return the rate of the latest step."""
        return float(self.optimizer.learning_rate)

    def _step(self, values: Any) -> None:
        done = self.optimizer.iterations + 0
        # AdamW evaluates a schedule that it holds once per weight; here it is once per step.
        self.optimizer.learning_rate.assign(self.schedule(done))
        self._strategy.run(self.network.train_step, args=(values,))
        self._update_average(done)

    def _update_average(self, done: Any) -> None:
        """Move the average towards the weights.

        The momentum grows to its final value, so that the first weights are soon forgotten.
        """
        import tensorflow as tf

        count = tf.cast(done, tf.float64)
        highest = tf.constant(self._momentum, tf.float64)
        momentum = tf.minimum(highest, (1 + count) / (MOMENTUM_RAMP + count))
        for average, weight in zip(self.average, self.network.weights, strict=True):
            value = tf.convert_to_tensor(weight)
            if value.dtype.is_floating:
                old, new = tf.cast(momentum, value.dtype), tf.cast(1 - momentum, value.dtype)
                value = old * average + new * value
            average.assign(value)


def _share(values: Any) -> Any:
    """Return a function that gives each replica its examples of a batch."""
    import keras

    def share(context: Any) -> Any:
        first, every = context.replica_id_in_sync_group, context.num_replicas_in_sync
        return keras.tree.map_structure(lambda array: array[first::every], values)

    return share


def _optimizer(training: Training) -> Any:
    import keras

    if training.optimizer == "adam":
        return keras.optimizers.Adam(training.learning_rate)
    optimizer = keras.optimizers.AdamW(training.learning_rate, weight_decay=training.weight_decay)
    optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
    return optimizer


def _compile(network: Any, optimizer: Any, training: Training) -> None:
    import keras

    loss = keras.losses.CategoricalCrossentropy(label_smoothing=training.label_smoothing)
    accuracy = keras.metrics.CategoricalAccuracy("accuracy")
    network.compile(optimizer, loss, metrics=[accuracy], jit_compile=False)
    optimizer.build(network.trainable_variables)
