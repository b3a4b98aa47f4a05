"""Draw one recording: panels on one time axis, and a cell for each augmentation."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from ..runtime.features.base import F32

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

WIDTH_IN = 13.0
CELLS_ACROSS = 3
CELL_HEIGHT_IN = 2.5
ENVELOPE_STEPS = 1500
DETAIL_WIDTH = 62
DETAIL_LINES = 2
LINE_PT = 9.5
LABEL_SHARE = 0.03
BARS = ("#3b528b", "#21918c", "#b5367a", "#e08214")
SOUND, STANDARD = "magma", "viridis"
Ticks = tuple[tuple[float, str], ...]


@dataclass(frozen=True)
class Panel:
    """One row of the picture; `on_time` panels share the time axis."""

    title: str
    height_in: ClassVar[float] = 1.5
    on_time: ClassVar[bool] = True

    def draw(self, axes: Axes) -> Any:
        """Draw, and return the image for a colour bar, None where there is none."""
        raise NotImplementedError


@dataclass(frozen=True)
class Wave(Panel):
    """A waveform (N,), optionally with another one in grey behind it."""

    samples: F32
    rate_hz: int
    behind: F32 | None = None
    height_in: ClassVar[float] = 1.2

    def draw(self, axes: Axes) -> Any:
        if self.behind is not None:
            _envelope(axes, self.behind, self.rate_hz, "0.75")
        _envelope(axes, self.samples, self.rate_hz, "#3b528b")
        peak = max(float(np.abs(x).max()) for x in (self.samples, self.behind) if x is not None)
        axes.set(ylim=(-1.05 * peak, 1.05 * peak), ylabel="amplitude")
        axes.axhline(0, color="0.6", linewidth=0.4)


@dataclass(frozen=True)
class Image(Panel):
    """Values (rows, T) over time, the first row at the bottom; `cuts` separate groups of rows."""

    values: F32
    start_s: float
    step_s: float
    ylabel: str
    unit: str
    ticks: Ticks = ()
    cuts: tuple[float, ...] = ()
    limits: tuple[float | None, float | None] = (None, None)
    colours: str = SOUND
    height_in: ClassVar[float] = 2.3

    def draw(self, axes: Axes) -> Any:
        count, frames = self.values.shape
        end_s = self.start_s + frames * self.step_s
        low, high = self.limits
        image = axes.imshow(
            self.values,
            origin="lower",
            aspect="auto",
            interpolation="nearest",
            extent=(self.start_s, end_s, -0.5, count - 0.5),
            cmap=self.colours,
            vmin=low,
            vmax=high,
        )
        for cut in self.cuts:
            axes.axhline(cut, color="white", linewidth=1)
        if self.ticks:
            axes.set_yticks([at for at, _ in self.ticks], [name for _, name in self.ticks])
        else:
            axes.locator_params(axis="y", integer=True)
        axes.set_ylabel(self.ylabel)
        return image


@dataclass(frozen=True)
class Curve:
    """One column over time: a name, times in seconds (T,), values (T,)."""

    name: str
    times_s: NDArray[Any]
    values: F32


@dataclass(frozen=True)
class Strips(Panel):
    """A few curves one above another, each scaled to its own range, which is written beside it."""

    curves: tuple[Curve, ...]

    def draw(self, axes: Axes) -> Any:
        labels = []
        for row, curve in enumerate(self.curves):
            low, high = float(curve.values.min()), float(curve.values.max())
            scaled = (curve.values - low) / ((high - low) or 1)
            marker = "." if len(scaled) == 1 else ""
            axes.plot(curve.times_s, row + 0.85 * scaled, marker=marker, linewidth=0.9)
            labels.append(f"{curve.name}\n{low:.3g} … {high:.3g}")
        places = [row + 0.42 for row in range(len(labels))]
        axes.set_yticks(places, labels, fontsize=7, parse_math=False)
        axes.set_ylim(-0.1, len(labels))
        for row in range(1, len(labels)):
            axes.axhline(row - 0.07, color="0.85", linewidth=0.6)


@dataclass(frozen=True)
class Vector(Panel):
    """The vectors (W, D) of a window extractor as bars: their mean, and in grey their range."""

    values: F32
    columns: tuple[str, ...]
    on_time: ClassVar[bool] = False

    def draw(self, axes: Axes) -> Any:
        low, mean, high = self.values.min(axis=0), self.values.mean(axis=0), self.values.max(axis=0)
        for index, (name, first, last) in enumerate(_groups(self.columns)):
            colour = BARS[index % len(BARS)]
            edges = np.arange(first, last + 1) - 0.5
            axes.stairs(mean[first:last], edges, fill=True, color=colour)
            if last - first >= len(self.columns) * LABEL_SHARE:
                place: dict[str, Any] = {"ha": "center", "va": "top", "color": colour}
                middle = (first + last - 1) / 2
                room = axes.get_xaxis_transform()
                axes.text(middle, 0.97, drawable(name), transform=room, parse_math=False, **place)
        if len(self.values) > 1:
            axes.vlines(np.arange(len(mean)), low, high, color="0.6", linewidth=0.7)
        largest = float(np.abs(self.values).max()) or 1.0
        axes.set_yscale("symlog", linthresh=10 ** np.ceil(np.log10(largest / 1000)))
        axes.margins(y=0.25)
        axes.axhline(0, color="0.6", linewidth=0.4)
        axes.set(xlabel="place in the vector", ylabel="value", xlim=(-0.5, len(mean) - 0.5))


@dataclass(frozen=True)
class Cell:
    """One augmentation: its name, its parameters, and the augmented recording."""

    name: str
    detail: str
    image: Image
    wave: Wave | None = None


@dataclass(frozen=True)
class Sheet:
    """The whole picture. `seconds` is the length of the time axis of the panels."""

    title: str
    seconds: float
    panels: tuple[Panel, ...]
    cells: tuple[Cell, ...] = field(default=())

    def draw(self) -> Figure:
        """Return the picture: panels above, cells below."""
        from matplotlib.figure import Figure
        from matplotlib.layout_engine import ConstrainedLayoutEngine

        top = sum(panel.height_in + 0.45 for panel in self.panels) + 0.5
        rows = -(-len(self.cells) // CELLS_ACROSS)
        bottom = rows * CELL_HEIGHT_IN + 0.5 if rows else 0.0
        layout = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.05, hspace=0.02)
        figure = Figure(figsize=(WIDTH_IN, top + bottom), layout=layout)
        if not rows:
            _draw_panels(figure, self)
            return figure
        halves: Any = figure.subfigures(2, 1, height_ratios=(top, bottom))
        _draw_panels(halves[0], self)
        _draw_cells(halves[1], self.cells, rows)
        return figure


def _draw_panels(figure: Figure | SubFigure, sheet: Sheet) -> None:
    heights = [panel.height_in for panel in sheet.panels]
    grid = figure.subplots(
        len(heights), 2, squeeze=False, width_ratios=(70, 1), height_ratios=heights
    )
    # The first frame of a slow feature may stand after the end of a very short recording.
    firsts_s = [p.start_s + p.step_s for p in sheet.panels if isinstance(p, Image)]
    timed = [row for row, panel in enumerate(sheet.panels) if panel.on_time]
    for row, panel in enumerate(sheet.panels):
        axes, beside = grid[row]
        explained = panel.draw(axes)
        axes.set_title(panel.title, loc="left", fontsize=10, parse_math=False)
        if isinstance(panel, Image):
            figure.colorbar(explained, cax=beside, label=panel.unit)
        else:
            beside.set_axis_off()
        if panel.on_time:
            axes.set_xlim(0, max([sheet.seconds, *firsts_s]))
            axes.tick_params(labelbottom=row == timed[-1])
            axes.set_xlabel("time in s" if row == timed[-1] else "")
    figure.suptitle(drawable(sheet.title), x=0.01, ha="left", fontweight="bold", parse_math=False)


def _draw_cells(figure: Figure | SubFigure, cells: Sequence[Cell], rows: int) -> None:
    grid = figure.add_gridspec(2 * rows, CELLS_ACROSS, height_ratios=(1, 2) * rows)
    ends_s = {sounds: _end_s(cells, sounds) for sounds in (True, False)}
    lines = max(len(_lines(cell)) for cell in cells)
    drawn: list[Axes] = []
    for index, cell in enumerate(cells):
        row, column = divmod(index, CELLS_ACROSS)
        first = 2 * row if cell.wave is None else 2 * row + 1
        below = figure.add_subplot(grid[first : 2 * row + 2, column])
        image = cell.image.draw(below)
        parts = [below]
        if cell.wave is not None:
            parts.insert(0, figure.add_subplot(grid[2 * row, column]))
            cell.wave.draw(parts[0])
            parts[0].tick_params(labelbottom=False)
            parts[0].set_ylabel("")
        _head(parts[0], cell, lines)
        below.set_ylabel(below.get_ylabel() if column == 0 else "", fontsize=8)
        below.set_xlabel("time in s" if index + CELLS_ACROSS >= len(cells) else "", fontsize=8)
        for axes in parts:
            axes.set_xlim(0, ends_s[cell.wave is not None])
            axes.tick_params(labelsize=7)
        drawn += parts
    bar: dict[str, Any] = {
        "fraction": 0.012,
        "pad": 0.01,
        "shrink": min(1.0, 1.5 / rows),
        "anchor": (0, 1),
    }
    figure.colorbar(image, ax=drawn, label=cells[-1].image.unit, **bar)
    figure.suptitle("Augmentations", x=0.01, ha="left", fontweight="bold")


def _head(axes: Axes, cell: Cell, lines: int) -> None:
    """Write the name, and below it the parameters in small letters, over `lines` lines."""
    _above(axes, cell.name, 4 + LINE_PT * lines, fontsize=10, fontweight="bold")
    for row, line in enumerate(_lines(cell), 1):
        _above(axes, line, 2 + LINE_PT * (lines - row), fontsize=7, color="0.35")


def _lines(cell: Cell) -> list[str]:
    return textwrap.wrap(cell.detail, DETAIL_WIDTH, max_lines=DETAIL_LINES, placeholder=" …")


def _above(axes: Axes, text: str, height_pt: float, **style: Any) -> None:
    places: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points"}
    axes.annotate(drawable(text), (0, 1), (0, height_pt), **places, parse_math=False, **style)


def _end_s(cells: Sequence[Cell], sounds: bool) -> float:
    """Return the latest end in seconds, of the cells with a waveform or of those without."""
    images = [cell.image for cell in cells if (cell.wave is not None) == sounds]
    waves = [cell.wave for cell in cells if sounds and cell.wave is not None]
    ends_s = [image.start_s + image.values.shape[1] * image.step_s for image in images]
    ends_s += [len(wave.samples) / wave.rate_hz for wave in waves]
    return max(ends_s, default=0.0)


def _envelope(axes: Axes, samples: F32, rate_hz: int, colour: str) -> None:
    """Draw the lowest and highest sample of each short stretch; a line would take seconds."""
    step = max(1, len(samples) // ENVELOPE_STEPS)
    starts = np.arange(0, len(samples), step)
    low, high = np.minimum.reduceat(samples, starts), np.maximum.reduceat(samples, starts)
    axes.fill_between(starts / rate_hz, low, high, color=colour, linewidth=0.6)


def _groups(columns: Sequence[str]) -> list[tuple[str, int, int]]:
    """Group neighbours whose names begin with the same word: word, first, one past the last."""
    groups, first = [], 0
    for word, members in groupby(columns, lambda column: re.split(r"[-_\d]", column)[0]):
        last = first + len(list(members))
        groups.append((word, first, last))
        first = last
    return groups


def drawable(text: str) -> str:
    """Replace the characters of `text` that the font of the picture lacks."""
    from matplotlib import font_manager

    font = font_manager.get_font(font_manager.findfont("DejaVu Sans"))
    glyphs = font.get_charmap()
    return "".join(char if ord(char) in glyphs else "□" for char in text)
