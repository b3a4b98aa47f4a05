"""Hold what a user may choose for a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..contracts.recipe import Recipe
from ..data.feature_store import processes
from ..data.labels import parse_emotions
from ..plugins.settings import SettingsInput
from ..runtime.audio.channels import MIX, Channel, parse_channel
from ..runtime.errors import SertkError

Data = str | Path | Sequence[str | Path]


@dataclass(frozen=True)
class TrainOptions:
    """What a user may choose for `train` and `crossval`.

    Attributes:
        data: A folder, a table, `"synthetic"`, or several of these; `"NAME=PATH"` names a corpus.
        plugin: The plugin whose recipe, or whose component in the default recipe, is trained.
        recipe: A `Recipe`, the name of one, or a `.toml` file.
        reader: Who reads `data`, where it is not to be found out.
        protocol: What the test subset is: `holdout`, `kfold:5`, `loso`, `official`, …
        emotions: Those that count; all, if empty.
        mapping: Renames emotions.
        labels_as_they_are: Train on labels that are other words than emotions.
        overlapping: Train although segments of one file overlap in different subsets.
        channel: Channel of files with several: `mix` (their mean), `left`, `right`, or a number
            from 1 on.
        settings: Values in place of the recipe's, `{"training.epochs": 40}`, or a list of strings
            `"training.epochs=40"`.
        epochs: In place of the recipe's.
        seed: Of everything that is drawn.
        workers: Processes that compute features; 0 means one per core.
        out: The run directory, by default `runs/RECIPE-TIME`; new, or with `resume` an old one.
        resume: Go on where a run in `out` stopped.
    """

    data: Data
    plugin: str | None = None
    recipe: str | Path | Recipe | None = None
    reader: str | None = None
    protocol: str = "holdout"
    emotions: Sequence[str] = ()
    mapping: Mapping[str, str] | None = None
    labels_as_they_are: bool = False
    overlapping: bool = False
    channel: Channel = MIX
    settings: SettingsInput = ()
    epochs: int | None = None
    seed: int = 0
    workers: int = 0
    out: str | Path | None = None
    resume: bool = False

    def __post_init__(self) -> None:
        for name in ("epochs", "seed", "workers"):
            value = getattr(self, name)
            if value is not None and (isinstance(value, bool) or not isinstance(value, int)):
                raise SertkError(f"{name} expects a whole number, received {value!r}")
        object.__setattr__(self, "channel", parse_channel(self.channel))
        if isinstance(self.emotions, str):
            object.__setattr__(self, "emotions", parse_emotions(self.emotions))

    @property
    def paths(self) -> tuple[str, ...]:
        """Return the data, each as a string."""
        return paths_of(self.data)

    @property
    def recipe_or_name(self) -> str | Recipe | None:
        """Return the recipe, a path as a string."""
        return str(self.recipe) if isinstance(self.recipe, Path) else self.recipe

    @property
    def folder(self) -> Path | None:
        """Return the run directory that was chosen."""
        return Path(self.out) if self.out else None

    @property
    def processes(self) -> int:
        """Return the number of worker processes: `workers`, or one per core where it is 0."""
        return processes(self.workers)


def paths_of(data: Data) -> tuple[str, ...]:
    """Return one path or several, each as a string."""
    return tuple(map(str, [data] if isinstance(data, (str, Path)) else data))
