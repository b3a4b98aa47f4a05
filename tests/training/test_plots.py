"""Pictures of a run: every name and number is there, readable, and within the picture."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis, Tick
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from ser_toolkit.training import plots

METRICS = {"recipe": "compact_$x$", "uar": 0.716, "synthetic": True, "corpora": ["emodb", "tess_2"]}
ABOUT = plots.heading({**METRICS, "protocol": {"comparable": True}})
LONG = (
    "anticipation with a rather long name",
    "Überraschung und Verwunderung über Unerwartetes",
    "Ψυχραιμία και ηρεμία",
    "Разочарование",
    "愤怒与悲伤的混合情绪",
    "$\\frac$_a^2",
    *(f"class {number}" for number in range(6)),
)
SPEAKERS = tuple(f"cremad/{1001 + number}" for number in range(24))


def class_metrics(labels: tuple[str, ...], absent: str = "") -> dict[str, Any]:
    row = {"precision": 0.695, "recall": 0.0, "f1": 1.0, "support": 3}
    rows = dict.fromkeys(labels, row)
    if absent:
        rows[absent] = {"precision": 0.0, "recall": None, "f1": None, "support": 0}
    return {**METRICS, "labels": list(labels), "per_class": rows}


def counts(labels: tuple[str, ...], absent: str = "") -> Any:
    table = np.arange(len(labels) ** 2).reshape(len(labels), -1) + 200
    return table * (np.array(labels) != absent)[:, None]


def folds(names: tuple[str, ...], absent: str = "") -> list[dict[str, Any]]:
    return [
        {"fold": name, "uar": 0.0 if name == absent else n / len(names), "clips": name != absent}
        for n, name in enumerate(names)
    ]


def fold_names(n_folds: int) -> tuple[str, ...]:
    size = len(SPEAKERS) // n_folds
    return tuple(", ".join(SPEAKERS[start : start + size]) for start in range(0, 24, size))


def parts(figure: Figure) -> tuple[Axes, list[tuple[Text, Bbox]]]:
    """Return the axes, and every text that is shown with its place."""
    with plots._any_letters():
        figure.draw_without_rendering()
        (axes,) = figure.axes
        hidden = {tick.label1 for axis in (axes.xaxis, axes.yaxis) for tick in out_of_view(axis)}
        found = [text for text in figure.findobj(Text) if text.get_text() and text not in hidden]
        return axes, [(text, text.get_window_extent()) for text in found if text.get_visible()]


def out_of_view(axis: Axis) -> list[Tick]:
    low, high = sorted(axis.get_view_interval())
    return [tick for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


def words(text: str) -> str:
    return "".join(text.split())


def unreadable(figure: Figure) -> list[str]:
    """List the texts that leave the picture, and the pairs that lie on each other."""
    _, texts = parts(figure)
    width, height = figure.bbox.width, figure.bbox.height
    outside = [
        text.get_text()
        for text, place in texts
        if place.x0 < 0 or place.y0 < 0 or place.x1 > width or place.y1 > height
    ]
    overlapping = [
        f"{one.get_text()!r} on {other.get_text()!r}"
        for (one, first), (other, second) in itertools.combinations(texts, 2)
        if first.x0 < second.x1 - 1 and second.x0 < first.x1 - 1
        if first.y0 < second.y1 - 1 and second.y0 < first.y1 - 1
    ]
    return outside + overlapping


def test_names_are_whole_and_lie_apart() -> None:
    for labels, absent in ((LONG, LONG[3]), (("anger", "fear"), "fear"), (LONG[:1], "")):
        figures = [plots.class_figure(class_metrics(labels, absent), ABOUT)]
        for unit in ("counts", "percent"):
            figures.append(plots.confusion_figure(counts(labels, absent), labels, unit, ABOUT))
        for figure in figures:
            assert unreadable(figure) == []
            shown = [words(text.get_text()) for text, _ in parts(figure)[1]]
            for label in labels:
                assert any(text.startswith(words(label)) for text in shown), label
    for n_folds in (24, 12, 2, 1):
        figure = plots.fold_figure(folds(fold_names(n_folds)), 0.5, ABOUT)
        assert unreadable(figure) == [], n_folds


def test_numbers_stand_beside_their_bars() -> None:
    figure = plots.fold_figure(folds(SPEAKERS, SPEAKERS[7]), 0.5, ABOUT)
    axes, texts = parts(figure)
    places = {text.get_text(): place for text, place in texts}
    bars = {f"{bar.get_width():.1f}": bar.get_window_extent() for bar in axes.patches}
    del bars["0.0"]
    for number, bar in bars.items():
        assert bar.x1 < places[number].x0 < bar.x1 + 12 and bar.y0 < places[number].y0, number
    (reference,) = axes.lines
    assert list(reference.get_xdata()) == [50, 50]
    assert reference.get_label() == "pooled UAR (50.0)"


def test_what_has_no_clips_is_no_zero() -> None:
    figure = plots.fold_figure(folds(SPEAKERS, SPEAKERS[7]), 0.5, ABOUT)
    shown = [text.get_text() for text, _ in parts(figure)[1]]
    assert shown.count("no clips") == 1 and shown.count("0.0") == 1
    figure = plots.class_figure(class_metrics(LONG, LONG[3]), ABOUT)
    axes, texts = parts(figure)
    shown = [text.get_text() for text, _ in texts]
    assert (shown.count("no clips"), shown.count("69.5"), shown.count("0.0")) == (1, 11, 11)
    figure = plots.confusion_figure(counts(LONG, LONG[3]), LONG, "percent", ABOUT)
    axes, _ = parts(figure)
    assert {text.get_position()[1] for text in axes.texts} == set(range(12)) - {3}
    assert f"{LONG[3]}\n(no clips)" in [text.get_text() for text in axes.get_yticklabels()]


def test_epochs_are_whole() -> None:
    for n_epochs in (1, 2, 3, 7, 40):
        rows = [
            {"epoch": n, "loss": 1 / n, "val_loss": 2 / n, "accuracy": 0.5, "val_accuracy": 0.4}
            for n in range(1, n_epochs + 1)
        ]
        for name in ("loss", "accuracy"):
            figure = plots.curve_figure(name, rows, n_epochs, ABOUT)
            axes, texts = parts(figure)
            shown = {text: text.get_text() for text, _ in texts}
            epochs = [shown[text] for text in axes.get_xticklabels() if text in shown]
            assert epochs and set(epochs) <= set(map(str, range(1, n_epochs + 1))), epochs
            assert unreadable(figure) == []


def test_the_title_names_recipe_corpora_and_uar() -> None:
    assert ABOUT == "compact_$x$ on emodb, tess_2: UAR 71.6 % — synthetic speech"
    figure = plots.fold_figure(folds(SPEAKERS), 0.5, ABOUT)
    assert figure.get_suptitle().split() == f"UAR per fold {ABOUT}".split()


def test_an_svg_stands_beside_each_png_and_is_the_same_every_time(tmp_path: Path) -> None:
    rows = [{"epoch": 1, "loss": 1.0, "val_loss": 2.0, "accuracy": 0.5, "val_accuracy": 0.4}]
    first, second = tmp_path / "first", tmp_path / "second"
    plots.plot_curves(first, rows, 1, ABOUT)
    plots.plot_confusion(first, counts(LONG[:2]), LONG[:2], ABOUT)
    plots.plot_folds(first, folds(fold_names(2)), 0.5, ABOUT)
    for folder in (first, second):
        plots.plot_classes(folder, class_metrics(LONG, LONG[1]), ABOUT)
    names = ("accuracy", "classes", "confusion_counts", "confusion_percent", "folds", "loss")
    files = sorted(path.name for path in first.iterdir())
    assert files == sorted(f"{name}.{kind}" for name in names for kind in ("png", "svg"))
    for path in second.iterdir():
        assert path.read_bytes() == (first / path.name).read_bytes()
    text = words("".join(ElementTree.parse(first / "classes.svg").getroot().itertext()))
    for label in LONG:
        assert words(label) in text, label
    assert "noclips" in text and words(ABOUT) in text
