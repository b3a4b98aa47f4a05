"""An event: built here alone, and as the one line of JSON that is kept and sent."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from ser_toolkit.runtime.events import Event, Kind

if TYPE_CHECKING:
    from ser_toolkit.runtime.features.base import F32

    from .audio.smoothing import StateChange


@dataclass(frozen=True)
class EventDraft:
    """An event that has no id and no number yet."""

    kind: Kind
    time_s: float
    offset_s: float
    label: str
    probabilities: Mapping[str, float]
    level_dbfs: float
    reason: str = ""


def draft_of(change: StateChange, labels: Sequence[str], time_s: float) -> EventDraft:
    """Make an event of a change at the Unix time `time_s`, rounded as it is shown."""
    return EventDraft(
        kind=change.kind,
        time_s=round(time_s, 3),
        offset_s=round(change.offset_s, 3),
        label=change.label,
        probabilities=named(labels, change.probabilities),
        level_dbfs=round(change.level_dbfs, 1),
        reason=change.reason,
    )


def named(labels: Sequence[str], probabilities: F32) -> dict[str, float]:
    """Return probabilities (n,) by label, rounded to four places."""
    return {label: round(float(p), 4) for label, p in zip(labels, probabilities, strict=True)}


def numbered(draft: EventDraft, sequence: int) -> Event:
    """Make the event of a draft, with an id that no other has."""
    # JSON has no numpy numbers.
    return Event(
        id=uuid.uuid4().hex,
        sequence=sequence,
        kind=draft.kind,
        time_s=float(draft.time_s),
        offset_s=float(draft.offset_s),
        label=str(draft.label),
        probabilities={str(label): float(p) for label, p in draft.probabilities.items()},
        level_dbfs=float(draft.level_dbfs),
        reason=draft.reason,
    )


def age_s(event: Event) -> float:
    """Return how long ago an event was, by the clock on the wall: it may be of an earlier start."""
    return max(0.0, time.time() - event.time_s)


def text_of(event: Event) -> str:
    """Write an event as one line of JSON, in ASCII, the same everywhere."""
    return json.dumps(asdict(event), separators=(",", ":"))


def event_of(text: str) -> Event | None:
    """Read what `text_of` wrote; None where it cannot be that."""
    try:
        return Event(**json.loads(text))
    except (ValueError, TypeError):
        return None
