"""One transform of audiomentations, drawn from the generator that is passed in."""

from __future__ import annotations

import contextlib
import importlib.util
import random
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ser_toolkit import Augmenter, SertkError

if TYPE_CHECKING:
    from ser_toolkit import F32, AssetLoader

# A name, and why no recipe can hold it.
LEFT_OUT = {
    "Lambda": "needs a function, and a recipe holds no code",
    "Compose": "the recipe's own list of augmenters applies them in order",
    "OneOf": "the recipe's own list of augmenters, each with its p, takes its place",
    "SomeOf": "the recipe's own list of augmenters, each with its p, takes its place",
}
EXTRAS = ("numpy_audio_limiter", "loudness", "fast_mp3_augment", "pyroomacoustics")
SHORTEST_S = 0.5
# The generators of the process are one: two threads that seed them would take turns with the draws.
_GENERATORS = threading.Lock()


@dataclass(frozen=True)
class Transform(Augmenter):
    """Base of all: the fields of a subclass are the parameters of the transform of its name.

    Parameters that differ from the defaults are tried on the library at once. `needs` names the
    package that the library imports for this transform alone.
    """

    needs: ClassVar[str] = ""

    def __post_init__(self) -> None:
        if any(getattr(self, key) != value for key, value in self._defaults().items()):
            self.build()

    def prepare(self, load: AssetLoader) -> Transform:
        """This transform; raises SertkError where its package is missing."""
        del load
        if self.needs and importlib.util.find_spec(self.needs) is None:
            raise self._missing(self.needs)
        return self

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        """`samples` transformed; clips under half a second are lengthened with zeros meanwhile."""
        seed = int(rng.integers(2**32))
        if len(samples) == 0:
            nothing: F32 = samples.copy()
            return nothing
        transform = self.build()
        longer = np.pad(samples, (0, max(0, int(SHORTEST_S * rate_hz) - len(samples))))
        with _seeded(seed), np.errstate(over="ignore", invalid="ignore"):
            try:
                whole: F32 = np.array(transform(longer, rate_hz), np.float32)
            except ImportError as error:
                raise self._missing(error.name or str(error)) from error
        if not np.isfinite(whole).all():
            raise SertkError(
                f"'{self.name}' gives values that are no numbers at {rate_hz} Hz",
                "Give it frequencies below half of the rate",
            )
        return self._cut(whole, len(samples), len(longer))

    def build(self) -> Any:
        """The library's own object; always applied, because the toolkit draws `p`."""
        import audiomentations

        kind = getattr(audiomentations, self.name.rpartition(".")[2])
        try:
            return kind(**self._arguments(), p=1.0)
        except ImportError as error:
            raise self._missing(error.name or str(error)) from error
        except (AssertionError, ValueError, TypeError) as error:
            why = " ".join(str(error).split()) or "impossible together"
            given = ", ".join(f"{key}={getattr(self, key)!r}" for key in self._defaults())
            raise ValueError(f"{why} (received {given})") from error

    def _defaults(self) -> dict[str, Any]:
        return {field.name: field.default for field in fields(self) if field.name != "p"}

    def _arguments(self) -> dict[str, Any]:
        return {key: getattr(self, key) for key in self._defaults()}

    def _cut(self, out: F32, n_samples: int, n_longer: int) -> F32:
        if n_longer == n_samples:
            return out
        return out[: max(1, round(len(out) * n_samples / n_longer))]

    def _missing(self, package: str) -> SertkError:
        wanted = '"sertk-audiomentations[extras]"' if package in EXTRAS else package
        return SertkError(
            f"'{self.name}' needs a package that is not installed ({package})",
            f"Run `pip install {wanted}`",
        )


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """The generators of `random` and numpy, seeded for one transform and put back afterwards."""
    with _GENERATORS, warnings.catch_warnings():
        # A clip that is too short for a transform stays as it is, without a line for each; what
        # librosa imports is nobody's business here.
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
