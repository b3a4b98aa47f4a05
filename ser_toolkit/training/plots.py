"""Draw what a training reached: curves, confusion, classes, folds."""

from __future__ import annotations

import contextlib
import textwrap
import unicodedata
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..runtime.text import escape_control
from ..utils.files import atomic
from .report import label_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LABEL_COLUMNS, LABEL_LINES = 30, 6
TITLE_COLUMNS_PER_IN = 11
BAR_IN, BARS_IN = 0.22, 5.0
CELL_IN = 0.6
NO_CLIPS = "no clips"
KINDS = ("precision", "recall", "f1")
# In an SVG, text stays text, and names of parts are the same every time.
SVG = {"svg.fonttype": "none", "svg.hashsalt": "sertk"}


def heading(metrics: Mapping[str, Any]) -> str:
    """Return what every picture of a run is headed with: recipe, corpora, UAR, and its caveat.

    `metrics` is the content of metrics.json.
    """
    corpora = ", ".join(metrics.get("corpora", ()))
    where = f" on {corpora}" if corpora else ""
    return f"{metrics['recipe']}{where}: UAR {100 * metrics['uar']:.1f} %{label_of(metrics)}"


def plot_curves(
    folder: Path, history: Sequence[Mapping[str, Any]], best_epoch: int, about: str
) -> None:
    """Draw accuracy and loss of training and validation over the epochs.

    Args:
        folder: Where accuracy and loss are written, as PNG and as SVG.
        history: Rows of history.csv.
        best_epoch: Epoch whose weights were kept.
        about: Text of `heading`.
    """
    for name in ("accuracy", "loss"):
        save_figure(curve_figure(name, history, best_epoch, about), folder / f"{name}.png")


def plot_confusion(folder: Path, counts: Any, labels: Sequence[str], about: str) -> None:
    """Draw the confusion matrix in counts and in per cent of each row.

    Args:
        folder: Where confusion_counts and confusion_percent are written, as PNG and as SVG.
        counts: Clips (n, n), row = truth, column = prediction.
        labels: The emotions, in the order of rows and columns.
        about: Text of `heading`.
    """
    for unit in ("counts", "percent"):
        figure = confusion_figure(np.asarray(counts), labels, unit, about)
        save_figure(figure, folder / f"confusion_{unit}.png")


def plot_classes(folder: Path, metrics: Mapping[str, Any], about: str) -> None:
    """Draw precision, recall and F1 of each class as bars.

    Args:
        folder: Where `classes` is written, as PNG and as SVG.
        metrics: Content of metrics.json.
        about: Text of `heading`.
    """
    save_figure(class_figure(metrics, about), folder / "classes.png")


def plot_folds(folder: Path, folds: Sequence[Mapping[str, Any]], pooled: float, about: str) -> None:
    """Draw the UAR of each fold beside the pooled UAR.

    Args:
        folder: Where `folds` is written, as PNG and as SVG.
        folds: Rows with `fold`, a name, `uar`, and `clips`, how many it was tested on.
        pooled: UAR over the test clips of all folds.
        about: Text of `heading`.
    """
    save_figure(fold_figure(folds, pooled, about), folder / "folds.png")


def curve_figure(
    name: str, history: Sequence[Mapping[str, Any]], best_epoch: int, about: str
) -> Figure:
    """Return accuracy or loss over the epochs.

    Args:
        name: Its column of `history`; with `val_` before it, that of the validation clips.
        history: Rows of history.csv.
        best_epoch: Epoch whose weights were kept.
        about: Text of `heading`.
    """
    from matplotlib.ticker import MaxNLocator

    figure = new_figure(6.4, 4)
    axes = figure.subplots()
    epochs = [row["epoch"] for row in history]
    marker = "o" if len(epochs) == 1 else ""
    for column, label in ((name, "training"), (f"val_{name}", "validation")):
        axes.plot(epochs, [row[column] for row in history], marker=marker, label=label)
    axes.axvline(best_epoch, color="0.6", linestyle=":", label=f"best epoch ({best_epoch})")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.set(xlabel="epoch", ylabel=name, xlim=(epochs[0] - 0.5, epochs[-1] + 0.5))
    _finish(figure, f"{name.capitalize()} per epoch", about, columns=3)
    return figure


def confusion_figure(counts: Any, labels: Sequence[str], unit: str, about: str) -> Figure:
    """Return a confusion matrix; a class without clips has an empty row, and says so.

    Args:
        counts: Clips (n, n), row = truth, column = prediction.
        labels: The emotions, in the order of rows and columns.
        unit: `counts` or `percent`.
        about: Text of `heading`.
    """
    clips = counts.sum(axis=1, keepdims=True)
    share = 100 * counts / np.maximum(1, clips)
    columns = _wrapped(labels)
    rows = [text if n else f"{text}\n({NO_CLIPS})" for text, n in zip(columns, clips, strict=True)]
    figure, room_in = _figure_for(rows)
    size_in = CELL_IN * len(labels)
    figure.set_size_inches(max(4.5, 1 + size_in + room_in), 1.4 + size_in + room_in)
    axes = figure.subplots()
    axes.imshow(share, cmap="Blues", vmin=0, vmax=100)
    for (row, column), percent in np.ndenumerate(share):
        value = counts[row, column] if unit == "counts" else percent
        color = "white" if percent > 60 else "black"
        if clips[row]:
            axes.text(column, row, f"{value:.0f}", ha="center", va="center", color=color)
    axes.set_xticks(range(len(labels)), columns, rotation=90, parse_math=False)
    axes.set_yticks(range(len(labels)), rows, parse_math=False)
    axes.set(xlabel="predicted", ylabel="true")
    _finish(figure, f"Confusion ({'clips' if unit == 'counts' else '% of the true class'})", about)
    return figure


