"""A run directory: what training leaves, and how it is read."""

from __future__ import annotations

import contextlib
import csv
import itertools
import json
import shlex
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import Utterance
from ..contracts.recipe import Recipe
from ..metrics.scores import Scores
from ..plugins.assemble import Assembly, assemble
from ..plugins.assets import Assets
from ..plugins.registry import Plugins
from ..runtime.audio.channels import MIX
from ..runtime.errors import SertkError
from ..runtime.features.normalizer import normalizers_from_bytes
from ..runtime.inference.classifier import Classifier
from ..utils.files import DAMAGED, check_writable, existing
from ..utils.tables import as_table, parse_number
from .backend import load_network
from .keras_network import KerasNetwork

NETWORK = "model.keras"
PLAN = ("recipe.toml", "split.json")
EARLY = (*PLAN, "run.toml")
PARTS = ("recipe.toml", "adapter.npz", "split.json", NETWORK)


@dataclass(frozen=True)
class RunDirectory:
    """The directory of a finished training."""

    path: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", Path(self.path))

    def file(self, name: str) -> Path:
        """Return a file that must be there."""
        path = self.path / name
        if path.is_file():
            return path
        if not self.path.is_dir():
            raise SertkError(f"there is no run directory '{self.path}'", "Check the path")
        if (self.path / "fold-01").is_dir():
            raise SertkError(
                f"'{self.path}' is a cross-validation; it has no {name}",
                f"Give one of its folds, such as {self.path / 'fold-01'}",
            )
        raise SertkError(
            f"'{self.path}' is not a finished run: it has no {name}",
            f"{self._way_on}, or give the folder of another run",
        )

    @property
    def _way_on(self) -> str:
        names = {path.name for path in self.path.iterdir()}
        if "run.toml" in names and "metrics.json" not in names:
            return f"Run `sertk resume {shlex.quote(str(self.path))}`"
        return "Finish it with the same command and --resume"

    @contextlib.contextmanager
    def whole(self, name: str) -> Iterator[Path]:
        """Open a file that must be there; what reading it raises becomes one line."""
        path = self.file(name)
        try:
            yield path
        except (*DAMAGED, TypeError) as error:
            raise SertkError(
                f"{name} in '{self.path}' is damaged ({error!r})",
                "Train again, or use another copy of the run",
            ) from error

    def json(self, name: str) -> dict[str, Any]:
        """Return the content of metrics.json or split.json."""
        with self.whole(name) as path:
            content = json.loads(path.read_text("utf-8"))
            if not isinstance(content, dict):
                raise TypeError("not a table")
            return content

    def check(self) -> None:
        """Refuse a directory that cannot predict, before time is spent on data."""
        for name in PARTS:
            self.file(name)

    @property
    def metrics(self) -> dict[str, Any]:
        """Return the metrics of the run."""
        return self.json("metrics.json")

    @property
    def channel(self) -> str:
        """Return the channel of the files that the run was trained on."""
        return str(self.metrics.get("channel", MIX))

    @property
    def finished(self) -> bool:
        """Say whether the work ran to its end here, uninterrupted."""
        return (self.path / "metrics.json").is_file() and not self.metrics.get("interrupted")

    @property
    def labels(self) -> tuple[str, ...]:
        """Return the emotions of the network, in its order."""
        with self.whole("split.json"):
            return tuple(self.json("split.json")["labels"])

    @property
    def history(self) -> Any:
        """Return the epochs, one row each: a pandas frame, or dicts where pandas is missing."""
        return as_table([_numbers(row, tuple(row)) for row in self._rows("history.csv")])

    @property
    def predictions(self) -> Any:
        """Return the test clips with truth and prediction: a pandas frame, or dicts without it."""
        rows = self._rows("predictions.csv")
        shares = [name for name in (rows[0] if rows else ()) if name.startswith("p_")]
        return as_table([_numbers(row, shares) for row in rows])

    @property
    def table(self) -> Any:
        """Return precision, recall, F1 and support of each emotion: a pandas frame, or dicts."""
        per_class = self.metrics["per_class"]
        return as_table([{"label": label, **row} for label, row in per_class.items()])

    def classifier(self, plugins: Plugins) -> RunClassifier:
        """Return what predicts, with the code that trained.

        Raises SertkError for extractors of another version than the run was trained with.
        """
        self.check()
        with self.whole("recipe.toml") as path:
            recipe = Recipe.from_toml(path.read_text("utf-8"), path.name)
            # Augmenters are for training: one that is gone by now keeps no run from predicting.
            assembly = assemble(replace(recipe, augmenter=()), plugins)
        with self.whole("adapter.npz") as path:
            normalizers = normalizers_from_bytes(path.read_bytes())
        return RunClassifier(
            recipe.name,
            self.labels,
            assembly.extractor.prepare(Assets((self.path / "assets",)).load),
            recipe.window,
            normalizers,
            network=KerasNetwork(load_network(self.file(NETWORK))),
            uncertain_below=float(self.metrics.get("uncertain_below", 0.0)),
            assembly=assembly,
        )

    def _rows(self, name: str) -> list[dict[str, str]]:
        with self.whole(name) as path, path.open(encoding="utf-8", newline="") as file:
            return list(csv.DictReader(file))


