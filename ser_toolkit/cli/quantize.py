"""`sertk quantize`: from a run to one file for a device, with the loss of UAR."""

from __future__ import annotations

from pathlib import Path

import click

from ..runtime.bundle.modes import MODES


@click.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option(
    "--mode",
    type=click.Choice((*MODES, "all")),
    default="int8",
    show_default=True,
    help="Number format of the network; all: a bundle for each.",
)
@click.option(
    "--out", type=click.Path(path_type=Path), help="Bundle to write [default: RUN/RECIPE.sertk]."
)
@click.option(
    "--data",
    multiple=True,
    metavar="DIR",
    help="The run's corpus, where its features are no longer in the cache.",
)
@click.option("--reader", metavar="NAME", help="Reader to use [default: recognised].")
@click.option(
    "--max-drop",
    type=click.FloatRange(min=0),
    default=2.0,
    show_default=True,
    metavar="POINTS",
    help="Largest loss of UAR on validation clips, in points.",
)
@click.option("--force", is_flag=True, help="Write the bundle even if the loss is larger.")
@click.option(
    "--float-layers",
    metavar="A,B|auto",
    help="Layers that stay float in int8; auto: those that lose most.",
)
@click.option(
    "--with-frontend",
    is_flag=True,
    help="Also write a .tflite that takes raw audio, for use without this toolkit.",
)
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that compute features which the cache lacks [default: one per core].",
)
def quantize(
    run: Path,
    mode: str,
    out: Path | None,
    data: tuple[str, ...],
    reader: str | None,
    max_drop: float,
    force: bool,
    float_layers: str | None,
    with_frontend: bool,
    workers: int,
) -> None:
    """Export RUN as a bundle, after measuring it on validation and test clips."""
    from .. import api
    from ..training.outputs import OutputError
    from . import show
    from .delta import delta

    try:
        found = api.quantize(
            run,
            mode=mode,
            out=out,
            data=data,
            reader=reader,
            max_drop=max_drop,
            force=force,
            float_layers=tuple(float_layers.split(",")) if float_layers else (),
            with_frontend=with_frontend,
            workers=workers,
            callback=show.Terminal(),
        )
    except OutputError as refused:
        delta(refused.metrics)
        raise
    delta(found)
    out_console = show.console()
    for path in (*found["bundles"], *found["tflite"]):
        out_console.print(f"wrote {path} ({Path(path).stat().st_size / 1000:.0f} kB)")
    out_console.print(
        f"the report: {run / 'quantization.json'}, the picture: "
        f"{run / 'plots' / 'quantization.png'}",
        soft_wrap=True,
    )
    first = found["bundles"][0]
    show.steps(
        (f"sertk predict {show.quoted(first)} FILE.wav", "what it predicts for a file"),
        (f"sertk bundle show {show.quoted(first)}", "what is in it"),
        (f"sertk bench {show.quoted(first)}", "how fast it is here"),
    )
