"""Plot accuracy, size and recalls of the quantization modes of a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..training.plots import new_figure, save_figure
from ..training.report import label_of


def plot_modes(path: Path, report: Mapping[str, Any]) -> None:
    """Plot UAR of each mode on validation and test clips beside Keras, size, and recalls."""
    rows = [row for row in report["modes"] if "bytes" in row]
    if not rows:
        return
    picture = new_figure(6 + 1.2 * len(rows), 10)
    top, middle, bottom, recalls = picture.subplots(4, 1)
    names = ["keras", *(row["mode"] for row in rows)]
    for offset, subset in ((-0.18, "validation"), (0.18, "test")):
        values = [100 * entry[subset]["uar"] for entry in (report["keras"], *rows)]
        top.bar(np.arange(len(names)) + offset, values, 0.34, label=subset)
        differences = [100 * row[subset]["difference"]["uar"] for row in rows]
        low, high = np.array([row[subset]["ci95"]["uar"] for row in rows]).T * 100
        places = np.arange(1, len(names)) + offset
        bars = np.abs(
            np.stack([np.minimum(low - differences, 0), np.maximum(high - differences, 0)])
        )
        middle.errorbar(places, differences, bars, fmt="o", capsize=4, label=subset)
    title = f"What each form of the network reaches{label_of(report)}"
    top.set(ylabel="UAR in %", ylim=(0, 115), title=title)
    top.legend(loc="upper right", ncols=2)
    middle.axhline(0, color="0.5", linewidth=1)
    middle.set(ylabel="points", title="UAR minus that of Keras, 95 % paired interval")
    bottom.bar(np.arange(1, len(names)), [row["bytes"] / 1000 for row in rows], 0.5, color="0.55")
    bottom.set(ylabel="kB", title="Size of the network")
    _plot_recalls(recalls, rows, report["labels"])
    for axes in (top, middle, bottom):
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
    save_figure(picture, path)


def _plot_recalls(axes: Any, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """Draw recall of each class minus that of Keras, on test clips, with paired intervals."""
    for index, row in enumerate(rows):
        metrics = row["test"]
        # A class without a test clip has none of these: NaN, of which nothing is drawn.
        values = np.array([metrics["difference"]["recall"][label] for label in labels], float) * 100
        low, high = np.array([metrics["ci95"]["recall"][label] for label in labels], float).T * 100
        bars = np.abs(np.stack([np.minimum(low - values, 0), np.maximum(high - values, 0)]))
        places = np.arange(len(labels)) + 0.12 * (index - (len(rows) - 1) / 2)
        axes.errorbar(places, values, bars, fmt="o", capsize=3, label=row["mode"])
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xticks(range(len(labels)), labels, rotation=20, parse_math=False)
    axes.set(ylabel="points", title="Recall minus that of Keras, test clips")
    axes.legend(loc="best", fontsize="small")
