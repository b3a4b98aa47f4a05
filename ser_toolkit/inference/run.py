"""The run that `train` gives and users open: its files, its tables, and its model."""

from __future__ import annotations

from dataclasses import dataclass

from ..training.run_dir import RunDirectory
from .model import Model, load_run


@dataclass(frozen=True)
class Run(RunDirectory):
    """The directory of a finished training.

    Attributes:
        path: The folder.
    """

    def load(self) -> Model:
        """Open the network: what `load(path)` gives."""
        return load_run(self)
