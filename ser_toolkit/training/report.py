"""Write the results of a run: metrics, split, predictions and layers."""

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
from ..utils.files import write_text

if TYPE_CHECKING:
    import keras


def write_json(path: Path, content: Any) -> None:
    """Write JSON with two spaces of indentation; NaN becomes null, which every parser reads."""
    write_text(path, json.dumps(plain(content), indent=2, ensure_ascii=False) + "\n")


def plain(value: Any) -> Any:
    """Convert `value` to JSON types: text keys, lists, and null for numbers that are not finite."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value


def write_csv(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write a CSV with the keys of the first row as its header."""
    names = list(rows[0]) if rows else []
    lines = [names, *([row[name] for name in names] for row in rows)]
    write_text(path, "".join(map(_csv_line, lines)))


def _csv_line(cells: Sequence[Any]) -> str:
    """Return a line of CSV, which ends with a line feed.

    The writer quotes a carriage return, which a file name may have, only where lines end with one.
    """
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\r\n").writerow(cells)
    return text.getvalue().removesuffix("\r\n") + "\n"


def write_split(path: Path, split: Split, protocol: str, seed: int) -> None:
    """Write split.json, with no absolute path.

    Args:
        path: The file.
        split: Clips with their subsets.
        protocol: Name of the protocol.
        seed: Seed of the split.
    """
    clips = [
        {
            "hash": item.hash,
            "corpus": item.clip.corpus,
            "path": item.clip.relative,
            "start_s": item.clip.start_s,
            "side": subset,
            "speaker": item.speaker,
            "emotion": item.emotion,
        }
        for subset, item in split.subsets()
    ]
    head = {"protocol": protocol, "fold": split.name, "hash": split.hash, "seed": seed}
    write_json(path, {**head, "labels": list(split.labels), "clips": clips})


def prediction_rows(scores: Scores) -> list[dict[str, Any]]:
    """Return one row per utterance: truth, prediction, and the probability of every label."""
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
    """Return the layers of `network` as a table in plain text, then its numbers of parameters."""
    lines = [f"{'layer':<28} {'kind':<24} {'output':<20} {'units':>6} {'parameters':>11}"]
    lines += [
        f"{row['name']:<28} {row['kind']:<24} {row['output']:<20} {row['units'] or '':>6} "
        f"{row['parameters']:>11,}"
        for row in layers(network)
    ]
    counts = parameters(network)
    lines.append(f"total parameters: {counts['total']:,}")
    lines.append(f"trainable parameters: {counts['trainable']:,}")
    return "\n".join(lines) + "\n"


def layers(network: keras.Model) -> list[dict[str, Any]]:
    """Return name, kind, output shape, units (or null) and number of parameters of each layer."""
    return [
        {
            "name": layer.name,
            "kind": type(layer).__name__,
            "output": str(getattr(layer.output, "shape", None)),
            "units": getattr(layer, "units", None) or getattr(layer, "filters", None),
            "parameters": layer.count_params(),
        }
        for layer in network.layers
    ]


def parameters(network: keras.Model) -> dict[str, int]:
    """Return the number of parameters of `network`: trainable and total."""
    trainable = sum(int(np.prod(v.shape)) for v in network.trainable_weights)
    return {"trainable": trainable, "total": int(network.count_params())}


def weakest(scores: Scores) -> str:
    """Return the class with the lowest recall and its most frequent wrong prediction, in words."""
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


def label_of(metrics: Mapping[str, Any]) -> str:
    """Return the caveat of a metric that is synthetic or not comparable, '' where it has none."""
    words = ["synthetic speech"] if metrics["synthetic"] else []
    words += [] if metrics["protocol"]["comparable"] else ["random split, not comparable"]
    return f" — {', '.join(words)}" if words else ""
