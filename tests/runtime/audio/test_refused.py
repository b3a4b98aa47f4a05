"""Files that are not speech: each gives one line that names the file and the reason."""

from __future__ import annotations

import os
import re
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.decode import Audio, check_speech, read_audio
from ser_toolkit.runtime.errors import AudioError

RATE_HZ = 16_000
NOISE = (np.random.default_rng(7).standard_normal(RATE_HZ) * 0.1).astype(np.float32)
LFS_POINTER = (
    b"version https://git-lfs.github.com/spec/v1\n"
    b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 72862\n"
)


def write_pcm16(path: Path, frames: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Return integers (N, channels) as a WAV file, written by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(frames.astype("<i2").tobytes())
    return path


def refusal(path: Path, **kwargs: object) -> str:
    with pytest.raises(AudioError) as caught:
        check_speech(read_audio(path, **kwargs), path.name)  # type: ignore[arg-type]
    text = str(caught.value)
    assert "\n" not in text
    assert str(path.parent) not in text
    return text


# What does not decode


def test_missing(tmp_path: Path) -> None:
    assert refusal(tmp_path / "no.wav") == "'no.wav' is not there. Check the path"


def test_a_link_to_nowhere(tmp_path: Path) -> None:
    (tmp_path / "a.wav").symlink_to(tmp_path / "annex" / "a.wav")
    assert refusal(tmp_path / "a.wav") == "'a.wav' is a link to a missing file"


def test_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.wav").mkdir()
    assert refusal(tmp_path / "a.wav") == "'a.wav' is a folder; an audio file expected"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
def test_a_pipe_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "a.wav")
    assert "not a regular file" in refusal(tmp_path / "a.wav")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_no_permission(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.ones((1_000, 1)))
    path.chmod(0)
    assert refusal(path) == "'a.wav' cannot be opened: Permission denied"


@pytest.mark.parametrize("name", ["x" * 300 + ".wav", "a\0b.wav"])
def test_names_that_no_file_can_have(tmp_path: Path, name: str) -> None:
    assert "cannot be opened: " in refusal(tmp_path / name)


def test_no_bytes(tmp_path: Path) -> None:
    (tmp_path / "a.wav").touch()
    assert refusal(tmp_path / "a.wav") == "'a.wav' is empty (0 bytes)"


def test_a_git_lfs_pointer(tmp_path: Path) -> None:
    (tmp_path / "1001_DFA_ANG_XX.wav").write_bytes(LFS_POINTER)
    assert refusal(tmp_path / "1001_DFA_ANG_XX.wav") == (
        "'1001_DFA_ANG_XX.wav' is a Git LFS pointer, not audio. Run `git lfs pull` in the corpus"
    )


@pytest.mark.parametrize("name", ["a.wav", "a.mp3", "a.raw", "a.txt", "a"])
def test_not_audio(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"<html>404 Not Found</html>" * 20)
    assert re.fullmatch(rf"'{name}' cannot be decoded: .{{5,60}}", refusal(tmp_path / name))


