"""Write what a fold has reached, each file whatever becomes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..metrics.scores import Scores
from ..runtime.features.normalizer import Normalizer, normalizers_to_bytes
from ..utils.files import write_bytes, write_text
from ..utils.progress import Callback
from . import plots, report
from .backend import save_network
from .loop import Trained
from .outputs import refuse_incomplete, write_all
from .run_dir import NETWORK

CHECKPOINT = "checkpoint.npz"


def write_results(
    folder: Path,
    network: Any,
    normalizers: Mapping[str, Normalizer],
    trained: Trained,
    scores: Scores,
    metrics: dict[str, Any],
    log: Callback,
) -> None:
    """Write what can be written; metrics.json, which marks a finished run, after what it needs."""
    note = report.label_of(metrics)
    line = f"UAR {100 * metrics['uar']:.1f} on {metrics['clips']} test clips{note}"
    history, drawn, about = trained.history, folder / "plots", plots.heading(metrics)
    rows, arrays = report.prediction_rows(scores), normalizers_to_bytes(normalizers)
    failures = write_all(
        [
            ("adapter.npz", lambda: write_bytes(folder / "adapter.npz", arrays)),
            ("model.txt", lambda: write_text(folder / "model.txt", report.model_text(network))),
            (NETWORK, lambda: save_network(network, folder / NETWORK)),
            ("history.csv", lambda: report.write_csv(folder / "history.csv", history)),
            ("predictions.csv", lambda: report.write_csv(folder / "predictions.csv", rows)),
        ]
    )
    if not failures:
        failures += write_all([("metrics.json", lambda: _finish(folder, metrics))])
    counts, labels = metrics["confusion"], scores.labels
    failures += write_all(
        [
            ("log.txt", lambda: log.note(line)),
            ("log.txt", lambda: log.note(report.weakest(scores))),
            ("curves", lambda: plots.plot_curves(drawn, history, trained.best_epoch, about)),
            ("confusion", lambda: plots.plot_confusion(drawn, counts, labels, about)),
            ("classes", lambda: plots.plot_classes(drawn, metrics, about)),
        ]
    )
    refuse_incomplete(failures, metrics, folder)


def _finish(folder: Path, metrics: Mapping[str, Any]) -> None:
    report.write_json(folder / "metrics.json", metrics)
    if not metrics["interrupted"]:
        (folder / CHECKPOINT).unlink(missing_ok=True)
