"""What a training ends with: figures of each side, layers, predictions beside the truth."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rich.table import Table

from ..training.run_dir import Run
from .show import console, table

MOST_LAYERS = 40
PREDICTIONS = 5
LONGEST_FILE = 44
LAYER = re.compile(r"(.+?) +(\w+) +(\(.*\)|None) +(\d*) +([\d,]+)")
TRAINING = "training: during that epoch, with augmentation, dropout and label smoothing"
HEADS = ("", "clips", "accuracy %", "UAR %", "loss")


@dataclass(frozen=True)
class Layer:
    """A line of model.txt."""

    name: str
    kind: str
    output: str
    units: str
    parameters: int


def ending(run: Run) -> None:
    """Show accuracy and loss of the three subsets, the layers, the first and last predictions."""
    out = console()
    metrics = run.metrics
    with run.whole("history.csv") as path:
        kept = _kept(_rows(path.read_text("utf-8")), metrics["best_epoch"])
        out.print(sides(metrics, kept))
    out.print(f"  {TRAINING}", style="dim", soft_wrap=True)
    with run.whole("model.txt") as path:
        out.print(layers(path.read_text("utf-8")))
        out.print("  " + " · ".join(_totals(path.read_text("utf-8"))))
    predictions(run)


def predictions(run: Run) -> None:
    """Show the first and last predictions of a run or of a cross-validation."""
    with run.whole("predictions.csv") as path:
        console().print(prediction_table(_rows(path.read_text("utf-8"))))


def sides(metrics: Mapping[str, Any], kept: Mapping[str, str]) -> Table:
    """Return accuracy and loss of the kept epoch beside those of the test side."""
    clips = metrics["sides"]
    value = {key: float(kept[key]) for key in ("accuracy", "val_accuracy", "val_uar")}
    rows = [
        ("training", clips["train"], value["accuracy"], "", _loss(kept["loss"])),
        ("validation", clips["validation"], value["val_accuracy"], value["val_uar"],
         _loss(kept["val_loss"])),
        ("test", clips["test"], metrics["wa"], metrics["uar"], _loss(metrics["loss"])),
    ]  # fmt: skip
    title = f"Sides (epoch {metrics['best_epoch']} of {metrics['epochs']} kept)"
    return table(title, HEADS, rows)


def layers(text: str) -> Table | str:
    """Return the layers of model.txt; of very many, those with parameters, or a summary by kind."""
    found = [layer for layer in map(_layer, _body(text)) if layer]
    if len(found) < len(_body(text)):
        return text
    shown, title = found, f"Layers ({len(found)})"
    if len(found) > MOST_LAYERS:
        shown = [layer for layer in found if layer.parameters]
        title += f", {len(shown)} with parameters; model.txt has all"
    if len(shown) > MOST_LAYERS:
        return _kinds(found)
    heads = ("layer", "kind", "output", "units", "parameters")
    rows = [(x.name, x.kind, x.output, x.units, f"{x.parameters:,}") for x in shown]
    return table(title, heads, rows, left=3)


def _layer(line: str) -> Layer | None:
    found = LAYER.fullmatch(line)
    if found is None:
        return None
    name, kind, output, units, parameters = found.groups()
    return Layer(name, kind, output, units, int(parameters.replace(",", "")))


def _kinds(found: Sequence[Layer]) -> Table:
    kinds = list(dict.fromkeys(layer.kind for layer in found))
    rows = []
    for kind in kinds:
        same = [layer.parameters for layer in found if layer.kind == kind]
        rows.append((kind, len(same), f"{sum(same):,}"))
    title = f"Layers ({len(found)}) by kind; model.txt has each"
    return table(title, ("kind", "layers", "parameters"), rows)


def prediction_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Return the first and the last test clips: truth, prediction, its probability, a mark if
    wrong.
    """
    few = len(rows) <= 2 * PREDICTIONS
    cells = [_guess(row) for row in (rows if few else rows[:PREDICTIONS])]
    if not few:
        cells.append((f"… {len(rows) - 2 * PREDICTIONS} more", "", "", "", ""))
        cells += [_guess(row) for row in rows[-PREDICTIONS:]]
    heads = ("test clip", "truth", "predicted", "probability %", "")
    title = f"Predictions ({len(rows)}); predictions.csv has all"
    return table(title, heads, cells, left=3)


def _guess(row: Mapping[str, str]) -> tuple[Any, ...]:
    truth, predicted = row["emotion"], row["predicted"]
    mark = "" if truth == predicted else "wrong"
    name = row["file"]
    short = name if len(name) <= LONGEST_FILE else f"…{name[1 - LONGEST_FILE :]}"
    return short, truth, predicted, float(row[f"p_{predicted}"]), mark


def _rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(text.splitlines(keepends=True)))


def _kept(history: Iterable[Mapping[str, str]], epoch: int) -> Mapping[str, str]:
    """Return the row of one epoch: the last one, where a resumed run wrote it twice."""
    found = [row for row in history if int(row["epoch"]) == epoch]
    if not found:
        raise ValueError(f"no epoch {epoch}")
    return found[-1]


def _body(text: str) -> list[str]:
    return [line for line in text.splitlines()[1:] if not _is_total(line)]


def _totals(text: str) -> list[str]:
    return [line for line in text.splitlines() if _is_total(line)]


def _is_total(line: str) -> bool:
    return line.startswith(("total parameters:", "trainable parameters:"))


def _loss(value: Any) -> str:
    return f"{float(value):.3f}"
