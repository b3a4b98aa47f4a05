"""What a run leaves behind: figures, tables and pictures in its directory."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..data.split import Split
from ..metrics.scores import Scores, recalls
from ..utils.files import atomic, write_text

if TYPE_CHECKING:
    import keras
    from matplotlib.figure import Figure

LONGEST_NAME = 20


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indentation; NaN becomes null, which every parser reads."""
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Return `value` as JSON has it: text keys, lists, and null for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV with the keys of the first row as its header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]) if rows else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_text(path, text.getvalue())


def write_split(path: Path, split: Split, protocol: str, seed: int) -> None:
    """Write split.json: hash, relative path, subset and speaker of each clip; no absolute path."""
    clips = [
        {
            "hash": item.hash,
            "corpus": item.clip.corpus,
            "path": item.clip.relative,
            "start_s": item.clip.start_s,
            "side": side,
            "speaker": item.speaker,
            "emotion": item.emotion,
        }
        for side, item in split.sides()
    ]
    head = {"protocol": protocol, "fold": split.name, "hash": split.hash, "seed": seed}
    write_json(path, {**head, "labels": list(split.labels), "clips": clips})


def prediction_rows(scores: Scores) -> list[dict[str, Any]]:
    """Return one row per utterance: what was meant, what was heard, and every probability."""
    return [
        {
            "file": item.name,
            "speaker": item.speaker or "",
            "emotion": item.emotion,
            "predicted": scores.labels[int(prediction)],
            **{f"p_{label}": f"{p:.6f}" for label, p in zip(scores.labels, row, strict=True)},
        }
        for item, prediction, row in zip(
            scores.utterances, scores.predicted, scores.probabilities, strict=True
        )
    ]


def model_text(network: keras.Model) -> str:
    """Return layers with output shape, units and parameters; then the totals."""
    lines = [f"{'layer':<28} {'kind':<24} {'output':<20} {'units':>6} {'parameters':>11}"]
    for layer in network.layers:
        units = getattr(layer, "units", None) or getattr(layer, "filters", None) or ""
        shape = getattr(layer.output, "shape", None)
        lines.append(
            f"{layer.name:<28} {type(layer).__name__:<24} {shape!s:<20} {units!s:>6} "
            f"{layer.count_params():>11,}"
        )
    counts = parameters(network)
    lines.append(f"total parameters: {counts['total']:,}")
    lines.append(f"trainable parameters: {counts['trainable']:,}")
    return "\n".join(lines) + "\n"


def parameters(network: keras.Model) -> dict[str, int]:
    """Return counts of the network's parameters."""
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_weights)
    return {"trainable": trainable, "total": int(network.count_params())}


def plot_curves(
    folder: Path, history: Sequence[Mapping[str, Any]], best_epoch: int, note: str
) -> None:
    """Plot accuracy and loss of training and validation over the epochs."""
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
    """Plot the confusion matrix in counts and in per cent of each row."""
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
    """Plot precision, recall and F1 of each class as bars."""
    labels = metrics["labels"]
    figure = new_figure(1.5 + 1.1 * len(labels), 4)
    axes = figure.subplots()
    for offset, key in enumerate(("precision", "recall", "f1")):
        values = [100 * metrics["per_class"][label][key] for label in labels]
        axes.bar(np.arange(len(labels)) + 0.27 * (offset - 1), values, 0.25, label=key)
    axes.axhline(100 * metrics["uar"], color="0.4", linestyle="--", linewidth=1)
    axes.text(len(labels) - 0.5, 100 * metrics["uar"] + 1, "UAR", ha="right", color="0.3")
    axes.set_xticks(range(len(labels)), labels, rotation=20, parse_math=False)
    axes.set(ylim=(0, 105), ylabel="%", title=f"Per class{note}")
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    save_figure(figure, folder / "classes.png")


def plot_folds(folder: Path, folds: Sequence[Mapping[str, Any]], pooled: float, note: str) -> None:
    """Plot the UAR of each fold beside the pooled UAR."""
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


def weakest(scores: Scores) -> str:
    """Return the class with the lowest recall and what it is taken for, in words."""
    counts = scores.confusion
    recall = recalls(counts)
    row = int(np.nanargmin(recall))
    mistaken = counts[row].copy()
    mistaken[row] = 0
    if not mistaken.any():
        return "no class is ever mistaken"
    other = scores.labels[int(mistaken.argmax())]
    return (
        f"weakest class: {scores.labels[row]} (recall {100 * recall[row]:.0f} %), "
        f"most often taken for {other}"
    )


def new_figure(width: float, height: float) -> Figure:
    """Return an empty picture; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG."""
    with atomic(path) as file:
        figure.savefig(file, format="png", dpi=120, metadata={"Software": None})


def label_of(metrics: Mapping[str, Any]) -> str:
    """Say what must stand beside a figure that is synthetic or compares with no other."""
    words = ["synthetic speech"] if metrics["synthetic"] else []
    words += [] if metrics["protocol"]["comparable"] else ["random split, not comparable"]
    return f" — {', '.join(words)}" if words else ""
