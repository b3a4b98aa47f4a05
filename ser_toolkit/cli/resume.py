"""`sertk resume`: go on where a run stopped."""

from __future__ import annotations

from pathlib import Path

import click

from ..utils.progress import LOG


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="Where its data are now, if they were moved; repeat as in the run.",
)
def resume(run: Path, data: tuple[str, ...]) -> None:
    """Go on with a training or a cross-validation that stopped."""
    from .. import api
    from ..inference.run import Run
    from . import show
    from .train import show_folds, show_trained

    was_finished = Run(run).finished
    with show.metrics_of_incomplete():
        done = api.resume(run, data=data, callback=show.Terminal(LOG))
    if not was_finished:
        (show_folds if "folds" in done.metrics else show_trained)(done)
