"""`sertk train` and `sertk crossval`: from clips to a network and its metrics."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
from click.core import ParameterSource

from ..data import labels
from ..data.split import NAMES
from ..utils.progress import LOG

if TYPE_CHECKING:
    from ..inference.run import Run

F = TypeVar("F", bound=Callable[..., Any])
SEED = click.IntRange(min=0, max=2**32 - 1)


def channel_option(command: F) -> F:
    """Return `--channel`, for every command that reads audio."""
    return click.option(
        "--channel",
        metavar="NAME",
        help="Channel of stereo files: mix (the mean), left, right, or a number from 1 on "
        "[default: mix; for a run or a bundle, what it was trained on].",
    )(command)


def data_options(command: F) -> F:
    """Return which data, and which of its emotions."""
    for option in (
        channel_option,
        click.option(
            "--map",
            "mapping",
            multiple=True,
            metavar="OLD=NEW",
            help="Rename an emotion; repeat for more.",
        ),
        click.option("--emotions", metavar="A,B,C", help="Use only these emotions."),
        click.option("--reader", metavar="NAME", help="Reader to use [default: recognised]."),
        click.option(
            "--data",
            multiple=True,
            metavar="[NAME=]DIR",
            help="Corpus folder, CSV or TSV, or 'synthetic'; NAME= names it; repeat to combine.",
        ),
    ):
        command = option(command)
    return command


def _training_options(default_protocol: str) -> Callable[[F], F]:
    def decorate(command: F) -> F:
        for option in (
            click.option("--resume", is_flag=True, help="Continue the run in --out."),
            click.option(
                "--out",
                type=click.Path(path_type=Path),
                help="Run directory [default: runs/RECIPE-TIME].",
            ),
            click.option(
                "--workers",
                type=click.IntRange(min=0),
                default=0,
                help="Processes that compute features [default: one per core].",
            ),
            click.option(
                "--seed",
                type=SEED,
                default=0,
                show_default=True,
                help="Seed of split, training and augmentation.",
            ),
            click.option(
                "--epochs",
                type=click.IntRange(min=1),
                help="Largest number of epochs [default: the recipe's].",
            ),
            click.option(
                "--set",
                "settings",
                multiple=True,
                metavar="KEY=VALUE",
                help="Set a field of the recipe, e.g. extractor.n_mels=80; repeat for more.",
            ),
            click.option(
                "--protocol",
                default=default_protocol,
                show_default=True,
                metavar="NAME",
                help=f"One of {NAMES}.",
            ),
            click.option(
                "--overlapping",
                is_flag=True,
                help="Train although segments of one file overlap in different subsets.",
            ),
            click.option(
                "--labels-as-they-are",
                is_flag=True,
                help="Train on labels that are other words than emotions.",
            ),
            data_options,
            click.option(
                "--recipe",
                metavar="NAME",
                help="Recipe to train, see `sertk recipe list` [default: compact].",
            ),
            click.option("--plugin", metavar="NAME", help="Train the recipe of this plugin."),
            click.argument(
                "recipe_file", required=False, type=click.Path(), metavar="[RECIPE.toml|RUN.toml]"
            ),
        ):
            command = option(command)
        return command

    return decorate


@click.command()
@_training_options("holdout")
@click.option(
    "--fold", type=click.IntRange(min=1), default=1, show_default=True, help="Fold to train."
)
def train(**chosen: Any) -> None:
    """Train a recipe and test it on unseen speakers; with the run.toml of a run, repeat it."""
    from .. import api
    from . import show

    with show.metrics_of_incomplete():
        run = api.train(**_given(chosen), callback=show.Terminal(LOG))
    show_trained(run)


@click.command()
@_training_options("kfold:5")
@click.option(
    "--quantize",
    type=click.Choice(("float32", "float16", "dynamic", "int8", "int16x8")),
    help="Score every fold in this number format as well, and show the difference.",
)
def crossval(**chosen: Any) -> None:
    """Train and test every fold of a protocol; metrics pooled and per fold."""
    from .. import api
    from . import show

    with show.metrics_of_incomplete():
        run = api.crossval(**_given(chosen), callback=show.Terminal(LOG))
    show_folds(run)


def show_trained(run: Run) -> None:
    """Show what `sertk train` has reached."""
    from . import ending, show

    show.show_metrics(run.metrics)
    ending.ending(run)
    show.next_steps(
        run.path,
        (f"sertk predict {show.quoted(run.path)} FILE.wav", "what it predicts for a file"),
        (f"sertk evaluate {show.quoted(run.path)} --data DIR", "metrics on other data"),
        (f"sertk quantize {show.quoted(run.path)}", "one file for a device"),
        ("sertk crossval … --protocol loso", "every speaker as the test speaker once"),
    )


def show_folds(run: Run) -> None:
    """Show what `sertk crossval` has reached."""
    from . import ending, show

    show.show_metrics(run.metrics)
    ending.predictions(run)
    first = run.path / "fold-01"
    show.next_steps(
        run.path,
        (f"sertk predict {show.quoted(first)} FILE.wav", "the network of one fold"),
        ("sertk train …", "one network to keep"),
    )


def _given(chosen: dict[str, Any]) -> dict[str, Any]:
    """Return what was typed, as the API takes it: what was not may come from a run.toml."""
    context = click.get_current_context()
    typed = {
        name: value
        for name, value in chosen.items()
        if context.get_parameter_source(name) is not ParameterSource.DEFAULT
    }
    recipe, recipe_file = typed.pop("recipe", None), typed.pop("recipe_file", None)
    if recipe and recipe_file:
        raise click.UsageError("give either --recipe or a recipe file")
    if recipe_file and not recipe_file.endswith(".toml"):
        raise click.UsageError(f"a recipe file ends in .toml, received '{recipe_file}'")
    from ..plugins.settings import RecipeSettings

    typed["recipe"] = recipe_file or recipe
    parse: dict[str, Callable[[Any], Any]] = {
        "settings": lambda lines: RecipeSettings(lines, "--set"),
        "emotions": labels.parse_emotions,
        "mapping": labels.parse_mapping,
    }
    return {name: parse.get(name, lambda value: value)(value) for name, value in typed.items()}
