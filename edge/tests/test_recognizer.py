"""The times of events: of live sound by the time of the sound, of a file by the clock."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from ser_toolkit.runtime.events import Event
from sertk_edge.audio.audio_queue import Command
from sertk_edge.audio.vad import detectors
from sertk_edge.bundle.watcher import BundleWatcher
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.recognizer import RecognizerThread, SourceEnded
from sertk_edge.settings import Settings, SourceSettings, StreamSettings
from sertk_edge.sources.base import Chunk

RATE_HZ, BLOCK = 16_000, 1600
BEGUN_S = 1_000_000.0


def events(source: str, bundle: Path) -> Iterator[Event]:
    """The results for two seconds of voice that began at BEGUN_S."""
    stream = StreamSettings(gate="off")
    settings = Settings(source=SourceSettings(source=source), stream=stream)
    voice = synthetic_voice(2.0, RATE_HZ).astype(np.float32) / 32768
    live = BundleWatcher(bundle, settings.bundle).first()
    with closing(EventQueue(None)) as event_queue:
        recognizer = RecognizerThread(live, settings, detectors(stream), event_queue)
        for end in range(BLOCK, len(voice) + 1, BLOCK):
            chunk = Chunk(voice[end - BLOCK : end], RATE_HZ, BEGUN_S + end / RATE_HZ)
            yield from recognizer.step(chunk).events
        yield from recognizer.step(Command(SourceEnded())).events


@pytest.mark.parametrize("source", ["-", "mic", "wyoming:tcp://127.0.0.1:0"])
def test_events_of_live_sound_have_the_time_of_the_speech(source: str, tiny_bundle: Path) -> None:
    found = list(events(source, tiny_bundle))
    assert [event.kind for event in found][:: len(found) - 1] == ["started", "ended"]
    for event in found:
        assert event.time_s == pytest.approx(BEGUN_S + event.offset_s, abs=0.002)


def test_a_file_tells_when_it_was_classified(tiny_bundle: Path) -> None:
    before_s = round(time.time(), 3)
    for event in events("talk.wav", tiny_bundle):
        assert before_s <= event.time_s <= time.time() + 0.001
