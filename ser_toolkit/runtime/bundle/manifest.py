"""Read and write the manifest of a bundle: what was decided, and how to check the other members.

`format` is one whole number. It goes up by one when a reader of the number before would refuse or
misread what is now written: a key added to, removed from or given another meaning in a table that
is checked here, another member, another container. Nothing else raises it: what merely informs
goes into the free tables `training`, `figures` and `quantization.details`, which no reader acts on.
A reader refuses a higher number and says which version is needed; it reads every lower number for
ever, and the test tree keeps a file of each.

Unknown keys are refused outside the free tables: a reader that ignored a key might act otherwise
than the writer meant (a new kind of window, say), and a misspelt key would pass unseen. The price,
a new format number for each new key, is what the number is there for.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from ..errors import SertkError
from ..features.window import Window
from ..inference.tflite import DISTRIBUTION, LINE, VERSION, TfliteRuntime
from ..json_reader import parse_json, to_json
from ..validate import UnknownKeyError, bounds, check_fields, from_mapping, refuse_unknown
from .container import COPY_AGAIN, BundleError
from .modes import MODES

FORMAT = 2
# Keys that came with a later format, and what they are in a manifest of before.
SINCE: Mapping[str, tuple[int, Any]] = {"speech_level": (2, None)}
THRESHOLDS = ("uncertain",)


MAX_COUNT = 1_000_000
SHA256 = re.compile(r"[0-9a-f]{64}")
NAME, WHERE = "manifest.json", "manifest"


@dataclass(frozen=True)
class Part:
    """A component of the extractor, and the distribution that brings it."""

    name: str = field(metadata=bounds(characters=LINE))
    version: int = field(metadata=bounds(0, MAX_COUNT))
    distribution: str = field(metadata=DISTRIBUTION)
    distribution_version: str = field(metadata=VERSION)


@dataclass(frozen=True)
class Member:
    """The sha256 and size that another member of the bundle must have."""

    sha256: str = field(metadata=bounds(pattern=SHA256))
    size: int = field(metadata=bounds(0, 1 << 40))


@dataclass(frozen=True)
class Quantization:
    """How the network's numbers are stored; `details` is free."""

    mode: str = field(metadata=bounds(choices=MODES))
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Tolerances:
    """How far the self-test may be off: `features` in standard deviations of the training clips,
    `output` in probability.
    """

    features: float = field(metadata=bounds(0, 1))
    output: float = field(metadata=bounds(0, 1))


@dataclass(frozen=True)
class SpeechLevel:
    """How loud the training speech was, in dB of full scale: its 5th and 95th percentile."""

    low_dbfs: float = field(metadata=bounds(-200, 200))
    high_dbfs: float = field(metadata=bounds(-200, 200))


@dataclass(frozen=True)
class Manifest:
    """Everything about a bundle that is not learnt.

    `extractor` is `to_spec` of the extractor, `parts` names the distribution of each component in
    it, outermost first. `inputs` maps the network's inputs to shapes without the batch. `runtimes`
    are those that gave the right output at export. `speech_level` is None where training did not
    measure it. `members` is filled in by `write_bundle`.
    """

    name: str = field(metadata=bounds(characters=LINE))
    created_by: str = field(metadata=VERSION)
    labels: tuple[str, ...] = field(metadata=bounds(items=(2, 1000), characters=(1, 100)))
    rate_hz: int = field(metadata=bounds(1_000, 1_000_000))
    window: Window
    extractor: Mapping[str, Any]
    parts: tuple[Part, ...] = field(metadata=bounds(items=(1, 100)))
    inputs: Mapping[str, tuple[int, ...]] = field(metadata=bounds(1, MAX_COUNT, items=(1, 8)))
    quantization: Quantization
    runtimes: tuple[TfliteRuntime, ...] = field(metadata=bounds(items=(1, 20)))
    thresholds: Mapping[str, float] = field(metadata=bounds(0, 1))
    tolerances: Tolerances
    training: Mapping[str, Any] = field(default_factory=dict)
    figures: Mapping[str, Any] = field(default_factory=dict)
    speech_level: SpeechLevel | None = None
    members: Mapping[str, Member] = field(default_factory=dict)
    format: int = field(default=FORMAT, metadata=bounds(1, MAX_COUNT))

    def to_bytes(self) -> bytes:
        """Return the content of `manifest.json`."""
        later = _later_keys(self.format)
        return to_json({key: value for key, value in asdict(self).items() if key not in later})

    @staticmethod
    def from_bytes(content: bytes) -> Manifest:
        """Read and check `manifest.json`; BundleError names the first key that is wrong."""
        table = parse_json(content, NAME)
        with _as_bundle_error():
            later = _later_keys(_format_of(table))
            known = [name for name in Manifest.__dataclass_fields__ if name not in later]
            refuse_unknown(table, known, f"'{WHERE}'")
            manifest = from_mapping(Manifest, {**table, **later}, WHERE, complete=True)
            _check(manifest)
        return manifest


@contextlib.contextmanager
def _as_bundle_error() -> Iterator[None]:
    """Raise errors of the validator as BundleError, which says what helps the reader of a file."""
    try:
        yield
    except BundleError:
        raise
    except UnknownKeyError as error:
        raise BundleError(error.problem, "Upgrade ser-toolkit") from error
    except SertkError as error:
        raise BundleError(error.problem, COPY_AGAIN) from error


def _later_keys(number: int) -> dict[str, Any]:
    """Return the keys that a format does not have yet, with what they are in it."""
    return {key: default for key, (since, default) in SINCE.items() if since > number}


def _format_of(table: Mapping[str, Any]) -> int:
    """Return the format; refuse a higher one before its other keys, which may be unknown here."""
    given = {key: table[key] for key in ("format", "created_by") if key in table}
    head = check_fields(Manifest, given, WHERE)
    number: int = head.get("format", FORMAT)
    if number > FORMAT and "created_by" in head:
        raise BundleError(
            f"the bundle has format {head['format']}, this ser-toolkit reads 1 to {FORMAT}",
            f"Run `pip install 'ser-toolkit>={head['created_by']}'`, which wrote it",
        )
    return number


def _check(manifest: Manifest) -> None:
    """Refuse what depends on several fields."""
    if len(set(manifest.labels)) != len(manifest.labels):
        raise SertkError("'manifest.labels' expects each name once")
    level = manifest.speech_level
    if level is not None and level.low_dbfs > level.high_dbfs:
        raise SertkError("'manifest.speech_level' expects low_dbfs up to high_dbfs")
    names = list(manifest.inputs)
    if not names or not all(name.isprintable() and 0 < len(name) < 100 for name in names):
        raise SertkError("'manifest.inputs' expects inputs with printable names")
    refuse_unknown(manifest.thresholds, THRESHOLDS, "'manifest.thresholds'", "key")
    for name in THRESHOLDS:
        if name not in manifest.thresholds:
            raise SertkError(f"'manifest.thresholds' lacks '{name}'")
