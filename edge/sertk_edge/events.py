"""An event before it has a number, and as the one line of JSON that is kept and sent."""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping
from dataclasses import asdict, dataclass

from ser_toolkit.runtime.events import Event, Kind


@dataclass(frozen=True)
class EventDraft:
    """An event that has no id and no number yet."""

    kind: Kind
    time_s: float
    offset_s: float
    label: str
    probabilities: Mapping[str, float]
    level_dbfs: float


def numbered(draft: EventDraft, sequence: int) -> Event:
    """The event of a draft, with an id that no other has."""
    # JSON does not know numpy's numbers.
    return Event(
        id=uuid.uuid4().hex,
        sequence=sequence,
        kind=draft.kind,
        time_s=float(draft.time_s),
        offset_s=float(draft.offset_s),
        label=str(draft.label),
        probabilities={str(label): float(p) for label, p in draft.probabilities.items()},
        level_dbfs=float(draft.level_dbfs),
    )


def text_of(event: Event) -> str:
    """An event as one line of JSON, in ASCII, the same everywhere."""
    return json.dumps(asdict(event), separators=(",", ":"))


def event_of(text: str) -> Event | None:
    """What `text_of` wrote; None where it cannot be that."""
    try:
        return Event(**json.loads(text))
    except (ValueError, TypeError):
        return None