def class_figure(metrics: Mapping[str, Any], about: str) -> Figure:
    """Return precision, recall and F1 of each class as bars, with their numbers.

    Args:
        metrics: Content of metrics.json.
        about: Text of `heading`.
    """
    labels = metrics["labels"]
    figure, axes = _bar_axes(labels, len(KINDS))
    per_class = [metrics["per_class"][label] for label in labels]
    for offset, key in zip((-0.27, 0, 0.27), KINDS, strict=True):
        values = [row[key] if row["support"] else None for row in per_class]
        _draw_bars(axes, np.arange(len(labels)) + offset, values, 0.25, key)
    for place, row in enumerate(per_class):
        if not row["support"]:
            _write_beside(axes, 0, place, NO_CLIPS)
    _draw_reference(axes, "UAR", metrics["uar"])
    _finish(figure, "Per class", about, columns=4)
    return figure


def fold_figure(folds: Sequence[Mapping[str, Any]], pooled: float, about: str) -> Figure:
    """Return the UAR of each fold as a bar, with its number.

    Args:
        folds: Rows with `fold`, a name, `uar`, and `clips`, how many it was tested on.
        pooled: UAR over the test clips of all folds.
        about: Text of `heading`.
    """
    figure, axes = _bar_axes([str(fold["fold"]) for fold in folds], 1)
    values = [fold["uar"] if fold["clips"] else None for fold in folds]
    _draw_bars(axes, np.arange(len(folds)), values, 0.7, "UAR of the fold")
    for place, fold in enumerate(folds):
        if not fold["clips"]:
            _write_beside(axes, 0, place, NO_CLIPS)
    _draw_reference(axes, "pooled UAR", pooled)
    _finish(figure, "UAR per fold", about, columns=2)
    return figure


def _bar_axes(names: Sequence[str], bars: int) -> tuple[Figure, Axes]:
    """Return a picture for horizontal bars in per cent, a row per name, as large as they need."""
    labels = _wrapped(names)
    figure, room_in = _figure_for(labels)
    lines = max(label.count("\n") + 1 for label in labels)
    row_in = max(BAR_IN * bars + 0.08, 0.17 * lines + 0.08)
    figure.set_size_inches(BARS_IN + room_in, 1.6 + row_in * len(labels))
    axes = figure.subplots()
    axes.set_yticks(range(len(labels)), labels, parse_math=False)
    axes.set_xticks(range(0, 101, 20))
    axes.set(xlim=(0, 112), ylim=(len(labels) - 0.5, -0.5), xlabel="%")
    return figure, axes


def _draw_bars(
    axes: Axes, places: Any, values: Sequence[float | None], height: float, label: str
) -> None:
    axes.barh(places, [100 * (value or 0) for value in values], height, label=label)
    for place, value in zip(places, values, strict=True):
        if value is not None:
            _write_beside(axes, 100 * value, place, f"{100 * value:.1f}")


def _write_beside(axes: Axes, value: float, place: float, text: str) -> None:
    box: Any = {"facecolor": "white", "edgecolor": "none", "pad": 0.5}
    places: Any = {"xytext": (4, 0), "textcoords": "offset points", "va": "center"}
    axes.annotate(text, (value, place), fontsize=8, bbox=box, **places)


def _draw_reference(axes: Axes, name: str, value: float) -> None:
    label = f"{name} ({100 * value:.1f})"
    axes.axvline(100 * value, color="0.3", linestyle="--", linewidth=1, label=label)


def _figure_for(labels: Sequence[str]) -> tuple[Figure, float]:
    """Return an empty picture, and how many inches the widest of the labels takes in it."""
    figure = new_figure(1, 1)
    texts = [figure.text(0, 0, label, parse_math=False) for label in labels]
    with _any_letters():
        width = max(text.get_window_extent().width for text in texts)
    for text in texts:
        text.remove()
    return figure, width / figure.dpi


def _finish(figure: Figure, title: str, about: str, columns: int = 0) -> None:
    """Write the title, and a legend of so many columns below."""
    width = int(TITLE_COLUMNS_PER_IN * figure.get_figwidth())
    lines = [line for part in (title, about) for line in _lines(part, width)]
    figure.suptitle("\n".join(lines), fontsize=11, parse_math=False)
    if columns:
        figure.legend(loc="outside lower center", ncols=columns, frameon=False, fontsize=9)


def _wrapped(names: Iterable[str]) -> list[str]:
    return ["\n".join(_lines(name, LABEL_COLUMNS, LABEL_LINES)) for name in names]


def _lines(text: str, columns: int, most: int | None = None) -> list[str]:
    """Break a text into lines; Chinese, Japanese and Korean letters are two columns wide."""
    shown = escape_control(text)
    if any(unicodedata.east_asian_width(letter) in "WF" for letter in shown):
        columns //= 2
    return textwrap.wrap(shown, columns, max_lines=most, placeholder=" …") or [""]


def new_figure(width: float, height: float) -> Figure:
    """Return an empty picture; width and height in inches."""
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def save_figure(figure: Figure, path: Path) -> None:
    """Write a picture as PNG, and beside it as SVG; the same picture gives the same bytes."""
    import matplotlib

    plain: dict[str, Any] = {"Creator": None, "Date": None}
    with _any_letters(), matplotlib.rc_context(SVG):
        with atomic(path) as file:
            figure.savefig(file, format="png", dpi=120, metadata={"Software": None})
        with atomic(path.with_suffix(".svg")) as file:
            figure.savefig(file, format="svg", metadata=plain)


@contextlib.contextmanager
def _any_letters() -> Iterator[None]:
    """Keep quiet about letters that the font lacks: boxes in a PNG, and in an SVG themselves."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", r"Glyph \d+ ", UserWarning)
        yield
