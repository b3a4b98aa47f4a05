"""What the HTTP side may ask of the daemon: the whole of what stands between them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Event

RECENT = 256
Json = dict[str, Any]


class BusyError(SertkError):
    """Too much is asked at once; the client may try again."""


@dataclass(frozen=True)
class Message:
    """What subscribers get: an event (`emotion`) or the state of the moment (`live`)."""

    kind: Literal["emotion", "live"]
    data: Mapping[str, Any]


class Subscription:
    """The messages of one client, at most `limit` waiting. Iteration ends when it is closed."""

    def __init__(self, limit: int, leave: Callable[[Subscription], None]) -> None:
        self._queue: asyncio.Queue[Message | None] = asyncio.Queue(limit + 1)
        self._limit = limit
        self._leave = leave
        self.overflowed = False

    def put(self, message: Message) -> None:
        """Hand over a message; a client that does not keep up is let go."""
        if self.overflowed:
            return
        if self._queue.qsize() >= self._limit:
            self.overflowed = True
            self.close()
            return
        self._queue.put_nowait(message)

    def close(self) -> None:
        """End the iteration."""
        self._leave(self)
        if not self._queue.full():
            self._queue.put_nowait(None)

    async def __aiter__(self) -> AsyncIterator[Message]:
        while (message := await self._queue.get()) is not None:
            yield message


class EventHub:
    """Passes messages on to whoever listens; used by the event loop's thread alone."""

    def __init__(self) -> None:
        self._subscriptions: list[Subscription] = []
        self._recent: deque[Event] = deque(maxlen=RECENT)

    def subscribe(self, limit: int = 64) -> Subscription:
        """Return a new listener, to be closed when it goes."""
        subscription = Subscription(limit, self._leave)
        self._subscriptions.append(subscription)
        return subscription

    def event(self, event: Event) -> None:
        """Publish an event, and remember it for those who come back."""
        self._recent.append(event)
        self._tell(Message("emotion", asdict(event)))

    def live(self, state: Mapping[str, Any]) -> None:
        """Publish the state of the moment."""
        self._tell(Message("live", state))

    def recent(self, after_sequence: int) -> list[Json]:
        """Return the events after a sequence number, as far as they are remembered."""
        return [asdict(event) for event in self._recent if event.sequence > after_sequence]

    @property
    def listeners(self) -> int:
        """Return how many listen."""
        return len(self._subscriptions)

    def _tell(self, message: Message) -> None:
        for subscription in list(self._subscriptions):
            subscription.put(message)

    def _leave(self, subscription: Subscription) -> None:
        if subscription in self._subscriptions:
            self._subscriptions.remove(subscription)


class PcmSession(Protocol):
    """Audio of one client, classified apart from the device's own."""

    async def push(self, pcm: bytes) -> list[Json]:
        """Return the events that these samples (int16, little-endian, interleaved) complete."""
        ...

    async def finish(self) -> list[Json]:
        """Return the events that come because the audio has ended."""
        ...

    def close(self) -> None:
        """Make room for another client."""
        ...


@dataclass(frozen=True)
class Backend:
    """`classify` raises AudioError for what is no audio; it and `listen` raise BusyError."""

    model: Callable[[], Json]
    state: Callable[[], Json]
    ready: Callable[[], Json]
    hub: EventHub
    classify: Callable[[bytes], Awaitable[Json]]
    listen: Callable[[int, int], PcmSession]
