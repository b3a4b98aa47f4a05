"""Between source and recognizer: some seconds of audio, and commands in order with them."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass
from typing import Generic, TypeVar

from ..sources.base import Chunk, Gap

T = TypeVar("T")
HELD_S = 10.0


@dataclass(frozen=True)
class Command(Generic[T]):
    """What is to happen between two chunks."""

    what: T


class AudioQueue(Generic[T]):
    """First in, first out. Live audio that waits too long gives way to newer, with a gap."""

    def __init__(self, live: bool, held_s: float = HELD_S) -> None:
        self._live = live
        self._most_s = held_s
        self._items: deque[Chunk | Gap | Command[T]] = deque()
        self._changed = asyncio.Condition()
        self.held_s = 0.0

    async def put(self, item: Chunk | Gap | Command[T]) -> None:
        """Add an item; audio that can wait waits until there is room."""
        async with self._changed:
            if isinstance(item, Chunk):
                if not self._live:
                    await self._changed.wait_for(lambda: self.held_s < self._most_s)
                self.held_s += seconds(item)
            self._items.append(item)
            if self._live and self.held_s > self._most_s:
                self._drop()
            self._changed.notify_all()

    async def get(self) -> Chunk | Gap | Command[T]:
        """Return the oldest item."""
        async with self._changed:
            await self._changed.wait_for(lambda: bool(self._items))
            item = self._items.popleft()
            if isinstance(item, Chunk):
                self.held_s -= seconds(item)
            if not self._items:
                # Sums of fractions leave a rest.
                self.held_s = 0.0
            self._changed.notify_all()
            return item

    def _drop(self) -> None:
        """Replace all audio that waits by one gap: what comes next is new."""
        lost_s, kept = 0.0, [item for item in self._items if isinstance(item, Command)]
        for item in self._items:
            lost_s += seconds(item) if isinstance(item, Chunk) else 0.0
            lost_s += (item.lost_s or 0.0) if isinstance(item, Gap) else 0.0
        self._items = deque([*kept, Gap("overflow", lost_s)])
        self.held_s = 0.0


def seconds(chunk: Chunk) -> float:
    """Return how long a chunk lasts."""
    return len(chunk.samples) / chunk.rate_hz
