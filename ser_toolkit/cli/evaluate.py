"""`sertk evaluate`: a run or a bundle on data that took no part in its training."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ..data import labels
from .predict import signature_option
from .train import data_options


@click.command()
@click.argument("model", type=click.Path(path_type=Path), metavar="BUNDLE|RUN")
@data_options
@click.option(
    "--include-training",
    is_flag=True,
    help="Score clips that it was trained on as well; a caveat marks the metrics.",
)
@signature_option
@click.option("--out", type=click.Path(path_type=Path), help="Write the metrics here, as JSON.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
def evaluate(
    model: Path,
    data: tuple[str, ...],
    reader: str | None,
    emotions: str | None,
    mapping: tuple[str, ...],
    channel: str | None,
    include_training: bool,
    require_signature: Path | None,
    out: Path | None,
    as_json: bool,
) -> None:
    """Score a bundle or a run on its test subset and on unseen clips."""
    from .. import api
    from ..training import report
    from ..utils.files import check_file
    from . import show

    check_file(out)
    metrics = api.evaluate(
        model,
        data,
        reader=reader,
        emotions=labels.parse_emotions(emotions) if emotions else (),
        mapping=labels.parse_mapping(mapping),
        include_training=include_training,
        channel=channel,
        require_signature=require_signature,
        callback=show.Warnings() if as_json else show.Terminal(),
    )
    if as_json:
        click.echo(json.dumps(report.plain(metrics.to_dict())))
    else:
        show.show_metrics(metrics)
        click.echo(_count_line(metrics["counts"]))
    if out:
        report.write_json(out, metrics.to_dict())


def _count_line(counts: dict[str, Any]) -> str:
    trained = counts["trained_on"]
    others = f", and {trained} that took part in training" if trained else ""
    left_out = counts["left_out_as_trained_on"]
    return (
        f"\nscored: {counts['test_side']} clips of the test subset and {counts['never_seen']} "
        f"never seen{others}; left out: {left_out} that took part in training"
    )
