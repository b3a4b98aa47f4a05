"""Set the learning rate of each step, by a Keras schedule that runs on the device."""

from __future__ import annotations

import math
from typing import Any

from ..contracts.recipe import Training

FINAL_SHARE = 0.01


def learning_rate_schedule(training: Training, steps: int) -> Any:
    """Return a Keras schedule of linear warm-up, then cosine decay or a constant rate.

    Its variable `factor` scales the rate after the warm-up; `plateau` halves it between epochs.
    All is float64: a rate that differs in its last bit leads to other weights.

    Args:
        training: The recipe's learning rate, schedule, warm-up and number of epochs.
        steps: Number of batches per epoch.
    """
    import keras
    from keras import ops

    highest, warmup = training.learning_rate, training.warmup_epochs * steps
    decay_steps = max(1, training.epochs * steps - warmup)

    class Schedule(keras.optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
        def __init__(self) -> None:
            self.factor = keras.Variable(
                1.0, dtype="float64", trainable=False, aggregation="only_first_replica"
            )

        def __call__(self, step: Any) -> Any:
            step = ops.cast(step, "float64")
            rate = highest * self.factor
            if training.schedule == "cosine":
                cosine = 0.5 * (1 + ops.cos(math.pi * ((step - warmup) / decay_steps)))
                rate = highest * (FINAL_SHARE + (1 - FINAL_SHARE) * cosine)
            if not warmup:
                return rate
            return ops.where(step < warmup, highest * (step + 1) / warmup, rate)

        def get_config(self) -> dict[str, Any]:
            return {"training": training, "steps": steps}

    return Schedule()
