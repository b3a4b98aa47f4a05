"""What waits between source and ear: nothing is lost of a file, old sound gives way when live."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from sertk_edge.inbox import Inbox, Order
from sertk_edge.sources.base import Chunk, Gap


def chunk(seconds: float, value: float = 0.0) -> Chunk:
    return Chunk(np.full(int(1000 * seconds), value, np.float32), 1000, 0.0)


async def drained(inbox: Inbox[str], count: int) -> list[Any]:
    return [await inbox.get() for _ in range(count)]


def test_items_come_out_as_they_went_in() -> None:
    async def run() -> None:
        inbox: Inbox[str] = Inbox(live=True)
        items = [chunk(1), Gap("lost", 1.0), Order("swap"), chunk(2)]
        for item in items:
            await inbox.put(item)  # type: ignore[arg-type]
        assert inbox.held_s == 3
        assert await drained(inbox, 4) == items
        assert inbox.held_s == 0

    asyncio.run(run())


def test_nothing_that_waits_lasts_no_time_at_all() -> None:
    async def run() -> None:
        inbox: Inbox[str] = Inbox(live=True)
        for _ in range(3):
            await inbox.put(chunk(0.1))
        await drained(inbox, 3)
        assert inbox.held_s == 0

    asyncio.run(run())


def test_live_sound_that_waits_too_long_becomes_one_gap() -> None:
    async def run() -> None:
        inbox: Inbox[str] = Inbox(live=True, held_s=3)
        await inbox.put(chunk(2))
        await inbox.put(Gap("lost", 0.5))
        await inbox.put(Order("swap"))
        await inbox.put(chunk(1.5))
        last = chunk(1)
        await inbox.put(last)
        assert await drained(inbox, 3) == [Order("swap"), Gap("overflow", 4.0), last]

    asyncio.run(run())


def test_a_file_waits_for_room() -> None:
    async def run() -> None:
        inbox: Inbox[str] = Inbox(live=False, held_s=2)
        await inbox.put(chunk(2))
        waiting = asyncio.ensure_future(inbox.put(chunk(1)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        # Orders never wait: a new bundle must not be held up by a long file.
        await inbox.put(Order("swap"))
        await inbox.get()
        await asyncio.wait_for(waiting, 1)
        found = await drained(inbox, 2)
        assert found[0] == Order("swap") and isinstance(found[1], Chunk)

    asyncio.run(run())


def test_who_asks_first_waits_until_something_comes() -> None:
    async def run() -> None:
        inbox: Inbox[str] = Inbox(live=True)
        waiting = asyncio.ensure_future(inbox.get())
        await asyncio.sleep(0.02)
        await inbox.put(Order("x"))
        assert await asyncio.wait_for(waiting, 1) == Order("x")

    asyncio.run(run())
