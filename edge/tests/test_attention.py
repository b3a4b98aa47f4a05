"""When events were heard: of live sound by the time of the sound, of a file by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ser_toolkit.runtime.events import Event
from ser_toolkit.runtime.selftest import synthetic_voice
from sertk_edge.attention import Attention, End
from sertk_edge.config import Settings, SourceSettings, StreamSettings
from sertk_edge.gate import detectors
from sertk_edge.inbox import Order
from sertk_edge.sources.base import Chunk
from sertk_edge.spool import Spool
from sertk_edge.swap import Watch

RATE_HZ, BLOCK = 16_000, 1600
BEGUN_S = 1_000_000.0


def events(source: str, bundle: Path) -> Iterator[Event]:
    """What is told of two seconds of voice that was heard at BEGUN_S."""
    stream = StreamSettings(gate="off")
    settings = Settings(source=SourceSettings(source=source), stream=stream)
    voice = synthetic_voice(2.0, RATE_HZ).astype(np.float32) / 32768
    live = Watch(bundle, settings.bundle).first()
    with closing(Spool(None)) as spool:
        attention = Attention(live, settings, detectors(stream), spool)
        for end in range(BLOCK, len(voice) + 1, BLOCK):
            chunk = Chunk(voice[end - BLOCK : end], RATE_HZ, BEGUN_S + end / RATE_HZ)
            yield from attention.take(chunk).events
        yield from attention.take(Order(End())).events


@pytest.mark.parametrize("source", ["-", "mic", "wyoming:tcp://127.0.0.1:0"])
def test_live_sound_tells_when_it_was_heard(source: str, tiny_bundle: Path) -> None:
    found = list(events(source, tiny_bundle))
    assert [event.kind for event in found][:: len(found) - 1] == ["started", "ended"]
    for event in found:
        assert event.time_s == pytest.approx(BEGUN_S + event.offset_s, abs=0.002)


def test_a_file_tells_when_it_was_judged(tiny_bundle: Path) -> None:
    before_s = round(time.time(), 3)
    for event in events("talk.wav", tiny_bundle):
        assert before_s <= event.time_s <= time.time() + 0.001