def test_half_a_flac_file(tmp_path: Path) -> None:
    soundfile.write(tmp_path / "a.flac", NOISE, RATE_HZ)
    whole = (tmp_path / "a.flac").read_bytes()
    (tmp_path / "a.flac").write_bytes(whole[: len(whole) // 2])
    assert "flac decoder lost sync" in refusal(tmp_path / "a.flac")


def test_a_header_that_claims_one_hertz(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.ones((1_000, 1)), rate_hz=1)
    assert "has a sample rate of 1 Hz" in refusal(path)


@pytest.mark.parametrize("kind", ["wav", "flac", "ogg", "aiff", "mp3"])
def test_damaged_bytes_give_audio_or_one_clear_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / f"a.{kind}"
    soundfile.write(path, NOISE, RATE_HZ)
    whole = path.read_bytes()
    rng = np.random.default_rng(3)
    n_refused = 0
    for trial in range(100):
        damaged = bytearray(whole[: rng.integers(1, len(whole))] if trial % 4 == 0 else whole)
        for place in rng.integers(0, min(len(damaged), 120 if trial % 2 else len(damaged)), 6):
            damaged[place] = rng.integers(256)
        path.write_bytes(damaged)
        try:
            audio = read_audio(path)
            check_speech(audio)
            assert audio.samples.ndim == 1
        except AudioError as error:
            n_refused += 1
            assert "\n" not in str(error)
    assert n_refused > 0


@pytest.mark.parametrize(
    ("start_s", "end_s", "words"),
    [
        (1.0, None, "ends at 1.000 s, before the start at 1.0 s"),
        (5.0, 6.0, "ends at 1.000 s"),
        (0.5, 0.5, "0 <= start < end expected, received 0.5 to 0.5 s"),
        (0.5, 0.2, "start < end"),
        (-1.0, None, "0 <= start"),
        (float("nan"), None, "0 <= start"),
        (0.0, float("nan"), "0 <= start"),
    ],
)
def test_parts_that_are_none(
    tmp_path: Path, start_s: float, end_s: float | None, words: str
) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.ones((RATE_HZ, 1)))
    assert words in refusal(path, start_s=start_s, end_s=end_s)


def test_errors_name_the_file_as_the_caller_wishes(tmp_path: Path) -> None:
    with pytest.raises(AudioError, match=r"^'Actor_01/a\.wav' is not there\. Check the path$"):
        read_audio(tmp_path / "a.wav", shown="Actor_01/a.wav")


# What is no speech


def test_speech_passes() -> None:
    check_speech(Audio(NOISE, RATE_HZ))
    check_speech(Audio(NOISE * np.float32(0.01), RATE_HZ))


def test_no_samples(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.zeros((0, 1)))
    assert refusal(path) == "'a.wav' has no samples"


def test_one_sample(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.full((1, 1), 9_000))
    expected = "'a.wav' is too short: 1 sample at 16000 Hz, at least 50 ms expected"
    assert refusal(path) == expected


def test_fifty_milliseconds_are_the_limit() -> None:
    check_speech(Audio(NOISE[:800], RATE_HZ))
    with pytest.raises(AudioError, match="799 samples"):
        check_speech(Audio(NOISE[:799], RATE_HZ))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_samples_that_are_no_numbers(tmp_path: Path, value: float) -> None:
    samples = NOISE.copy()
    samples[500] = value
    soundfile.write(tmp_path / "a.wav", samples, RATE_HZ, subtype="FLOAT")
    assert "not numbers" in refusal(tmp_path / "a.wav")


@pytest.mark.parametrize(
    ("scale", "problem"), [(1e30, "samples up to 1e+30"), (3e38, "not numbers"), (9.9, "")]
)
def test_samples_far_beyond_full_scale(tmp_path: Path, scale: float, problem: str) -> None:
    both = np.stack([np.sign(NOISE), np.sign(NOISE)], axis=1) * np.float32(scale)
    soundfile.write(tmp_path / "a.wav", both, RATE_HZ, subtype="FLOAT")
    if problem:
        assert problem in refusal(tmp_path / "a.wav")
    else:
        check_speech(read_audio(tmp_path / "a.wav"))


@pytest.mark.parametrize("level", [0, 10, 12_000])
def test_silence_with_any_offset(tmp_path: Path, level: int) -> None:
    path = write_pcm16(tmp_path / "1076_MTI_SAD_XX.wav", np.full((RATE_HZ, 1), level))
    assert "is silent: its peak is below -60 dBFS" in refusal(path)


def test_the_level_of_silence() -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(RATE_HZ) / RATE_HZ).astype(np.float32)
    check_speech(Audio(tone * np.float32(1.01e-3), RATE_HZ))
    with pytest.raises(AudioError, match="silent"):
        check_speech(Audio(tone * np.float32(0.99e-3), RATE_HZ))
