"""Plot what a training reached: curves, confusion, classes, folds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..utils.files import atomic

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LONGEST_NAME = 20


def plot_curves(
    folder: Path, history: Sequence[Mapping[str, Any]], best_epoch: int, note: str
) -> None:
    """Plot accuracy and loss of training and validation over the epochs.

    Args:
        folder: Where accuracy.png and loss.png are written.
        history: Rows of history.csv.
        best_epoch: Epoch whose weights were kept.
        note: Caveat, appended to each title.
    """
    for name, title in (("accuracy", "Accuracy"), ("loss", "Loss")):
        figure = new_figure(6.4, 4)
        axes = figure.subplots()
        epochs = [row["epoch"] for row in history]
        axes.plot(epochs, [row[name] for row in history], label="training")
        axes.plot(epochs, [row[f"val_{name}"] for row in history], label="validation")
        axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"best epoch ({best_epoch})")
        axes.set(xlabel="epoch", ylabel=title.lower(), title=f"{title} per epoch{note}")
        axes.legend()
        save_figure(figure, folder / f"{name}.png")


def plot_confusion(folder: Path, counts: Any, labels: Sequence[str], note: str) -> None:
    """Plot the confusion matrix in counts and in per cent of each row.

    Args:
        folder: Where confusion_counts.png and confusion_percent.png are written.
        counts: Clips (n, n), row = truth, column = prediction.
        labels: The emotions, in the order of rows and columns.
        note: Caveat, appended to each title.
    """
    table = np.asarray(counts)
    share = 100 * table / np.maximum(1, table.sum(axis=1, keepdims=True))
    for name, values, form in (("counts", table, "{:.0f}"), ("percent", share, "{:.0f}")):
        figure = new_figure(1.2 + 0.85 * len(labels), 1.0 + 0.8 * len(labels))
        axes = figure.subplots()
        axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
        for (row, column), value in np.ndenumerate(values):
            shade = "white" if share[row, column] > 60 else "black"
            axes.text(column, row, form.format(value), ha="center", va="center", color=shade)
        axes.set_xticks(range(len(labels)), labels, rotation=45, ha="right", parse_math=False)
        axes.set_yticks(range(len(labels)), labels, parse_math=False)
        unit = "clips" if name == "counts" else "% of the true class"
        axes.set(xlabel="predicted", ylabel="true", title=f"Confusion ({unit}){note}")
        save_figure(figure, folder / f"confusion_{name}.png")


def plot_classes(folder: Path, metrics: Mapping[str, Any], note: str) -> None:
    """Plot precision, recall and F1 of each class as bars.

    Args:
        folder: Where classes.png is written.
        metrics: Content of metrics.json.
        note: Caveat, appended to the title.
    """
    labels = metrics["labels"]
    figure = new_figure(1.5 + 1.1 * len(labels), 4)
    axes = figure.subplots()
    for offset, key in enumerate(("precision", "recall", "f1")):
        values = [100 * (metrics["per_class"][label][key] or 0) for label in labels]
        axes.bar(np.arange(len(labels)) + 0.27 * (offset - 1), values, 0.25, label=key)
    for place, label in enumerate(labels):
        if not metrics["per_class"][label]["support"]:
            axes.text(place, 2, "no clips", rotation=90, ha="center", color="0.3")
    axes.axhline(100 * metrics["uar"], color="0.4", linestyle="--", linewidth=1)
    axes.text(len(labels) - 0.5, 100 * metrics["uar"] + 1, "UAR", ha="right", color="0.3")
    axes.set_xticks(range(len(labels)), labels, rotation=20, parse_math=False)
    axes.set(ylim=(0, 105), ylabel="%", title=f"Per class{note}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, folder / "classes.png")


def plot_folds(folder: Path, folds: Sequence[Mapping[str, Any]], pooled: float, note: str) -> None:
    """Plot the UAR of each fold beside the pooled UAR.

    Args:
        folder: Where folds.png is written.
        folds: Rows with `fold`, a name, and `uar`.
        pooled: UAR over the test clips of all folds.
        note: Caveat, appended to the title.
    """
    figure = new_figure(2 + 0.6 * len(folds), 4)
    axes = figure.subplots()
    axes.bar(range(len(folds)), [100 * fold["uar"] for fold in folds])
    axes.axhline(100 * pooled, color="0.3", linestyle="--", label=f"pooled {100 * pooled:.1f}")
    names = [_short(str(fold["fold"])) for fold in folds]
    axes.set_xticks(range(len(folds)), names, rotation=60, parse_math=False)
    axes.set(ylim=(0, 100), ylabel="UAR in %", title=f"UAR per fold{note}")
    axes.legend(loc="lower right")
    save_figure(figure, folder / "folds.png")


def _short(name: str) -> str:
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty picture; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG."""
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
