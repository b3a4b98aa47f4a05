"""Between source and recognizer nothing of a file is lost; live, old sound gives way to new."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np

from sertk_edge.audio.audio_queue import AudioQueue, Command
from sertk_edge.sources.base import Chunk, Gap


def chunk(seconds: float, value: float = 0.0) -> Chunk:
    return Chunk(np.full(int(1000 * seconds), value, np.float32), 1000, 0.0)


async def drained(audio_queue: AudioQueue[str], count: int) -> list[Any]:
    return [await audio_queue.get() for _ in range(count)]


def test_items_come_out_as_they_went_in() -> None:
    async def run() -> None:
        audio_queue: AudioQueue[str] = AudioQueue(live=True)
        items = [chunk(1), Gap("lost", 1.0), Command("swap"), chunk(2)]
        for item in items:
            await audio_queue.put(item)  # type: ignore[arg-type]
        assert audio_queue.held_s == 3
        assert await drained(audio_queue, 4) == items
        assert audio_queue.held_s == 0

    asyncio.run(run())


def test_nothing_that_waits_lasts_no_time_at_all() -> None:
    async def run() -> None:
        audio_queue: AudioQueue[str] = AudioQueue(live=True)
        for _ in range(3):
            await audio_queue.put(chunk(0.1))
        await drained(audio_queue, 3)
        assert audio_queue.held_s == 0

    asyncio.run(run())


def test_live_sound_that_waits_too_long_becomes_one_gap() -> None:
    async def run() -> None:
        audio_queue: AudioQueue[str] = AudioQueue(live=True, held_s=3)
        await audio_queue.put(chunk(2))
        await audio_queue.put(Gap("lost", 0.5))
        await audio_queue.put(Command("swap"))
        await audio_queue.put(chunk(1.5))
        last = chunk(1)
        await audio_queue.put(last)
        assert await drained(audio_queue, 3) == [Command("swap"), Gap("overflow", 4.0), last]

    asyncio.run(run())


def test_a_file_waits_for_room() -> None:
    async def run() -> None:
        audio_queue: AudioQueue[str] = AudioQueue(live=False, held_s=2)
        await audio_queue.put(chunk(2))
        waiting = asyncio.ensure_future(audio_queue.put(chunk(1)))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        # Orders never wait: a new bundle must not be held up by a long file.
        await audio_queue.put(Command("swap"))
        await audio_queue.get()
        await asyncio.wait_for(waiting, 1)
        found = await drained(audio_queue, 2)
        assert found[0] == Command("swap") and isinstance(found[1], Chunk)

    asyncio.run(run())


def test_who_asks_first_waits_until_something_comes() -> None:
    async def run() -> None:
        audio_queue: AudioQueue[str] = AudioQueue(live=True)
        waiting = asyncio.ensure_future(audio_queue.get())
        await asyncio.sleep(0.02)
        await audio_queue.put(Command("x"))
        assert await asyncio.wait_for(waiting, 1) == Command("x")

    asyncio.run(run())
