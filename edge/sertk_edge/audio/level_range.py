"""How loud speech may be: predictions for speech unlike that of the training are worth little."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ser_toolkit.runtime.bundle.manifest import SpeechLevel

from ..settings import StreamSettings

LEVEL_REASONS = TOO_QUIET, TOO_LOUD = "too_quiet", "too_loud"
# Accuracy falls by about a tenth where speech is so far outside of what was trained.
MARGIN_DB = 6.0


@dataclass(frozen=True)
class LevelRange:
    """The speech levels that are classified, in dB of full scale."""

    low_dbfs: float = -inf
    high_dbfs: float = inf

    def reason_against(self, level_dbfs: float) -> str:
        """Return why speech of this level is not classified, '' where it is."""
        if level_dbfs < self.low_dbfs:
            return TOO_QUIET
        return TOO_LOUD if level_dbfs > self.high_dbfs else ""


def level_range(trained: SpeechLevel | None, settings: StreamSettings) -> LevelRange:
    """Return the range of a bundle with a margin; the setting replaces its lower end."""
    low, high = -inf, inf
    if trained is not None:
        low, high = trained.low_dbfs - MARGIN_DB, trained.high_dbfs + MARGIN_DB
    own = settings.min_level_dbfs
    return LevelRange(low if own > 0 else own, high)
