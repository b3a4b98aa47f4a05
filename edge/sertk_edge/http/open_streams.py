"""Answers that go on: how many there are, and how all of them are ended."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from aiohttp import web

from .connection import Connection
from .limits import Slots
from .responses import HttpError


class OpenStreams:
    """At most so many event streams and sockets at once."""

    def __init__(self, most: int, write_timeout_s: float) -> None:
        self._places = Slots(most, "streams are open")
        self._write_timeout_s = write_timeout_s
        self._enders: set[Callable[[], None]] = set()
        self._closed = False

    @contextmanager
    def place(self) -> Iterator[None]:
        """Hold room for one more. Raises HttpError (503) where there is none."""
        if self._closed:
            raise HttpError(503, "the daemon ends")
        with self._places.place():
            yield

    @contextmanager
    def ended_by(self, end: Callable[[], None]) -> Iterator[None]:
        """Let `close` call `end` meanwhile."""
        self._enders.add(end)
        try:
            yield
        finally:
            self._enders.discard(end)

    def close(self) -> None:
        """End every stream, and begin none."""
        self._closed = True
        for end in list(self._enders):
            end()

    async def write(self, request: web.Request, writing: Awaitable[None]) -> bool:
        """Say whether the client took it in time; one that did not is cut."""
        try:
            await asyncio.wait_for(writing, self._write_timeout_s)
        except asyncio.TimeoutError:
            cut(request)
            return False
        except ConnectionError:
            return False
        return True


def cut(request: web.Request) -> None:
    """End a connection at once, whatever is still to be written."""
    if isinstance(request.protocol, Connection):
        request.protocol.abort()
