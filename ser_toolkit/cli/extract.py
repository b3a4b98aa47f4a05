"""`sertk extract`: features as arrays or tables."""

from __future__ import annotations

from pathlib import Path

import click

from ..runtime.text import printable_name
from .train import channel_option


@click.command()
@click.argument("files", nargs=-1, type=click.Path(path_type=Path), metavar="[FILE…]")
@click.option("--recipe", default="compact", show_default=True, help="Recipe name or file.")
@click.option("--data", multiple=True, metavar="DIR", help="A whole corpus instead of files.")
@click.option("--reader", metavar="NAME", help="Reader to use [default: recognised].")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As in `sertk train`.")
@click.option(
    "--workers",
    type=click.IntRange(min=0),
    default=0,
    help="Processes that compute features [default: one per core].",
)
@channel_option
@click.option(
    "--whole-clip",
    is_flag=True,
    help="Functionals of each clip as a whole, in place of its windows.",
)
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path),
    help="X.npy or X.npz for files, X.npz or X.csv for a corpus.",
)
def extract(
    files: tuple[Path, ...],
    recipe: str,
    data: tuple[str, ...],
    reader: str | None,
    settings: tuple[str, ...],
    workers: int,
    channel: str | None,
    whole_clip: bool,
    out: Path,
) -> None:
    """Write the features that a recipe computes, before any standardisation.

    X.npy holds the frames of all files one below another (T, F); X.npz one array per file. For a
    corpus, X.csv has one row per clip: emotion, speaker, mean and standard deviation over time of
    every column of frames, or the mean over windows of functionals; X.npz holds that table and all
    frames or windows.
    """
    from .. import api
    from ..plugins.settings import RecipeSettings
    from . import show

    summary = api.extract(
        recipe,
        files=files,
        data=data,
        out=out,
        reader=reader,
        settings=RecipeSettings(settings, "--set"),
        workers=workers,
        channel=channel or "mix",
        whole_clip=whole_clip,
        callback=show.Terminal(),
    )
    if "files" in summary:
        for name, shapes in zip(summary["files"], summary["shapes"], strict=True):
            parts = ", ".join(f"{key} {shape}" for key, shape in shapes.items())
            click.echo(f"{printable_name(name)}: {parts}")
    else:
        click.echo(
            f"{summary['clips']} clips x {len(summary['columns'])} values, "
            f"{summary['missing']} missing values"
        )
    click.echo(f"wrote {out}")
    if summary.get("failed"):
        raise SystemExit(1)
