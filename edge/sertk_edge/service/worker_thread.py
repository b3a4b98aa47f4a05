"""Work in threads that never hold up the end of the process."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, TypeVar

T = TypeVar("T")


class WorkerThread:
    """One thread that does one thing after another. Unlike an executor's, it is a daemon."""

    def __init__(self, name: str) -> None:
        self._work: queue.SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None]
        self._work = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    async def run(self, work: Callable[[], T]) -> T:
        """Do `work` in the thread, after what was asked for before, and return its result."""
        done: Future[T] = Future()
        self._work.put((done, work))
        return await asyncio.wrap_future(done)

    def close(self) -> None:
        """End the thread when it has done what was asked for."""
        self._work.put(None)

    def _run(self) -> None:
        while (asked := self._work.get()) is not None:
            done, work = asked
            if not done.set_running_or_notify_cancel():
                continue
            try:
                done.set_result(work())
            except BaseException as error:
                done.set_exception(error)


async def in_thread(work: Callable[[], T], name: str = "work") -> T:
    """Do `work` in a thread of its own, and return its result."""
    worker = WorkerThread(name)
    try:
        return await worker.run(work)
    finally:
        worker.close()
