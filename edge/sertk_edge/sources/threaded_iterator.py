"""Reading that blocks, made to wait for in an event loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
AHEAD = 4


@dataclass(frozen=True)
class _End:
    error: BaseException | None = None


class ThreadedIterator(Generic[T]):
    """The items of a generator that blocks; a thread of its own reads a few of them ahead.

    Whoever stops iterating, or closes, is let go at once, even while a read never returns.
    """

    # Not `asyncio.to_thread`: the interpreter waits for those threads before it exits.
    def __init__(self, blocking: Generator[T, None, None]) -> None:
        self._blocking = blocking
        self._queue: asyncio.Queue[T | _End] = asyncio.Queue()
        self._room = threading.Semaphore(AHEAD)
        self._started = self._closed = False

    def __aiter__(self) -> ThreadedIterator[T]:
        return self

    async def __anext__(self) -> T:
        """Return the next item; what the generator raises is raised here."""
        self._start()
        item = await self._queue.get()
        self._room.release()
        if isinstance(item, _End) and item.error is not None:
            raise item.error
        if isinstance(item, _End) or self._closed:
            raise StopAsyncIteration
        return item

    def close(self) -> None:
        """End the iteration; from the loop's thread."""
        self._closed = True
        self._room.release()
        self._queue.put_nowait(_End())

    def _start(self) -> None:
        if not self._started:
            self._started = True
            loop = (asyncio.get_running_loop(),)
            threading.Thread(target=self._work, args=loop, daemon=True, name="source").start()

    def _work(self, loop: asyncio.AbstractEventLoop) -> None:
        # The loop may be closed by the time that a read returns; then nobody waits for it.
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(self._queue.put_nowait, self._read(loop))

    def _read(self, loop: asyncio.AbstractEventLoop) -> _End:
        try:
            with closing(self._blocking) as items:
                for item in items:
                    self._room.acquire()
                    if self._closed:
                        break
                    loop.call_soon_threadsafe(self._queue.put_nowait, item)
        except BaseException as error:
            return _End(error)
        return _End()
