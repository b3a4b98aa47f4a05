"""Apply one transform of audiomentations, drawn from the generator that is passed in."""

from __future__ import annotations

import contextlib
import importlib.util
import math
import random
import threading
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ser_toolkit import Asset, Augmenter, SertkError

from . import library, recordings
from .library import LEFT_OUT as LEFT_OUT

if TYPE_CHECKING:
    from ser_toolkit import F32, AssetLoader

FIRST = "AddGaussianNoise"
SHORTEST_S = 0.5
# The generators of the process are one: two threads that seed them would take turns with the draws.
_GENERATORS = threading.Lock()


@dataclass(frozen=True)
class Audiomentations(Augmenter):
    """Apply a transform of audiomentations, with the parameters that differ from its defaults.

    Parameters are validated at once, by building the transform. `recordings` holds an audio file,
    or a zip of several, for the transforms that mix in some.
    """

    name: ClassVar[str] = "audiomentations"
    version: ClassVar[int] = 2
    transform: str = FIRST
    params: Mapping[str, Any] = field(default_factory=dict, hash=False)
    recordings: Asset | None = None

    def __post_init__(self) -> None:
        if self.transform != FIRST or self.params:
            library.check(self.transform, self.params)
            self.build()
        if self.recordings and self.transform not in library.RECORDED:
            raise ValueError(
                f"{self.transform} takes no recordings; {', '.join(library.RECORDED)} do"
            )

    def prepare(self, load: AssetLoader) -> Audiomentations:
        """Return this transform, after unpacking its recordings and looking for its package."""
        needed = library.needed_package(self.transform, self.params)
        if needed and importlib.util.find_spec(needed) is None:
            raise self._missing(needed)
        if self.transform in library.RECORDED:
            if self.recordings is None:
                raise SertkError(
                    f"'{self.name}' with {self.transform} needs recordings",
                    "Give an audio file, or a .zip of some: --set augmenter.recordings=@FILE",
                )
            recordings.unpacked(self.recordings, load)
        return self

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """Return `samples` transformed; clips under half a second are repeated for it."""
        if self.transform in library.RECORDED and self._folder() is None:
            raise SertkError(
                f"'{self.name}' with {self.transform} has no recordings yet",
                "Call prepare(load) first",
            )
        seed = int(rng.integers(2**32))
        if len(samples) == 0:
            empty: F32 = samples.copy()
            return empty
        transform = self.build()
        # Whole repetitions: `Reverse` and `Shift` would put zeros after the clip in its place, and
        # whatever depends on its level would measure them with it.
        longer = np.tile(samples, math.ceil(SHORTEST_S * rate_hz / len(samples)))
        with _seeded(seed), np.errstate(over="ignore", invalid="ignore"):
            try:
                whole: F32 = np.array(transform(longer, rate_hz), np.float32)
            except ImportError as error:
                raise self._missing(error.name or str(error)) from error
        if not np.isfinite(whole).all():
            raise SertkError(
                f"'{self.name}': {self.transform} gives values that are no numbers at {rate_hz} Hz",
                "Give it frequencies below half of the rate",
            )
        return _cut(whole, len(samples), len(longer))

    def build(self) -> Any:
        """Return the library's own object; always applied, because the toolkit draws `p`."""
        given = library.arguments(self.transform, self.params)
        if source := library.RECORDED.get(self.transform):
            # Without recordings the other parameters are validated: that opens no file.
            given[source] = str(self._folder() or "none.wav")
        try:
            return library.kind_of(self.transform)(**given, p=1.0)
        except ImportError as error:
            raise self._missing(error.name or str(error)) from error
        except (AssertionError, ValueError, TypeError) as error:
            why = " ".join(str(error).split()) or "impossible together"
            shown = ", ".join(f"{key}={value!r}" for key, value in self.params.items())
            raise ValueError(f"{self.transform}: {why} (received {shown or 'none'})") from error

    def _folder(self) -> Path | None:
        folder = recordings.folder_of(self.recordings) if self.recordings else None
        return folder if folder and folder.is_dir() else None

    def _missing(self, package: str) -> SertkError:
        wanted = '"sertk-audiomentations[extras]"' if package in library.EXTRAS else package
        return SertkError(
            f"'{self.name}' with {self.transform} needs a package that is not installed "
            f"({package})",
            f"Run `pip install {wanted}`",
        )


def _cut(out: F32, n_samples: int, n_longer: int) -> F32:
    if n_longer == n_samples:
        return out
    return out[: max(1, round(len(out) * n_samples / n_longer))]


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Seed the generators of `random` and numpy for one transform, and restore them afterwards."""
    with _GENERATORS, warnings.catch_warnings():
        # A clip that is too short for a transform stays as it is, without a warning for each;
        # deprecations in what librosa imports mean nothing to a user.
        warnings.simplefilter("ignore", UserWarning)
        warnings.simplefilter("ignore", DeprecationWarning)
        python, legacy = random.getstate(), np.random.get_state()
        random.seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            random.setstate(python)
            np.random.set_state(legacy)