def _numbers(row: Mapping[str, str], names: Sequence[str]) -> dict[str, Any]:
    """Return a row with the cells of these names as numbers; an empty cell is None."""
    return {key: parse_number(cell) if key in names else cell for key, cell in row.items()}


def open_folder(chosen: Path | None, name: str, resume: bool) -> Path:
    """Make the run directory and return it; one that holds something is used only to resume.

    Args:
        chosen: Where it is to be; None makes a new `runs/NAME-TIME`.
        name: Of the recipe.
        resume: Whether an earlier run may be there.
    """
    if chosen is None:
        return _new_folder(f"{name}-{time.strftime('%Y%m%d-%H%M%S')}")
    check_folder(chosen, resume)
    chosen.mkdir(parents=True, exist_ok=True)
    return chosen


def _new_folder(name: str) -> Path:
    """Make runs/NAME, or with -2, -3, … where runs of the same second have taken it."""
    for number in itertools.count(1):
        folder = Path("runs") / (name if number == 1 else f"{name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            continue
        return folder
    raise AssertionError


def check_folder(folder: Path | None, resume: bool) -> None:
    """Refuse a run directory before hours of reading and not after them."""
    if folder is None:
        if resume:
            raise SertkError(
                "--resume expects --out",
                "Add --out with the folder of the run, or type `sertk resume RUN`",
            )
        check_writable(Path("runs"))
        return
    there = existing(folder)
    if not there.is_dir():
        raise SertkError(f"--out expects a folder, '{there}' is a file", "Choose another --out")
    if folder.is_dir() and not resume and _never_trained(folder):
        for name in EARLY:
            (folder / name).unlink(missing_ok=True)
    elif folder.is_dir() and any(folder.iterdir()) and not resume:
        raise SertkError(
            f"'{folder}' is not empty", "Add --resume to go on with it, or choose another --out"
        )
    check_writable(folder)


def _never_trained(folder: Path) -> bool:
    """Say whether a folder has the plan of a run that ended before its first epoch, and no more."""
    names = {path.name for path in folder.iterdir()}
    return set(PLAN) <= names and names <= {*EARLY, "log.txt", "assets"}


@dataclass(frozen=True, eq=False, kw_only=True)
class RunClassifier(Classifier):
    """The classifier of a run, with the components of its recipe."""

    assembly: Assembly
    network: KerasNetwork


def read_scores(path: Path, utterances: Sequence[Utterance], labels: tuple[str, ...]) -> Scores:
    """Return the scores that a run wrote to predictions.csv: a row per test clip, in their order.

    Not by name, which clips of several corpora may share.

    Args:
        path: predictions.csv, or that of a quantization mode.
        utterances: The test clips, in the order in which the run scored them.
        labels: The classes, in the order of the network's outputs.

    Raises:
        SertkError: Where the rows are those of other clips.
    """
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    names = [(row.get("file"), row.get("emotion")) for row in rows]
    try:
        if names != [(item.name, item.emotion) for item in utterances]:
            raise ValueError(f"{len(rows)} rows, and not those of {len(utterances)} test clips")
        values = [[float(row[f"p_{label}"]) for label in labels] for row in rows]
    except (KeyError, ValueError) as error:
        raise SertkError(
            f"{path.parent.name}/{path.name} does not fit the data ({error})",
            "Use a new --out folder",
        ) from error
    truth = np.array([labels.index(item.emotion) for item in utterances], np.int64)
    return Scores(tuple(utterances), labels, truth, np.array(values, np.float32))
