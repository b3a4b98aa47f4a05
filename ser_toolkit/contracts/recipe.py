"""A recipe: a frozen, named set of extractor, augmenters, model, training and window.

Recipes name components and do not hold them, so that a plugin's recipe may use what another
plugin offers; an instance in the hands of a user becomes its name and parameters.
Unknown keys are errors.
"""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ..runtime.component import Component, to_spec
from ..runtime.errors import SertkError
from ..runtime.features.base import Joined, Stack
from ..runtime.features.window import Window
from ..runtime.validate import bounded, check_bounds, from_mapping, refuse_unknown

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

Combine = Literal["random", "all"]
UNNAMED = "custom"


@dataclasses.dataclass(frozen=True)
class ComponentSpec:
    """A component by name, with the parameters that differ from its defaults."""

    name: str
    params: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    _made_of: type[Component] | None = dataclasses.field(default=None, repr=False, compare=False)

    def __init__(self, name: str, params: Mapping[str, Any] | None = None, **more: Any) -> None:
        object.__setattr__(self, "name", name)
        object.__setattr__(self, "params", {**(params or {}), **more})

    @classmethod
    def of(cls, component: Component) -> ComponentSpec:
        """Return the spec of an instance; its class must be one that a plugin offers."""
        spec = cls(component.name, _changed(component))
        object.__setattr__(spec, "_made_of", type(component))
        return spec

    @property
    def made_of(self) -> type[Component] | None:
        """Return the class of the instance that this spec was made of."""
        return self._made_of

    def with_params(self, **params: Any) -> ComponentSpec:
        """Return a copy with some parameters set."""
        changed = ComponentSpec(self.name, {**self.params, **params})
        object.__setattr__(changed, "_made_of", self._made_of)
        return changed


def _changed(component: Component) -> dict[str, Any]:
    """Return the parameters that differ from the defaults, or all where there are no defaults."""
    values = to_spec(component)
    try:
        defaults = to_spec(type(component)())
    except (TypeError, ValueError, SertkError):
        defaults = {}
    fixed = ("name", "version")
    return {k: v for k, v in values.items() if k not in fixed and (k, v) not in defaults.items()}


Use = ComponentSpec
"""The name that recipes in Python had before."""

SEE = "See `sertk recipe show compact`"
Part = Component | ComponentSpec | str
"""What stands for a component in a recipe: an instance, its spec, or its name."""


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

    epochs: int = bounded(60, 1)
    batch_size: int = bounded(32, 1)
    optimizer: Literal["adamw", "adam"] = "adamw"
    learning_rate: float = bounded(2e-3, above=0)
    schedule: Literal["cosine", "plateau", "constant"] = "cosine"
    warmup_epochs: int = bounded(2, 0)
    plateau_patience: int = bounded(3, 1)
    plateau_floor: float = bounded(1e-5, 0, 1)
    weight_decay: float = bounded(1e-2, 0, 1)
    label_smoothing: float = bounded(0.1, 0, 1)
    class_weights: bool = True
    ema_momentum: float = bounded(0.99, 0, 1)
    tolerance_se: float = bounded(1.0, 0)
    patience: int = bounded(20, 0)
    copies: int = bounded(4, 0)
    combine: Combine = "random"
    crops: int = bounded(1, 1)
    last_batch: bool = False
    standardise: bool = True

    def __post_init__(self) -> None:
        check_bounds(self, "training")


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What `--recipe NAME` chooses.

    A component is given as an instance, as a `ComponentSpec` or by its name, and kept as a
    `ComponentSpec` with the parameters that differ from the defaults.

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
    augmenter: tuple[ComponentSpec, ...]
    window: Window
    training: Training

    def __init__(
        self,
        name: str = UNNAMED,
        description: str = "",
        extractor: Part | Sequence[Part] = (),
        model: Part | None = None,
        augmenter: Part | Sequence[Part] = (),
        window: Window | None = None,
        training: Training | None = None,
    ) -> None:
        if not extractor:
            raise SertkError("a recipe needs at least one extractor", SEE)
        if model is None:
            raise SertkError("a recipe needs a model", SEE)
        values = {
            "name": name,
            "description": description,
            "extractor": specs_of("extractor", extractor),
            "model": spec_of("model", model),
            "augmenter": specs_of("augmenter", augmenter),
            "window": window or Window(),
            "training": training or Training(),
        }
        for key, value in values.items():
            object.__setattr__(self, key, value)

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
        refuse_unknown(table, [field.name for field in dataclasses.fields(cls)], "a recipe", "key")
        for key in ("name", "extractor", "model"):
            if key not in table:
                raise SertkError(f"a recipe needs '{key}'", SEE)
        return cls(
            name=str(table["name"]),
            description=str(table.get("description", "")),
            extractor=_uses("extractor", table["extractor"]),
            model=_use("model", table["model"]),
            augmenter=_uses("augmenter", table.get("augmenter", [])),
            window=from_mapping(Window, table.get("window", {}), "window"),
            training=from_mapping(Training, table.get("training", {}), "training"),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the tables of the recipe file."""
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
        """Return the recipe as a file that `sertk train FILE.toml` runs."""
        import tomli_w

        return tomli_w.dumps(self.to_dict())


def spec_of(stage: str, part: object) -> ComponentSpec:
    """Return the spec of an instance, a spec or a name."""
    if isinstance(part, str):
        return ComponentSpec(part)
    if isinstance(part, ComponentSpec):
        return part
    if isinstance(part, Component):
        return ComponentSpec.of(part)
    raise SertkError(
        f"'{stage}' expects a component, a ComponentSpec or a name, received {part!r:.80}"
    )


def specs_of(stage: str, parts: Any) -> tuple[ComponentSpec, ...]:
    """Return the specs of one part or of several; a stack stands for its parts."""
    if isinstance(parts, (Stack, Joined)):
        parts = parts.parts
    single = isinstance(parts, str) or not isinstance(parts, Sequence)
    return tuple(spec_of(stage, part) for part in ([parts] if single else parts))


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
    """Parse a TOML value; what is not TOML is a string, so that quotes may be left out."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text
