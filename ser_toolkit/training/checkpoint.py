"""Store everything that decides how a training goes on, in one file per run."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.recipe import Training
from ..runtime.errors import SertkError
from ..utils.files import read_npz, write_npz

Arrays = Sequence[np.ndarray[Any, Any]]
GROUPS = ("weights", "optimizer", "average", "best")


@dataclass(frozen=True)
class Checkpoint:
    """Hold weights, optimizer, weight average, best weights and state of the stopping rules."""

    weights: Arrays
    optimizer: Arrays
    average: Arrays
    best: Arrays
    number: int = 0
    lowest_loss: float = float("inf")
    lowest_se: float = 0.0
    best_epoch: int = 0
    waited: int = 0
    rate_factor: float = 1.0
    history: tuple[dict[str, Any], ...] = ()

    def finished(self, training: Training) -> bool:
        """Say whether all epochs are done or patience is exhausted."""
        return self.number >= training.epochs or self.waited >= training.patience > 0

    def validated(self, row: dict[str, Any], training: Training) -> Checkpoint:
        """Return the state after an epoch's validation: best weights, patience, learning rate.

        The latest epoch whose validation loss lies within `tolerance_se` standard errors of the
        lowest is the best (the one-standard-error rule of Breiman et al. 1984): the clips of one
        or two speakers are few, and their luckiest epoch is rarely the best network.
        """
        lowest, error = self.lowest_loss, self.lowest_se
        if row["val_loss"] < lowest:
            lowest, error = row["val_loss"], row["val_loss_se"]
        is_best = row["val_loss"] <= lowest + training.tolerance_se * error
        waited = 0 if is_best else self.waited + 1
        factor = self.rate_factor
        if training.schedule == "plateau" and waited and waited % training.plateau_patience == 0:
            floor = min(factor, training.plateau_floor / training.learning_rate)
            factor = max(factor / 2, floor)
        state = replace(
            self,
            history=(*self.history, {**row, "best": int(is_best)}),
            lowest_loss=lowest,
            lowest_se=error,
            waited=waited,
            rate_factor=factor,
        )
        return replace(state, best=self.average, best_epoch=row["epoch"]) if is_best else state

    def write(self, path: Path) -> None:
        """Replace the file at `path`."""
        arrays = {
            f"{group}_{index:04d}": array
            for group in GROUPS
            for index, array in enumerate(getattr(self, group))
        }
        keys = [field.name for field in fields(self) if field.name not in GROUPS]
        meta = json.dumps({key: getattr(self, key) for key in keys})
        write_npz(path, {"meta": np.frombuffer(meta.encode(), np.uint8), **arrays})

    @classmethod
    def read(cls, path: Path) -> Checkpoint | None:
        """Return the stored state, None where there is no file. Raises SertkError if damaged."""
        if not path.exists():
            return None
        try:
            arrays = read_npz(path)
            groups: dict[str, Any] = {
                group: [arrays[name] for name in sorted(arrays) if name.startswith(f"{group}_")]
                for group in GROUPS
            }
            meta = json.loads(arrays["meta"].tobytes())
            return cls(**groups, **{**meta, "history": tuple(meta["history"])})
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise SertkError(
                f"{path.name} cannot be continued: {error}",
                f"Delete {path.name} to start the training again",
            ) from error
