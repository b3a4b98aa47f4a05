"""What a training ends with: metrics of each subset, layers, predictions beside the truth."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..runtime.text import escape_control
from ..training.run_dir import RunDirectory
from .show import console, table

MOST_LAYERS = 40
PREDICTIONS = 5
LONGEST_FILE = 44

TRAINING = "training: during that epoch, with augmentation, dropout and label smoothing"
HEADS = ("", "clips", "accuracy %", "UAR %", "loss")
KINDS = ("total", "trainable")


def ending(run: RunDirectory) -> None:
    """Show accuracy and loss of the three subsets, the layers, the first and last predictions."""
    out = console()
    metrics = run.metrics
    with run.whole("history.csv") as path:
        kept = _kept(_rows(path), metrics["best_epoch"])
        out.print(subsets(metrics, kept))
    out.print(f"  {TRAINING}", style="dim", soft_wrap=True)
    _print_layers(run)
    predictions(run)


def _print_layers(run: RunDirectory) -> None:
    metrics = run.metrics
    # Runs of before the layers were in metrics.json have them as text alone.
    if "layers" not in metrics:
        with run.whole("model.txt") as path:
            console().print(path.read_text("utf-8"))
        return
    with run.whole("metrics.json"):
        console().print(layers(metrics["layers"]))
        totals = (f"{kind} parameters: {metrics['parameters'][kind]:,}" for kind in KINDS)
        console().print("  " + " · ".join(totals))


def predictions(run: RunDirectory) -> None:
    """Show the first and last predictions of a run or of a cross-validation."""
    with run.whole("predictions.csv") as path:
        console().print(prediction_table(_rows(path)))


def subsets(metrics: Mapping[str, Any], kept: Mapping[str, str]) -> Table:
    """Return accuracy and loss of the kept epoch beside those of the test subset."""
    clips = metrics["sides"]
    value = {key: float(kept[key]) for key in ("accuracy", "val_accuracy", "val_uar")}
    rows = [
        ("training", clips["train"], value["accuracy"], "", _loss(kept["loss"])),
        ("validation", clips["validation"], value["val_accuracy"], value["val_uar"],
         _loss(kept["val_loss"])),
        ("test", clips["test"], metrics["wa"], metrics["uar"], _loss(metrics["loss"])),
    ]  # fmt: skip
    title = f"Subsets (epoch {metrics['best_epoch']} of {metrics['epochs']} kept)"
    return table(title, HEADS, rows)


def layers(every: Sequence[Mapping[str, Any]]) -> Table:
    """Return a table of layers; of very many, those with parameters, or a summary by kind."""
    listed, title = every, f"Layers ({len(every)})"
    if len(every) > MOST_LAYERS:
        listed = [layer for layer in every if layer["parameters"]]
        title += f", {len(listed)} with parameters; model.txt has all"
    if len(listed) > MOST_LAYERS:
        return _by_kind(every)
    heads = ("layer", "kind", "output", "units", "parameters")
    rows = [
        (row["name"], row["kind"], row["output"], row["units"] or "", f"{row['parameters']:,}")
        for row in listed
    ]
    return table(title, heads, rows, left=3)


def _by_kind(every: Sequence[Mapping[str, Any]]) -> Table:
    rows = []
    for kind in dict.fromkeys(layer["kind"] for layer in every):
        counts = [layer["parameters"] for layer in every if layer["kind"] == kind]
        rows.append((kind, len(counts), f"{sum(counts):,}"))
    title = f"Layers ({len(every)}) by kind; model.txt has each"
    return table(title, ("kind", "layers", "parameters"), rows)


def prediction_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return the first and the last test clips: truth, prediction, its probability, a mark if
    wrong.
    """
    few = len(rows) <= 2 * PREDICTIONS
    cells = [_prediction_cells(row) for row in (rows if few else rows[:PREDICTIONS])]
    if not few:
        cells.append((f"… {len(rows) - 2 * PREDICTIONS} more", "", "", "", ""))
        cells += [_prediction_cells(row) for row in rows[-PREDICTIONS:]]
    heads = ("test clip", "truth", "predicted", "probability %", "")
    title = f"Predictions ({len(rows)}); predictions.csv has all"
    return table(title, heads, cells, left=3)


def _prediction_cells(row: Mapping[str, str]) -> tuple[Any, ...]:
    truth, predicted = row["emotion"], row["predicted"]
    mark = "" if truth == predicted else "wrong"
    name = escape_control(row["file"])
    short = name if len(name) <= LONGEST_FILE else f"…{name[1 - LONGEST_FILE :]}"
    return short, truth, predicted, float(row[f"p_{predicted}"]), mark


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _kept(history: Iterable[Mapping[str, str]], epoch: int) -> Mapping[str, str]:
    """Return the row of one epoch: the last one, where a resumed run wrote it twice."""
    found = [row for row in history if int(row["epoch"]) == epoch]
    if not found:
        raise ValueError(f"no epoch {epoch}")
    return found[-1]


def _loss(value: Any) -> str:
    return f"{float(value):.3f}"
