"""Show what quantization costs, in tables: one over all modes, one for each of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from . import show

SUBSETS = {"validation": "these decide", "test": "these are only reported"}
OVERVIEW = ("", "kB", "UAR %", "minus Keras", "95 % paired", "WA %", "ECE %", "agrees %")
DETAILS = ("", "valid. %", "minus Keras", "95 % paired", "test %", "minus Keras", "95 % paired")
RUNTIMES = ("mode", "runtime", "proven", "ms", "p95 ms", "load ms", "MB")
METRICS = {"uar": "UAR", "wa": "WA", "calibration_error": "calibration error"}


def delta(report: Mapping[str, Any]) -> None:
    """Show the metrics of every mode beside Keras, and the results of each file in the runtimes."""
    out = show.console()
    for caveat in show.caveats(report):
        out.print(f"! {caveat}", style="bold yellow", soft_wrap=True)
    rows = [row for row in report["modes"] if "bytes" in row]
    raw = [{**row, "mode": "raw audio"} for row in report.get("frontend", ())]
    for subset, note in SUBSETS.items():
        keras = report["keras"][subset]
        lines = [("keras", "", keras["uar"], "", "", keras["wa"], keras["calibration_error"], "")]
        lines += [_overview(row, row[subset]) for row in (*rows, *raw)]
        title = f"{subset.capitalize()} clips ({keras['clips']}), {note}"
        out.print(show.table(title, OVERVIEW, lines))
    for row in (*rows, *raw):
        title = f"{row['mode']}: each metric and each recall, with the paired difference"
        out.print(show.table(title, DETAILS, _details(row, report["labels"])))
    proofs = [(row["mode"], proof) for row in rows for proof in row["runtimes"]]
    out.print(show.table("Runtimes, one window at one thread", RUNTIMES, map(_proof, proofs)))
    for mode, proof in proofs:
        if not proof["proven"]:
            out.print(f"  {mode} on {proof['runtime']}: {proof['reason']}", soft_wrap=True)
    counts = report["parameters"]
    out.print(f"parameters: {counts['total']:,}, {counts['trainable']:,} of them trained")


def _overview(row: Mapping[str, Any], metrics: Mapping[str, Any]) -> tuple[Any, ...]:
    return (
        row["mode"],
        f"{row['bytes'] / 1000:.0f}",
        metrics["uar"],
        _points(metrics["difference"]["uar"]),
        _interval(metrics["ci95"]["uar"]),
        metrics["wa"],
        metrics["calibration_error"],
        metrics["agreement"],
    )


def _details(row: Mapping[str, Any], labels: Sequence[str]) -> list[tuple[Any, ...]]:
    lines = [(name, *_cells(row, lambda part, key=key: part[key])) for key, name in METRICS.items()]
    lines += [
        (f"recall {label}", *_cells(row, lambda part, label=label: part["recall"][label]))
        for label in labels
    ]
    return lines


def _cells(row: Mapping[str, Any], pick: Any) -> list[Any]:
    """Return value, difference and interval on validation and on test clips."""
    return [
        cell
        for subset in SUBSETS
        for cell in (
            _value(pick(row[subset])),
            _points(pick(row[subset]["difference"])),
            _interval(pick(row[subset]["ci95"])),
        )
    ]


def _value(share: float | None) -> str:
    return "–" if _absent(share) else f"{100 * float(share or 0):.1f}"


def _points(difference: float | None) -> str:
    return "–" if _absent(difference) else f"{100 * float(difference or 0):+.1f}"


def _interval(edges: Sequence[float | None]) -> str:
    if any(_absent(edge) for edge in edges):
        return "–"
    low, high = (100 * float(edge or 0) for edge in edges)
    return f"[{low:+.1f}, {high:+.1f}]"


def _absent(value: float | None) -> bool:
    """Say whether a value is missing (NaN in memory, null in a file): its class does not occur."""
    return value is None or value != value


def _proof(pair: tuple[str, Mapping[str, Any]]) -> tuple[str, ...]:
    mode, proof = pair
    proven = "yes" if proof["proven"] else "no"
    times = (proof[key] for key in ("median_ms", "p95_ms", "load_ms", "rss_mb"))
    return (mode, proof["runtime"], proven, *("" if t is None else f"{t:.3g}" for t in times))
