"""`sertk predict`: what a run or a bundle predicts for files."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from ..runtime.text import printable_name
from .train import channel_option

if TYPE_CHECKING:
    from ..runtime.inference.prediction import FailedPrediction, Prediction


def signature_option(command: Any) -> Any:
    """Return `--require-signature`, for every command that reads a bundle."""
    return click.option(
        "--require-signature",
        type=click.Path(path_type=Path),
        metavar="KEY",
        help="Public key (PEM): accept only a bundle that it has signed.",
    )(command)


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="BUNDLE|RUN")
@click.argument(
    "files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE|DIR…"
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a table with a header.")
@click.option(
    "--windows", is_flag=True, help="Print the prediction for each window too, with its time."
)
@click.option(
    "--top",
    type=click.IntRange(min=1),
    metavar="K",
    help="Print only the K most probable emotions.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that share the files of a bundle [default: one per core from 64 files on].",
)
@channel_option
@signature_option
def predict(
    model: Path,
    files: tuple[Path, ...],
    as_json: bool,
    as_csv: bool,
    windows: bool,
    top: int | None,
    workers: int,
    channel: str | None,
    require_signature: Path | None,
) -> None:
    """Print the emotion that a bundle or a run predicts for each FILE, with its probabilities.

    `uncertain` marks a prediction below the confidence at which it is more often wrong than right.
    """
    if as_json and as_csv:
        raise click.UsageError("give either --json or --csv")
    from .. import api
    from ..inference import predict as prediction
    from . import show

    opened = api.load(model, require_signature=require_signature)
    paths = prediction.listed(files)
    callback = show.Warnings() if as_json or as_csv else show.Terminal()
    found = opened.predict(
        paths, errors="return", workers=workers, channel=channel, callback=callback
    )
    rows = [_row(one, windows) for one in found]
    if as_csv:
        click.echo(prediction.as_csv(rows, opened.labels), nl=False)
    for row in () if as_csv else rows:
        line = _json(row, top) if as_json else _text(row, top)
        click.echo(line, err="error" in row and not as_json)
    if any("error" in row for row in rows):
        raise click.exceptions.Exit(1)


def _row(found: Prediction | FailedPrediction, windows: bool) -> dict[str, Any]:
    """Return JSON values, with the windows only where they are asked for."""
    values = found.to_dict()
    return values if windows else {key: values[key] for key in values if key != "windows"}


def _json(row: Mapping[str, Any], count: int | None) -> str:
    line = json.dumps(_cut(row, count), ensure_ascii=False)
    # What ends a line, or cannot be encoded, in the name of a file stays readable as an escape.
    return line if line.isprintable() else json.dumps(_cut(row, count))


def _cut(part: Mapping[str, Any], count: int | None) -> dict[str, Any]:
    """Keep only the most probable emotions, where a number of them is asked for."""
    from ..inference.predict import top

    found = dict(part)
    if count and "probabilities" in part:
        found["probabilities"] = dict(top(part["probabilities"], count))
    if "windows" in part:
        found["windows"] = [_cut(window, count) for window in part["windows"]]
    return found


def _text(row: Mapping[str, Any], count: int | None) -> str:
    if "error" in row:
        return printable_name(f"Error: {row['error']}")
    lines = [f"{printable_name(row['file'])}: {_prediction(row, count)}"]
    for part in row.get("windows", ()):
        times = f"{part['start_s']:7.2f} – {part['end_s']:7.2f} s"
        lines.append(f"  {times}  {_prediction(part, count)}")
    return "\n".join(lines)


def _prediction(part: Mapping[str, Any], count: int | None) -> str:
    from ..inference.predict import top

    ranked = top(part["probabilities"], count or len(part["probabilities"]))
    label = f"uncertain, perhaps {part['label']}" if part["uncertain"] else part["label"]
    return f"{label}  ({_shares(ranked)})"


def _shares(ranked: Iterable[tuple[str, float]]) -> str:
    return "  ".join(f"{label} {100 * p:.0f} %" for label, p in ranked)
