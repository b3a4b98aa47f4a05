"""Measure how loud the speech was that a network is trained on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..contracts.components import Utterance
from ..runtime.audio.level import speech_level
from .feature_store import Features, signal_of_copy

# With five times as many, percentiles of EMO-DB and its copies move by 0.4 dB at most.
MEASURED = 200
PERCENTILES = (5, 95)


def speech_level_range(
    features: Features, utterances: Sequence[Utterance], augmented_copies: int
) -> dict[str, float]:
    """Return the 5th and 95th percentile of the speech level, in dBFS.

    Augmented copies count, because the network has heard them too. Of more than 200 clips and
    copies, 200 are measured, evenly spaced.

    Args:
        features: Tells the augmenters.
        utterances: The training clips.
        augmented_copies: How many copies of each clip the network may have been trained on.
    """
    pairs = [(item, copy) for copy in range(augmented_copies + 1) for item in utterances]
    chosen = np.unique(np.linspace(0, len(pairs) - 1, min(len(pairs), MEASURED)).astype(int))
    signals = (signal_of_copy(features, *pairs[index]) for index in chosen)
    levels = [speech_level(signal.samples, signal.rate_hz) for signal in signals]
    low, high = np.percentile(levels, PERCENTILES)
    return {"low_dbfs": round(float(low), 1), "high_dbfs": round(float(high), 1)}
