"""Show in the terminal: a report at the end of a run, tables, what to do next."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.table import Table

from ..training.outputs import OutputError
from ..utils.console import Terminal, Warnings, console

__all__ = ["Terminal", "Warnings", "caveats", "console", "metrics_of_incomplete"]
__all__ += ["next_steps", "quoted", "show_metrics", "steps", "table"]


@contextlib.contextmanager
def metrics_of_incomplete() -> Iterator[None]:
    """Show the metrics of a run although some of its results could not be written."""
    try:
        yield
    except OutputError as incomplete:
        show_metrics(incomplete.metrics)
        raise


def show_metrics(metrics: Mapping[str, Any]) -> None:
    """Show the report of a run: caveats first, then metrics, classes, confusion, speakers."""
    out = console()
    out.print()
    for caveat in caveats(metrics):
        out.print(f"! {caveat}", style="bold yellow", soft_wrap=True)
    out.print(_headline(metrics), style="bold")
    out.print(_classes(metrics))
    out.print(_confusion(metrics))
    if len(metrics.get("per_corpus", {})) > 1:
        out.print(_per("Corpora", "corpus", metrics["per_corpus"]))
    if "folds" in metrics:
        out.print(_folds(metrics["folds"]))
    elif len(metrics["per_speaker"]) > 1:
        out.print(_per("Speakers", "speaker", metrics["per_speaker"]))


def caveats(metrics: Mapping[str, Any]) -> list[str]:
    """Return the caveats that qualify every metric."""
    lines = list(metrics["protocol"].get("caveats", []))
    if metrics["synthetic"]:
        lines.insert(0, "synthetic speech: these metrics say nothing about human voices")
    if metrics.get("interrupted"):
        lines.append("training was interrupted; `sertk resume` with its folder goes on")
    if not metrics.get("audit", {}).get("clean", True):
        lines.append("the leakage audit is not clean: see `audit` in metrics.json")
    return lines


def _headline(metrics: Mapping[str, Any]) -> str:
    ci = metrics["ci95"]
    low, high = (100 * edge for edge in ci["uar"])
    drawn = f"{ci['groups']} {ci['clusters']}s drawn"
    parts = [
        f"UAR {100 * metrics['uar']:.1f} %  [{low:.1f}, {high:.1f}] (95 %, {drawn})",
        f"WA {100 * metrics['wa']:.1f} %",
        f"macro-F1 {100 * metrics['macro_f1']:.1f} %",
        f"loss {metrics['loss']:.3f}",
        f"calibration error {100 * metrics['calibration_error']:.1f} %",
    ]
    if metrics.get("mean_uar") is not None:
        mean, sd = 100 * metrics["mean_uar"], 100 * metrics["sd_uar"]
        parts.insert(1, f"mean over folds {mean:.1f} ± {sd:.1f}")
    if "quantized" in metrics:
        parts.append(_cost(metrics["quantized"]))
    name = metrics["protocol"]["name"]
    code = metrics["protocol"].get("hash")
    return "  ·  ".join(parts) + f"\nprotocol: {name}" + (f" ({code})" if code else "")


def _cost(quantized: Mapping[str, Any]) -> str:
    low, high = (100 * edge for edge in quantized["ci95"]["uar"])
    return (
        f"{quantized['mode']} ({quantized['bytes'] / 1000:.0f} kB): UAR "
        f"{100 * quantized['uar']:.1f} %, {100 * quantized['difference']['uar']:+.1f} "
        f"[{low:+.1f}, {high:+.1f}] (95 %, paired), "
        f"{100 * quantized['agreement']:.1f} % the same decision"
    )


def _classes(metrics: Mapping[str, Any]) -> Table:
    rows = [
        (label, row["precision"], row["recall"], row["f1"], row["support"])
        for label, row in metrics["per_class"].items()
    ]
    total = sum(row[-1] for row in rows)
    for name in ("macro", "weighted"):
        average = metrics[name]
        rows.append(
            (f"{name} average", *(average[k] for k in ("precision", "recall", "f1")), total)
        )
    return table("Classes", ("", "precision %", "recall %", "F1 %", "clips"), rows)


def _confusion(metrics: Mapping[str, Any]) -> Table:
    labels = metrics["labels"]
    rows = list(zip(labels, *zip(*metrics["confusion"], strict=True), strict=True))
    return table("Confusion (row: truth)", ("", *(label[:9] for label in labels)), rows)


def _per(title: str, what: str, metrics: Mapping[str, Mapping[str, Any]]) -> Table:
    rows = [(name, row["clips"], row["uar"], row["wa"]) for name, row in metrics.items()]
    return table(title, (what, "clips", "UAR %", "WA %"), rows)


def _folds(folds: Sequence[Mapping[str, Any]]) -> Table:
    rows = [(row["fold"], row["clips"], row["uar"], row["wa"], row["best_epoch"]) for row in folds]
    return table("Folds", ("test speakers", "clips", "UAR %", "WA %", "best epoch"), rows)


def table(title: str, heads: Sequence[str], rows: Iterable[Sequence[Any]], left: int = 1) -> Table:
    """Return a plain table; floats are shares, shown in per cent, None is a dash.

    Args:
        title: What stands above it.
        heads: The names of its columns.
        rows: Its cells.
        left: How many columns are aligned left, from the first on; the others right.
    """
    style: dict[str, Any] = {"title_justify": "left", "box": None, "pad_edge": False}
    plain = Table(title=title, min_width=len(title), **style)
    for index, head in enumerate(heads):
        plain.add_column(head, justify="left" if index < left else "right", no_wrap=True)
    for row in rows:
        plain.add_row(*map(_cell, row))
    return plain


def _cell(value: Any) -> str:
    if value is None:
        return "–"
    return f"{100 * value:.1f}" if isinstance(value, float) else str(value)


def next_steps(folder: Path, *commands: tuple[str, str]) -> None:
    """Show where the results are, and what to do with them."""
    console().print(
        f"\nEverything is in {folder} (pictures in {folder / 'plots'}).", soft_wrap=True
    )
    steps(*commands)


def quoted(path: object) -> str:
    """Return a path as a shell takes it."""
    return shlex.quote(str(path))


def steps(*commands: tuple[str, str]) -> None:
    """Show what to do next."""
    out = console()
    out.print("Next:")
    width = max(len(command) for command, _ in commands)
    for command, purpose in commands:
        out.print(f"  {command:<{width}}   {purpose}", soft_wrap=True)
