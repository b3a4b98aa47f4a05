"""What goes on at the moment: the current emotion and the input level."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ser_toolkit.runtime.audio.level import FLOOR_DBFS, decibels

from ..sources.base import Chunk
from .vad import mean_square

# A clipped sample is shown for so long: it lasts a moment and matters.
CLIPPING_SHOWN_S = 2.0


@dataclass(frozen=True)
class LevelMeter:
    """Level of the input: mean and peak of the last chunk in dB of full scale."""

    level_dbfs: float = FLOOR_DBFS
    peak_dbfs: float = FLOOR_DBFS
    clipped_at: float = -math.inf

    def after(self, chunk: Chunk) -> LevelMeter:
        """Return the level after a chunk."""
        peak = float(np.abs(chunk.samples).max()) if len(chunk.samples) else 0.0
        return LevelMeter(
            round(decibels(mean_square(chunk.samples)), 1),
            round(decibels(peak * peak), 1),
            time.monotonic() if chunk.clipped else self.clipped_at,
        )

    @property
    def clipping(self) -> bool:
        """Say whether samples were at full scale a moment ago."""
        return time.monotonic() - self.clipped_at < CLIPPING_SHOWN_S


@dataclass(frozen=True)
class CurrentEmotion:
    """The emotion that goes on: replaced as a whole, so that other threads may read it."""

    offset_s: float = 0.0
    speech: bool = False
    label: str | None = None
    probabilities: Mapping[str, float] | None = None
    label_from_s: float = 0.0
    reason: str = ""

    def after(
        self,
        offset_s: float,
        speech: bool,
        label: str | None,
        probabilities: Mapping[str, float] | None,
        reason: str = "",
    ) -> CurrentEmotion:
        """Return the emotion at `offset_s`; a label that stays keeps its beginning.

        Args:
            offset_s: Seconds of audio since the source was opened.
            speech: Whether somebody speaks.
            label: The emotion, or `uncertain`; None in silence.
            probabilities: What the label rests on, by emotion.
            reason: Why it is `uncertain`, else ''.
        """
        from_s = self.label_from_s if label == self.label else offset_s
        return replace(
            self,
            offset_s=offset_s,
            speech=speech,
            label=label,
            probabilities=probabilities,
            label_from_s=from_s,
            reason=reason,
        )

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values for the live state; `since_s` is how long the label has lasted."""
        since_s = None if self.label is None else round(self.offset_s - self.label_from_s, 2)
        return {
            "offset_s": round(self.offset_s, 3),
            "speech": self.speech,
            "label": self.label,
            "reason": self.reason,
            "probabilities": self.probabilities,
            "since_s": since_s,
        }
