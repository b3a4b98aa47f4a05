"""A recipe: a frozen, named set of extractor, augmenters, model, training and window.

Recipes name components and never hold them, so that a plugin's recipe may use what another
plugin offers. Unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypeVar

from .runtime.component import configure_fields
from .runtime.errors import SertkError
from .runtime.window import Window

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

D = TypeVar("D")
Combine = Literal["random", "all"]

RANGES = (
    ("epochs", 1, math.inf),
    ("batch_size", 1, math.inf),
    ("warmup_epochs", 0, math.inf),
    ("plateau_patience", 1, math.inf),
    ("plateau_floor", 0, 1),
    ("weight_decay", 0, 1),
    ("label_smoothing", 0, 1),
    ("ema_momentum", 0, 1),
    ("tolerance_se", 0, math.inf),
    ("patience", 0, math.inf),
    ("copies", 0, math.inf),
    ("crops", 1, math.inf),
)


@dataclasses.dataclass(frozen=True)
class ComponentSpec:
    """A component by name, with the parameters that differ from its defaults."""

    name: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)

    def __init__(self, name: str, params: Mapping[str, Any] | None = None, **more: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "params", {**(params or {}), **more})

    def with_params(self, **params: Any) -> ComponentSpec:
        """A copy with some parameters set."""
        return ComponentSpec(self.name, {**self.params, **params})


Use = ComponentSpec
"""The name that recipes in Python had before."""


@dataclasses.dataclass(frozen=True)
class Training:
    """How the network is trained.

    Raises SertkError for a number out of its range.

    Attributes:
        epochs: At most.
        batch_size: Windows.
        optimizer: `adamw` or `adam`.
        learning_rate: Its highest value.
        schedule: `cosine`, down to 1 % over all epochs; `plateau`, which halves; `constant`.
        warmup_epochs: While the rate rises linearly from 0.
        plateau_patience: With `plateau`, epochs in a row that are not good until it halves.
        plateau_floor: With `plateau`, the lowest rate.
        weight_decay: With `adamw`; not on biases and normalisations.
        label_smoothing: In the training loss only.
        class_weights: Whether rare emotions weigh more: N / (n · count).
        ema_momentum: Of the weight average that is validated and kept; 0 switches it off.
        tolerance_se: An epoch is good while its validation loss lies within so many standard
            errors of the lowest; the latest good one is kept.
        patience: Epochs in a row that are not good until training stops; 0 is never.
        copies: Augmented copies of each training clip.
        combine: `random`, each augmenter with its `p`, one copy of each clip in an epoch; `all`,
            every combination of the audio augmenters is a copy, and an epoch has all copies.
        crops: Windows drawn from each training clip in an epoch.
        last_batch: Whether the incomplete last batch of an epoch is used.
        standardise: Whether columns get the mean 0 and the deviation 1 of the training clips.
    """

    epochs: int = 60
    batch_size: int = 32
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = 2e-3
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_epochs: int = 2
    plateau_patience: int = 3
    plateau_floor: float = 1e-5
    weight_decay: float = 1e-2
    label_smoothing: float = 0.1
    class_weights: bool = True
    ema_momentum: float = 0.99
    tolerance_se: float = 1.0
    patience: int = 20
    copies: int = 4
    combine: Combine = "random"
    crops: int = 1
    last_batch: bool = False
    standardise: bool = True

    def __post_init__(self) -> None:
        for name, low, high in RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                ends = f"{low:g} or more" if high == math.inf else f"{low:g} to {high:g}"
                raise SertkError(f"'training.{name}' expects {ends}, received {value:g}")
        if not 0 < self.learning_rate < math.inf:
            raise SertkError(
                f"'training.learning_rate' expects more than 0, received {self.learning_rate:g}"
            )


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `--recipe NAME` chooses.

    Attributes:
        name: What users type.
        description: One line.
        extractor: One or more; several are stacked on one frame grid.
        model: The network.
        augmenter: None or more, applied in this order.
        window: What the network sees at once.
        training: How it is trained.
    """

    name: str
    description: str
    extractor: tuple[ComponentSpec, ...]
    model: ComponentSpec
    augmenter: tuple[ComponentSpec, ...] = ()
    window: Window = dataclasses.field(default_factory=Window)
    training: Training = dataclasses.field(default_factory=Training)

    @classmethod
    def from_toml(cls, text: str, where: str = "recipe") -> Recipe:
        """Parse a recipe file; the message of an error begins with `where`."""
        try:
            return cls.from_dict(tomllib.loads(text))
        except tomllib.TOMLDecodeError as error:
            raise SertkError(f"{where} is not valid TOML: {error}", "Fix that line") from error
        except SertkError as error:
            raise SertkError(f"{where}: {error}") from error

    @classmethod
    def from_dict(cls, table: Mapping[str, Any]) -> Recipe:
        """Build a recipe from the tables of a recipe file."""
        known = [field.name for field in dataclasses.fields(cls)]
        for key in table:
            if key not in known:
                raise SertkError(f"a recipe has no key '{key}'", f"It has: {', '.join(known)}")
        for key in ("name", "extractor", "model"):
            if key not in table:
                raise SertkError(f"a recipe needs '{key}'", "See `sertk recipe show compact`")
        return cls(
            name=str(table["name"]),
            description=str(table.get("description", "")),
            extractor=_uses("extractor", table["extractor"]),
            model=_use("model", table["model"]),
            augmenter=_uses("augmenter", table.get("augmenter", [])),
            window=_table(Window, "window", table.get("window", {})),
            training=_table(Training, "training", table.get("training", {})),
        )

    def to_dict(self) -> dict[str, Any]:
        """The tables of the recipe file."""
        return {
            "name": self.name,
            "description": self.description,
            "window": dataclasses.asdict(self.window),
            "training": dataclasses.asdict(self.training),
            "model": {"name": self.model.name, **self.model.params},
            "extractor": [{"name": use.name, **use.params} for use in self.extractor],
            "augmenter": [{"name": use.name, **use.params} for use in self.augmenter],
        }

    def to_toml(self) -> str:
        """The recipe as a file that `sertk train FILE.toml` runs."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())


def _table(kind: type[D], where: str, values: Any) -> D:
    if not isinstance(values, Mapping):
        raise SertkError(f"'{where}' expects a table, received {values!r}")
    return dataclasses.replace(kind(), **configure_fields(kind, values, where))  # type: ignore[type-var]


def _use(where: str, value: Any) -> ComponentSpec:
    if isinstance(value, str):
        return ComponentSpec(value)
    if not isinstance(value, Mapping) or "name" not in value:
        raise SertkError(f"'{where}' expects a table with a name, received {value!r}")
    return ComponentSpec(str(value["name"]), {k: v for k, v in value.items() if k != "name"})


def _uses(where: str, values: Any) -> tuple[ComponentSpec, ...]:
    single = isinstance(values, (str, Mapping)) or not isinstance(values, Sequence)
    return tuple(_use(where, value) for value in ([values] if single else values))


def parse_value(text: str) -> Any:
    """A TOML value; what is not TOML is a string, so that quotes may be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
