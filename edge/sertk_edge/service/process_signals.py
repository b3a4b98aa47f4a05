"""Signals as a daemon takes them: TERM and INT end it, HUP makes it look at its bundle."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class ProcessSignals:
    """The signals of the running event loop, from now on."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            self._loop.add_signal_handler(number, self._stop.set)
        # Until there is something to look at, a HUP must not end the process.
        self.on_reload(lambda: None)

    @property
    def stopped(self) -> bool:
        """Say whether it is time to end."""
        return self._stop.is_set()

    def on_reload(self, action: Callable[[], None]) -> None:
        """Set what SIGHUP does."""
        self._loop.add_signal_handler(signal.SIGHUP, action)

    async def unless_stopped(self, work: Coroutine[Any, Any, T]) -> T | None:
        """Return the result of `work`; cancel it and return None where a signal came first."""
        task = asyncio.ensure_future(work)
        stop = asyncio.ensure_future(self._stop.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            return None
        finally:
            for one in (task, stop):
                one.cancel()
            await asyncio.gather(task, stop, return_exceptions=True)
