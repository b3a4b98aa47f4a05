"""Audio that clients send is classified apart, by at most two at once."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit import open_bundle
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from sertk_edge.audio.vad import detectors
from sertk_edge.http.audio_sessions import AudioSessions
from sertk_edge.http.backend import BusyError
from sertk_edge.service.worker_thread import WorkerThread, in_thread
from sertk_edge.settings import Settings, StreamSettings


@pytest.fixture
def sessions(voice_bundle: Path) -> AudioSessions:
    settings = Settings(stream=StreamSettings(gate="energy"))
    make = detectors(settings.stream)
    return AudioSessions(lambda: open_bundle(voice_bundle, check=False), settings, make)


async def talked(sessions: AudioSessions, pcm: bytes, size: int, channels: int = 1) -> list[Any]:
    session = sessions.begin(16_000, channels)
    events = []
    for first in range(0, len(pcm), size):
        events += await session.push(pcm[first : first + size])
    events += await session.finish()
    session.close()
    session.close()
    return events


def brief(events: list[Any]) -> list[tuple[Any, ...]]:
    return [(e["sequence"], e["kind"], e["label"], e["offset_s"]) for e in events]


def test_pieces_of_any_size_give_the_same_events(sessions: AudioSessions) -> None:
    pcm = synthetic_voice(6.0, 16_000).tobytes()
    whole = asyncio.run(talked(sessions, pcm, len(pcm)))
    odd = asyncio.run(talked(sessions, pcm, 1333))
    assert brief(whole) == brief(odd)
    assert [e["kind"] for e in whole][:: len(whole) - 1] == ["started", "ended"]
    assert len({e["id"] for e in whole + odd}) == 2 * len(whole)


def test_channels_are_averaged(sessions: AudioSessions) -> None:
    voice = synthetic_voice(6.0, 16_000)
    mono = asyncio.run(talked(sessions, voice.tobytes(), 4000))
    stereo = asyncio.run(talked(sessions, np.repeat(voice, 2).tobytes(), 4001, 2))
    assert brief(mono) == brief(stereo)


def test_there_are_two_at_most(sessions: AudioSessions) -> None:
    first, _second = sessions.begin(16_000, 1), sessions.begin(16_000, 1)
    with pytest.raises(BusyError):
        sessions.begin(16_000, 1)
    first.close()
    sessions.begin(16_000, 1)


def test_who_says_nothing_hears_nothing(sessions: AudioSessions) -> None:
    assert asyncio.run(talked(sessions, b"", 1)) == []


def test_a_worker_does_one_thing_after_another_and_passes_on_what_goes_wrong() -> None:
    async def run() -> None:
        worker, order = WorkerThread("test"), []
        results = await asyncio.gather(*(worker.run(lambda n=n: order.append(n)) for n in range(9)))
        assert order == list(range(9)) and results == [None] * 9
        with pytest.raises(ZeroDivisionError):
            await worker.run(lambda: 1 / 0)
        assert await worker.run(lambda: 7) == 7
        worker.close()
        assert await in_thread(lambda: 8) == 8

    asyncio.run(run())
