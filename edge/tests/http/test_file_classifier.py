"""Recordings are classified one after the other, and no bytes can break the classifier."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit import open_bundle
from ser_toolkit.runtime.audio.decode import decode_audio, read_audio
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from ser_toolkit.runtime.errors import AudioError, SertkError
from ser_toolkit.runtime.inference.classifier import Classifier
from sertk_edge.http.backend import BusyError
from sertk_edge.http.file_classifier import FileClassifier


class Door:
    """Opens the classifier only when it is let, so that recordings wait."""

    def __init__(self, bundle: Path) -> None:
        self._bundle = bundle
        self.open = threading.Event()
        self.calls = 0

    def __call__(self) -> Classifier:
        self.calls += 1
        assert self.open.wait(20)
        return open_bundle(self._bundle, check=False)


@pytest.fixture
def door(tiny_bundle: Path) -> Iterator[Door]:
    made = Door(tiny_bundle)
    yield made
    made.open.set()


def test_when_too_many_wait_the_next_is_told_so(door: Door, wav: bytes) -> None:
    async def ask() -> list[Any]:
        recordings = FileClassifier(door, 60, waiting=2)
        asked = [asyncio.ensure_future(recordings.classify(wav)) for _ in range(3)]
        await asyncio.sleep(0)
        with pytest.raises(BusyError):
            await recordings.classify(wav)
        door.open.set()
        answers = await asyncio.gather(*asked)
        answers.append(await recordings.classify(wav))
        recordings.close()
        return answers

    answers = asyncio.run(ask())
    assert answers == [answers[0]] * 4
    assert door.calls == 1


def test_who_gives_up_makes_room_and_is_not_classified(door: Door, wav: bytes) -> None:
    async def ask() -> Any:
        recordings = FileClassifier(door, 60, waiting=1)
        first, second = (asyncio.ensure_future(recordings.classify(wav)) for _ in range(2))
        await asyncio.sleep(0)
        second.cancel()
        await asyncio.sleep(0)
        third = asyncio.ensure_future(recordings.classify(wav))
        door.open.set()
        answers = await asyncio.gather(first, third)
        recordings.close()
        return answers

    first, third = asyncio.run(ask())
    assert first == third


def test_a_bundle_that_does_not_open_is_tried_again(wav: bytes, tiny_bundle: Path) -> None:
    paths = [tiny_bundle.with_name("gone.sertk"), tiny_bundle]

    async def ask() -> Any:
        recordings = FileClassifier(lambda: open_bundle(paths.pop(0), check=False), 60)
        with pytest.raises(SertkError):
            await recordings.classify(wav)
        answer = await recordings.classify(wav)
        recordings.close()
        return answer

    assert asyncio.run(ask())["windows"]


@pytest.mark.parametrize(
    ("kind", "subtype"), [("WAV", "PCM_16"), ("WAV", "FLOAT"), ("FLAC", "PCM_24")]
)
def test_bytes_are_decoded_as_the_file_of_them(
    encode: Callable[..., bytes], tmp_path: Path, kind: str, subtype: str
) -> None:
    voice = synthetic_voice(1.0, 22_050)
    content = encode(np.stack([voice, voice // 2], axis=1), 22_050, kind, subtype)
    (tmp_path / "file").write_bytes(content)
    decoded, read = decode_audio(content, 10), read_audio(tmp_path / "file")
    assert decoded.rate_hz == read.rate_hz == 22_050
    np.testing.assert_array_equal(decoded.samples, read.samples)


def test_the_longest_recording_is_taken(encode: Callable[..., bytes]) -> None:
    samples = np.ones(2 * 48_000, np.int16)
    assert decode_audio(encode(samples, 48_000), 2).duration_s == 2
    for rate_hz in (47_000, 96_000):
        with pytest.raises(AudioError, match="too long"):
            decode_audio(encode(samples, rate_hz), 2 if rate_hz < 48_000 else 1.9)


PATCH = st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4))
VOICE = synthetic_voice(0.3, 8_000)


@given(
    is_flac=st.booleans(),
    changes=st.lists(
        st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=4)), max_size=8
    ),
    length=st.one_of(st.none(), st.integers(0, 6_000)),
)
def test_damaged_files_are_refused_or_classified_but_break_nothing(
    encode: Callable[..., bytes],
    is_flac: bool,
    changes: list[tuple[int, bytes]],
    length: int | None,
) -> None:
    content = bytearray(encode(VOICE, 8_000, "FLAC" if is_flac else "WAV"))
    for place, new in changes:
        # Most of what can break lies in the first bytes.
        first = place % (100 if place % 2 else len(content))
        content[first : first + len(new)] = new
    try:
        audio = decode_audio(bytes(content[:length]), 1.0)
    except AudioError as error:
        assert "\n" not in str(error)
        return
    assert audio.samples.dtype == np.float32 and audio.samples.ndim == 1
    assert len(audio.samples) <= 48_000
