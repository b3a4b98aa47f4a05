"""`sertk predict`: what a run hears in files."""

from __future__ import annotations

import json
from pathlib import Path

import click


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path), metavar="FILE…")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
def predict(run: Path, files: tuple[Path, ...], as_json: bool) -> None:
    """Print the emotion that RUN hears in each FILE, with its probabilities."""
    from .. import api
    from . import show

    rows = api.predict(run, files, listener=show.Warnings() if as_json else show.Terminal())
    for row in rows:
        if as_json:
            click.echo(json.dumps(row, ensure_ascii=False))
        elif "error" in row:
            click.echo(f"Error: {row['error']}", err=True)
        else:
            ranked = sorted(row["probabilities"].items(), key=lambda item: -item[1])
            others = "  ".join(f"{label} {100 * p:.0f} %" for label, p in ranked)
            click.echo(f"{row['file']}: {row['emotion']}  ({others})")
    if any("error" in row for row in rows):
        raise click.exceptions.Exit(1)
