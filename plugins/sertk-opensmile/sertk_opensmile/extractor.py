"""Compute functionals of openSMILE for a window of audio."""

from __future__ import annotations

import functools
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from ser_toolkit import WindowExtractor

from .library import load_library

if TYPE_CHECKING:
    from ser_toolkit import F32, Signal

FeatureSet = Literal[
    "ComParE_2016",
    "GeMAPS",
    "GeMAPSv01b",
    "eGeMAPS",
    "eGeMAPSv01b",
    "eGeMAPSv02",
    "emobase",
    "IS09",
    "IS10",
    "IS11",
    "IS12",
    "IS13",
]
SHORTEST_S = 0.1


@dataclass(frozen=True)
class OpenSmile(WindowExtractor):
    """Compute an openSMILE feature set over a window: {"functionals": (D,)} float32.

    Units are those of openSMILE, which is not free for every use. A clip under a tenth of a second
    is padded with zeros. Raises ValueError for a rate below 8 kHz.
    Source: Eyben, Wöllmer, Schuller, openSMILE, ACM Multimedia 2010.
    """

    name: ClassVar[str] = "opensmile"
    version: ClassVar[int] = 1
    edge_ready: ClassVar[bool] = False
    takes_short: ClassVar[bool] = True
    licence: ClassVar[str] = (
        "openSMILE by audEERING GmbH, audEERING Research License: free for research and other "
        "non-commercial purposes, commercial use needs a licence from audEERING"
    )
    feature_set: FeatureSet = "eGeMAPSv02"
    rate_hz: int = 16000
    frame_length: int = 1024
    hop_length: int = 256

    def __post_init__(self) -> None:
        if self.rate_hz < 8000:
            raise ValueError(f"rate_hz must be 8000 or more, received {self.rate_hz}")
        if self.frame_length < 1 or self.hop_length < 1:
            raise ValueError("frame_length and hop_length must be 1 or more")

    @property
    def columns(self) -> tuple[str, ...]:
        return tuple(_smile(self.feature_set).feature_names)

    def arrays(self, signal: Signal) -> dict[str, F32]:
        missing = max(0, int(SHORTEST_S * self.rate_hz) - len(signal))
        samples = np.pad(signal.samples, (0, missing))
        values = _smile(self.feature_set)(samples, signal.rate_hz)
        return {"functionals": np.array(values, np.float32).reshape(-1)}


@functools.lru_cache(maxsize=4)
def _smile(feature_set: str) -> Any:
    """Return the configured library, cached; every call runs an openSMILE of its own."""
    opensmile = load_library()
    with warnings.catch_warnings():
        # Older versions of a set stay available here: a figure of a paper may need them.
        warnings.filterwarnings("ignore", "Feature set .* is deprecated", UserWarning)
        return opensmile.Smile(
            opensmile.FeatureSet[feature_set], opensmile.FeatureLevel.Functionals, num_workers=1
        )
