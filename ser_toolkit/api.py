"""The Python API, which the command line calls: six functions with keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import folds, inference, inspection, pipeline
from .listener import Listener
from .run import Run

Data = str | Path | Sequence[str | Path]


def _paths(data: Data) -> tuple[str, ...]:
    return tuple(map(str, [data] if isinstance(data, (str, Path)) else data))


def train(
    data: Data,
    *,
    plugin: str | None = None,
    recipe: str | None = None,
    reader: str | None = None,
    protocol: str = "holdout",
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int = 0,
    workers: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    fold: int = 1,
    listener: Listener | None = None,
) -> Run:
    """Train one fold of a protocol and test it on speakers that it never heard.

    `data` is a folder, a table, `"synthetic"`, or several of these. `recipe` is a name or a
    `.toml` file, `settings` are `"stage.field=value"` strings, `mapping` renames emotions.
    `workers` 0 means one process per core. Returns the run; raises SertkError for what a user
    can mend.
    """
    options = pipeline.Options(
        _paths(data), plugin, recipe, reader, protocol, tuple(emotions), mapping, tuple(settings),
        epochs, seed, workers,
    )  # fmt: skip
    return pipeline.train(options, Path(out) if out else None, resume, fold, listener)


def crossval(
    data: Data,
    *,
    plugin: str | None = None,
    recipe: str | None = None,
    reader: str | None = None,
    protocol: str = "kfold:5",
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int = 0,
    workers: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    listener: Listener | None = None,
) -> Run:
    """Train and test every fold of a protocol; figures are pooled and per fold. See `train`."""
    options = pipeline.Options(
        _paths(data), plugin, recipe, reader, protocol, tuple(emotions), mapping, tuple(settings),
        epochs, seed, workers,
    )  # fmt: skip
    return folds.crossval(options, Path(out) if out else None, resume, listener)


def evaluate(
    run: str | Path | Run,
    data: Data,
    *,
    reader: str | None = None,
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Figures of a run on clips that took no part in its training: its test side and new ones."""
    return inference.evaluate(
        _run(run), _paths(data), reader, tuple(emotions), mapping, listener or Listener()
    )


def predict(
    run: str | Path | Run, files: Data, *, listener: Listener | None = None
) -> list[dict[str, Any]]:
    """One dict per file: `file`, `emotion`, `probabilities`; or `file`, `error`."""
    paths = [Path(path) for path in _paths(files)]
    return inference.predict(_run(run), paths, listener or Listener())


def extract(
    recipe: str,
    *,
    files: Data = (),
    data: Data = (),
    out: str | Path,
    reader: str | None = None,
    settings: Sequence[str] = (),
    workers: int = 0,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """Features of files (`.npy`, `.npz`) or of a corpus (`.npz`, `.csv`); returns a summary."""
    return inference.extract(
        recipe, [Path(path) for path in _paths(files)], _paths(data), Path(out), reader,
        tuple(settings), workers, listener or Listener(),
    )  # fmt: skip


def inspect(
    file: str | Path,
    *,
    recipe: str | None = None,
    out: str | Path | None = None,
    play_dir: str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    listener: Listener | None = None,
) -> dict[str, Any]:
    """One recording in one picture (`out`, PNG), its augmented sounds in `play_dir`; its figures.

    Without a recipe, every installed augmenter is shown with its defaults.
    """
    return inspection.inspect(
        Path(file), recipe, Path(out) if out else None, Path(play_dir) if play_dir else None,
        tuple(settings), seed, listener or Listener(),
    )  # fmt: skip


def _run(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run(Path(run))
