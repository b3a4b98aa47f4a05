"""Define the command `sertk example`."""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
from ser_toolkit import Audio, read_audio

FLOOR = 1e-6


@click.command("example", hidden=True)
@click.argument("files", nargs=-1, required=True, type=click.Path(path_type=Path))
def command(files: tuple[Path, ...]) -> None:
    """Print seconds, peak and level (dB below full scale) of each of FILES."""
    for file in files:
        click.echo(f"{line(read_audio(file))}  {file.name}")


def line(audio: Audio) -> str:
    """Return seconds, peak and level in columns."""
    peak = np.abs(audio.samples).max(initial=0.0)
    level = np.sqrt(np.square(audio.samples, dtype=np.float64).sum() / max(1, len(audio.samples)))
    return f"{audio.duration_s:8.2f} {dbfs(peak):7.1f} {dbfs(level):7.1f}"


def dbfs(value: float) -> float:
    """Return a magnitude in dB below full scale, no less than -120."""
    return float(20 * np.log10(max(value, FLOOR)))
