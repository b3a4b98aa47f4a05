"""Audio as corpora have it: segments past the end, files cut off, formats for ffmpeg, channels."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.contracts.components import Utterance
from ser_toolkit.data.clip_audio import read_clip, read_utterance
from ser_toolkit.data.corpus import read_corpus
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.runtime.audio.decode import content_hash, read_audio
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.utils.progress import Callback

RATE_HZ = 16_000
M4A = b"\0\0\0\x1cftypM4A \0\0\2\0" + bytes(1_000)


@pytest.fixture(scope="module")
def plugins() -> Plugins:
    return load_plugins()


class Warned(Callback):
    def __init__(self) -> None:
        self.lines: list[str] = []

    def warn(self, text: str, details: Sequence[str] = ()) -> None:
        self.lines += [text, *details]


def voice(path: Path, seed: int, *gains: float, seconds: float = 1.0) -> Path:
    """Noise, another for each seed, in a channel for each gain."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE_HZ))
    frames = np.stack([gain * samples for gain in gains or (1.0,)], axis=1)
    soundfile.write(path, frames, RATE_HZ, subtype="PCM_16")
    return path


def read(
    plugins: Plugins, data: Path, channel: str = "mix", reader: str | None = None
) -> tuple[tuple[Utterance, ...], list[str]]:
    warned = Warned()
    found = read_corpus([data], plugins, warned, reader, channel=channel).utterances
    return found, warned.lines


def test_a_segment_past_the_end_is_left_out_with_its_row(plugins: Plugins, tmp_path: Path) -> None:
    for number in range(3):
        voice(tmp_path / f"{number}.wav", number, seconds=2.0)
    rows = ["file,emotion,start,end", "0.wav,anger,0.5,99999", "1.wav,neutral,0,2.1"]
    rows += ["2.wav,anger,0,1.5", "2.wav,neutral,1.5,2.0"]
    (tmp_path / "clips.csv").write_text("\n".join(rows), "utf-8")
    items, lines = read(plugins, tmp_path / "clips.csv")
    assert [(item.clip.relative, item.seconds) for item in items] == [
        *(("1.wav", 2.0), ("2.wav", 1.5), ("2.wav", 0.5))
    ]
    assert lines == [
        "1 of 4 files are unusable and left out",
        "'0.wav' ends at 2.0 s, before the end at 99999 s (clips.csv line 2)",
    ]


def test_a_file_that_was_cut_off_is_used_and_named(plugins: Plugins, tmp_path: Path) -> None:
    for number, emotion in enumerate(("anger", "neutral", "anger")):
        voice(tmp_path / emotion / f"{number}.wav", number)
    cut = tmp_path / "anger" / "2.wav"
    cut.write_bytes(cut.read_bytes()[:16_044])
    items, lines = read(plugins, tmp_path)
    assert sorted(item.seconds for item in items) == [0.5, 1.0, 1.0]
    assert lines == [
        "1 of 3 files are damaged, and used as far as they go",
        "'anger/2.wav' is cut off: 0.50 of 1.00 s are there",
    ]


def test_what_needs_ffmpeg_is_counted_and_named_without_it(
    plugins: Plugins, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for number, emotion in enumerate(("anger", "neutral")):
        voice(tmp_path / "data" / emotion / "ann" / f"{number}.wav", number)
        (tmp_path / "data" / emotion / "ben").mkdir()
        (tmp_path / "data" / emotion / "ben" / "x.m4a").write_bytes(M4A)
    items, lines = read(plugins, tmp_path / "data")
    assert len(items) == 2
    assert lines[0] == "2 of 4 files are unusable and left out"
    assert lines[1].startswith(
        "'anger/ben/x.m4a' is MP4 or M4A, which is read with ffmpeg. Install"
    )
    for path in (tmp_path / "data").rglob("*.wav"):
        path.unlink()
    with pytest.raises(SertkError, match=r"none of 2 files is usable; .*`ffmpeg -i x\.m4a x\.wav`"):
        read(plugins, tmp_path / "data")


def test_a_channel_makes_other_clips_of_the_same_files(plugins: Plugins, tmp_path: Path) -> None:
    for number, emotion in enumerate(("anger", "neutral")):
        voice(tmp_path / "data" / emotion / f"{number}.wav", number, 1.0, -1.0)
        voice(tmp_path / f"{number}.wav", number, 1.0)
        voice(tmp_path / f"-{number}.wav", number, -1.0)
    with pytest.raises(SertkError, match=r"2 channels cancel each other when averaged.*--channel"):
        read(plugins, tmp_path / "data")
    for channel, sign in (("left", ""), ("right", "-"), ("2", "-")):
        items, _ = read(plugins, tmp_path / "data", channel)
        wanted = [content_hash(read_audio(tmp_path / f"{sign}{n}.wav")) for n in range(2)]
        assert [item.hash for item in items] == wanted
        assert [read_utterance(item).duration_s for item in items] == [1.0, 1.0]


def test_a_file_that_was_replaced_since_the_check_is_refused(
    plugins: Plugins, tmp_path: Path
) -> None:
    for number, emotion in enumerate(("anger", "neutral")):
        voice(tmp_path / emotion / f"{number}.wav", number)
    item = read(plugins, tmp_path)[0][0]
    assert content_hash(read_utterance(item)) == item.hash
    voice(item.clip.path, 9)
    with pytest.raises(SertkError, match=r"0\.wav is another recording than at the check"):
        read_utterance(item)
    assert read_clip(dataclasses.replace(item.clip, start_s=0.5)).duration_s == 0.5
