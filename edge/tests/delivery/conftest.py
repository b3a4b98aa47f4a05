"""What the tests of the queue put into it, and how they empty it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ser_toolkit.runtime.events import Event
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft

PROBABILITIES = {"anger": 0.7, "joy": 0.3}


def make_draft(number: int = 0, label: str = "anger", time_s: float = 1e9) -> EventDraft:
    return EventDraft("started", time_s, float(number), label, PROBABILITIES, -20.5)


@pytest.fixture(scope="session")
def draft() -> Callable[..., EventDraft]:
    """Makes an event whose offset is its number."""
    return make_draft


@pytest.fixture(scope="session")
def fill() -> Callable[..., list[Event]]:
    """Appends `count` events, with numbers from `start` on."""

    def fill(event_queue: EventQueue, count: int, start: int = 0) -> list[Event]:
        return [event_queue.append(make_draft(number)) for number in range(start, start + count)]

    return fill


@pytest.fixture(scope="session")
def offsets() -> Callable[[EventQueue, str], list[float]]:
    """Takes everything that waits for a sink; its numbers."""

    def offsets(event_queue: EventQueue, sink: str) -> list[float]:
        found = []
        while (event := event_queue.next(sink)) is not None:
            found.append(event.offset_s)
            event_queue.commit(sink, event.sequence)
        return found

    return offsets
