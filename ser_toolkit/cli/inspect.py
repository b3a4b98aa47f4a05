"""Run `sertk inspect`: draw a recording, and write its augmented sounds."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import click

from ..runtime.text import printable_name
from .train import SEED


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--recipe", metavar="NAME", help="Recipe name or file [default: all augmenters].")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="As in `sertk train`.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Seed of the augmenters.")
@click.option(
    "--play-dir",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write the recording and every augmented sound here, as WAV.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="PNG file to write [default: ./FILE-inspect.png].",
)
def inspect(
    file: Path,
    recipe: str | None,
    settings: tuple[str, ...],
    seed: int,
    play_dir: Path | None,
    out: Path | None,
) -> None:
    """Draw a recording: waveform, spectrogram, features, and every augmentation.

    With --recipe the augmenters and parameters of that recipe are shown, else every installed
    augmenter with its defaults. Each is applied for certain, whatever its probability.
    """
    from .. import api
    from ..plugins.settings import RecipeSettings
    from . import show

    found = api.inspect(
        file,
        recipe=recipe,
        out=out,
        play_dir=play_dir,
        settings=RecipeSettings(settings, "--set"),
        seed=seed,
        callback=show.Terminal(),
    )
    for name, value in _facts(found):
        click.echo(f"{name:<12}{value}")
    for line in _sound_lines(found["played"]):
        click.echo(line)
    click.echo(f"wrote {found['picture']}")


def _facts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    channels = found["channels"]
    mixed = "mono" if channels == 1 else f"{channels} channels, averaged to one"
    clipped = found["clipped"]
    share = "none" if clipped == 0 else f"{100 * clipped:.3f} %"
    yield "file", printable_name(found["file"])
    yield "rate", f"{found['rate_hz']} Hz, {mixed}"
    yield "duration", f"{found['duration_s']:.3f} s"
    yield "level", f"peak {_dbfs(found['peak_dbfs'])}, RMS {_dbfs(found['rms_dbfs'])}"
    yield "clipping", f"{share} of the samples at full scale"
    yield "speech", found["speech"]
    yield "recipe", f"{found['recipe']}, which uses {_used_part(found)}"
    yield "frames", f"{found['frames']}, one every {1000 * found['hop_s']:g} ms"
    yield "windows", f"{found['windows']} of {found['window_s']:.3f} s"
    names = [item["name"] for item in found["augmentations"]] + found["frame_augmentations"]
    yield "augmented", ", ".join(names) or "not at all, the recipe has no augmenter"


def _dbfs(level: float) -> str:
    # Adding zero takes the sign from a zero.
    return f"{round(level, 1) + 0.0:.1f} dBFS"


def _used_part(found: Mapping[str, Any]) -> str:
    rate_hz = found["extractor_rate_hz"]
    resampled = "as it is" if rate_hz == found["rate_hz"] else f"resampled to {rate_hz} Hz"
    first_s = found["used_from_s"]
    begin = f" from {first_s:g} s on" if first_s else ""
    return f"{found['used_s']:.3f} s of it{begin}, {resampled}"


def _sound_lines(sounds: list[dict[str, Any]]) -> Iterator[str]:
    for sound in sounds:
        softer = f" (made {sound['scaled_db']:.1f} dB softer, it was above full scale)"
        yield f"wrote {sound['file']}{softer if sound['scaled_db'] else ''}"
