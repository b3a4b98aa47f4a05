"""Everything that decides how a training goes on, in one file, replaced after every epoch."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .files import write_bytes
from .recipe import Training
from .runtime.errors import SertkError

Arrays = Sequence[np.ndarray[Any, Any]]
GROUPS = ("weights", "optimizer", "average", "best")


@dataclass(frozen=True)
class Checkpoint:
    """Weights, optimizer, weight average, best weights, and the state of the stopping rules."""

    weights: Arrays
    optimizer: Arrays
    average: Arrays
    best: Arrays
    number: int = 0
    smooth_loss: float | None = None
    best_loss: float = float("inf")
    best_epoch: int = 0
    waited: int = 0
    rate_factor: float = 1.0
    history: tuple[dict[str, Any], ...] = ()

    def over(self, training: Training) -> bool:
        """Whether all epochs are done or patience is at its end."""
        return self.number >= training.epochs or self.waited >= training.patience > 0

    def judged(self, row: dict[str, Any], training: Training) -> Checkpoint:
        """The state after an epoch's validation: best weights, patience, learning rate.

        What counts is the running mean of the validation loss: the clips of one or two speakers
        are few, and the luckiest single epoch is rarely the best network.
        """
        held = training.val_smoothing if self.smooth_loss is not None else 0.0
        smooth = held * (self.smooth_loss or 0.0) + (1 - held) * row["val_loss"]
        better = smooth < self.best_loss
        waited = 0 if better else self.waited + 1
        factor = self.rate_factor
        if training.schedule == "plateau" and waited and waited % training.plateau_patience == 0:
            factor = max(factor / 2, training.plateau_floor / training.learning_rate)
        state = replace(
            self,
            history=(*self.history, {**row, "best": int(better)}),
            smooth_loss=smooth,
            waited=waited,
            rate_factor=factor,
        )
        if not better:
            return state
        return replace(state, best=self.average, best_loss=smooth, best_epoch=row["epoch"])

    def write(self, path: Path) -> None:
        """Replace the file at `path`."""
        arrays = {
            f"{group}_{index:04d}": array
            for group in GROUPS
            for index, array in enumerate(getattr(self, group))
        }
        keys = (
            "number",
            "smooth_loss",
            "best_loss",
            "best_epoch",
            "waited",
            "rate_factor",
            "history",
        )
        meta = json.dumps({key: getattr(self, key) for key in keys})
        buffer = io.BytesIO()
        np.savez(buffer, meta=np.frombuffer(meta.encode(), np.uint8), **arrays)
        write_bytes(path, buffer.getvalue())

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """The stored state, or None where there is no file."""
        if not path.exists():
            return None
        try:
            with np.load(path, allow_pickle=False) as file:
                names = sorted(file.files)
                groups: dict[str, Any] = {
                    group: [file[name] for name in names if name.startswith(f"{group}_")]
                    for group in GROUPS
                }
                meta = json.loads(file["meta"].tobytes())
        except (OSError, ValueError, KeyError, EOFError) as error:
            raise SertkError(
                f"{path.name} is damaged ({error})", "Delete it to start the training again"
            ) from error
        meta["history"] = tuple(meta["history"])
        return cls(**groups, **meta)
