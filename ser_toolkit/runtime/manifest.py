"""The manifest of a bundle: what was decided, and what may be believed of the other members.

`format` is one whole number. It goes up by one when a reader of the number before would refuse or
misread what is now written: a key added to, removed from or given another meaning in a table that
is checked here, another member, another container. Nothing else raises it: what merely informs
goes into the free tables `training`, `figures` and `quantization.details`, which no reader acts on.
A reader refuses a higher number and says which version is needed; it reads every lower number for
ever, and the test tree keeps a file of each.

Unknown keys are refused outside the free tables: a reader that passes over what it does not know
might act otherwise than the writer meant (a new kind of window, say), and a misspelt key would
pass unseen. The price, a new format number for each new key, is what the number is there for.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from .archive import COPY_AGAIN, BundleError
from .interpreter import Runtime
from .modes import MODES
from .table import Table, each, parse_json, to_json
from .window import Window

FORMAT = 1
MAX_COUNT = 1_000_000
DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*")
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME = "manifest.json"


@dataclass(frozen=True)
class Part:
    """A component of the extractor, and the distribution that brings it."""

    name: str
    version: int
    distribution: str
    distribution_version: str


@dataclass(frozen=True)
class Member:
    """What another member of the bundle must be."""

    sha256: str
    size: int


@dataclass(frozen=True)
class Quantization:
    """How the network's numbers are stored; `details` is free."""

    mode: str
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tolerances:
    """How far the self-test may be off: `features` in standard deviations of the training clips,
    `output` in probability.
    """

    features: float
    output: float


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle that is not learnt.

    `extractor` is `to_spec` of the extractor, `parts` names the distribution of each component in
    it, outermost first. `inputs` maps the network's inputs to shapes without the batch. `runtimes`
    are those that gave the right answers at export. `members` is filled in by `write_bundle`.
    """

    name: str
    created_by: str
    labels: tuple[str, ...]
    rate_hz: int
    window: Window
    extractor: Mapping[str, Any]
    parts: tuple[Part, ...]
    inputs: Mapping[str, tuple[int, ...]]
    quantization: Quantization
    runtimes: tuple[Runtime, ...]
    thresholds: Mapping[str, float]
    tolerances: Tolerances
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Member] = field(default_factory=dict)
    format: int = FORMAT

    def to_bytes(self) -> bytes:
        """The content of `manifest.json`."""
        return to_json(asdict(self))

    @staticmethod
    def from_bytes(content: bytes) -> Manifest:
        """Read and check `manifest.json`; BundleError names the first key that is wrong."""
        table = Table(parse_json(content, NAME), "manifest")
        number = table.integer("format", 1, MAX_COUNT)
        created_by = table.text("created_by", VERSION.fullmatch)
        if number > FORMAT:
            raise BundleError(
                f"the bundle has format {number}, this ser-toolkit reads 1 to {FORMAT}",
                f"Run `pip install 'ser-toolkit>={created_by}'`, which wrote it",
            )
        manifest = Manifest(
            format=number,
            name=table.text("name"),
            created_by=created_by,
            labels=_labels(table),
            rate_hz=table.integer("rate_hz", 1_000, 1_000_000),
            window=_window(table.table("window")),
            extractor=table.free("extractor"),
            parts=tuple(_part(row) for row in table.tables("parts", 1, 100)),
            inputs=_inputs(table.table("inputs")),
            quantization=_quantization(table.table("quantization")),
            runtimes=tuple(_runtime(row) for row in table.tables("runtimes", 1, 20)),
            thresholds=_thresholds(table.table("thresholds")),
            tolerances=_tolerances(table.table("tolerances")),
            training=table.free("training"),
            figures=table.free("figures"),
            members=_members(table.table("members")),
        )
        table.done()
        return manifest


def _labels(table: Table) -> tuple[str, ...]:
    def fits(value: Any) -> bool:
        return isinstance(value, str) and 0 < len(value) <= 100 and value.isprintable()

    labels = each(table.rows("labels", 2, 1000), "manifest.labels", fits, "printable names")
    if len(set(labels)) != len(labels):
        raise BundleError("manifest.labels expects each name once", COPY_AGAIN)
    return tuple(labels)


def _window(table: Table) -> Window:
    short = table.choice("short", ("tile", "zero"))
    length = table.integer("length_frames", 1, MAX_COUNT)
    hop = table.integer("hop_frames", 1, MAX_COUNT)
    table.done()
    return Window(length, hop, short)  # type: ignore[arg-type]


def _part(table: Table) -> Part:
    part = Part(
        table.text("name"),
        table.integer("version", 0, MAX_COUNT),
        table.text("distribution", DISTRIBUTION.fullmatch),
        table.text("distribution_version", VERSION.fullmatch),
    )
    table.done()
    return part


def _inputs(table: Table) -> dict[str, tuple[int, ...]]:
    def fits(value: Any) -> bool:
        return isinstance(value, int) and not isinstance(value, bool) and 0 < value <= MAX_COUNT

    names = table.names()
    if not names or not all(name.isprintable() and 0 < len(name) < 100 for name in names):
        raise BundleError("manifest.inputs expects inputs with printable names", COPY_AGAIN)
    rows = {name: table.rows(name, 1, 8) for name in names}
    wanted = "a list of whole numbers above 0"
    return {name: tuple(each(row, "manifest.inputs", fits, wanted)) for name, row in rows.items()}


def _quantization(table: Table) -> Quantization:
    found = Quantization(table.choice("mode", MODES), table.free("details"))
    table.done()
    return found


def _runtime(table: Table) -> Runtime:
    found = Runtime(
        table.text("name", DISTRIBUTION.fullmatch), table.text("version", VERSION.fullmatch)
    )
    table.done()
    return found


def _thresholds(table: Table) -> dict[str, float]:
    found = {"uncertain": table.number("uncertain", 0, 1)}
    table.done()
    return found


def _tolerances(table: Table) -> Tolerances:
    found = Tolerances(table.number("features", 0, 1), table.number("output", 0, 1))
    table.done()
    return found


def _members(table: Table) -> dict[str, Member]:
    found = {}
    for name in table.names():
        row = table.table(name)
        found[name] = Member(row.text("sha256", SHA256.fullmatch), row.integer("size", 0, 1 << 40))
        row.done()
    return found
