"""Decoding: every container through the real decoder; resampling, scaling, hashing."""

from __future__ import annotations

import re
import subprocess
import sys
import wave
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.decode import (
    Audio,
    check_speech,
    content_hash,
    from_pcm16,
    read_audio,
    resample,
)
from ser_toolkit.runtime.audio.files import audio_files
from ser_toolkit.runtime.errors import SertkError

RATE_HZ = 16_000
NOISE = (np.random.default_rng(7).standard_normal(RATE_HZ) * 0.1).astype(np.float32)


def write_pcm16(path: Path, frames: np.ndarray, rate_hz: int = RATE_HZ) -> Path:
    """Return integers (N, channels) as a WAV file, written by the standard library."""
    with wave.open(str(path), "wb") as file:
        file.setnchannels(frames.shape[1])
        file.setsampwidth(2)
        file.setframerate(rate_hz)
        file.writeframes(frames.astype("<i2").tobytes())
    return path


# What decodes


@pytest.mark.parametrize("channels", [1, 2, 5])
def test_mono_is_the_mean_of_the_channels(tmp_path: Path, channels: int) -> None:
    ints = np.random.default_rng(channels).integers(-32768, 32768, (70_000, channels))
    audio = read_audio(write_pcm16(tmp_path / "a.wav", ints, 22_050))
    assert audio.rate_hz == 22_050
    assert audio.samples.dtype == np.float32
    assert audio.samples.shape == (70_000,)
    np.testing.assert_allclose(audio.samples, ints.mean(axis=1) / 32768, atol=1e-6)


@pytest.mark.parametrize("subtype", ["PCM_U8", "PCM_16", "PCM_24", "PCM_32", "FLOAT", "DOUBLE"])
def test_sample_formats_of_wav(tmp_path: Path, subtype: str) -> None:
    soundfile.write(tmp_path / "a.wav", NOISE, RATE_HZ, subtype=subtype)
    step = 2.0**-7 if subtype == "PCM_U8" else 2.0**-15
    np.testing.assert_allclose(read_audio(tmp_path / "a.wav").samples, NOISE, atol=step)


@pytest.mark.parametrize("kind", ["flac", "aiff", "au", "caf", "w64"])
def test_lossless_containers_decode_alike(tmp_path: Path, kind: str) -> None:
    ints = (NOISE * 32767).astype(np.int16)
    soundfile.write(tmp_path / "a.wav", ints, RATE_HZ, subtype="PCM_16")
    soundfile.write(tmp_path / f"a.{kind}", ints, RATE_HZ, subtype="PCM_16")
    one, other = read_audio(tmp_path / "a.wav"), read_audio(tmp_path / f"a.{kind}")
    np.testing.assert_array_equal(one.samples, other.samples)
    assert content_hash(one) == content_hash(other)


@pytest.mark.parametrize("kind", ["ogg", "mp3"])
def test_lossy_containers_decode_about_alike(tmp_path: Path, kind: str) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(2 * RATE_HZ) / RATE_HZ)
    soundfile.write(tmp_path / f"a.{kind}", tone, RATE_HZ)
    audio = read_audio(tmp_path / f"a.{kind}")
    assert audio.rate_hz == RATE_HZ
    assert audio.duration_s == pytest.approx(2, abs=0.15)
    middle = audio.samples[RATE_HZ // 2 : RATE_HZ // 2 + RATE_HZ]
    spectrum = np.abs(np.fft.rfft(middle))
    assert spectrum.argmax() == 440
    assert np.sqrt(2 * np.mean(middle**2)) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("kind", ["AIFF", "FLAC", "OGG"])
def test_the_content_decides_not_the_suffix(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "YAF_germ_angry.wav"
    soundfile.write(path, NOISE, RATE_HZ, format=kind)
    assert len(read_audio(path).samples) == RATE_HZ


def test_a_part_of_a_file(tmp_path: Path) -> None:
    ints = np.arange(RATE_HZ)[:, None]
    path = write_pcm16(tmp_path / "a.wav", ints)
    part = read_audio(path, start_s=0.25, end_s=0.75)
    np.testing.assert_array_equal(part.samples * 32768, np.arange(4_000, 12_000))
    tail = read_audio(path, start_s=0.9)
    np.testing.assert_array_equal(tail.samples * 32768, np.arange(14_400, 16_000))


def test_an_end_past_the_end_means_the_end(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "a.wav", np.ones((1_000, 1)))
    assert len(read_audio(path, end_s=9).samples) == 1_000


def test_a_path_may_be_text_and_have_any_letters(tmp_path: Path) -> None:
    path = write_pcm16(tmp_path / "Ärger – 怒り.wav", np.ones((1_000, 1)))
    assert len(read_audio(str(path)).samples) == 1_000


def test_every_rate_is_kept(tmp_path: Path) -> None:
    for rate_hz in (8_000, 24_414, 96_000):
        path = write_pcm16(tmp_path / "a.wav", np.ones((10, 1)), rate_hz)
        assert read_audio(path).rate_hz == rate_hz


def test_importing_costs_no_soundfile() -> None:
    code = "import ser_toolkit.runtime.audio.decode, sys; print('soundfile' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


# Resampling, scaling, hashing


@pytest.mark.parametrize(
    ("rate_hz", "to_hz"), [(48_000, 16_000), (24_414, 16_000), (8_000, 16_000)]
)
def test_a_tone_is_the_same_tone_at_another_rate(rate_hz: int, to_hz: int) -> None:
    tone = np.sin(2 * np.pi * 1_000 * np.arange(rate_hz) / rate_hz).astype(np.float32)
    got = resample(tone, rate_hz, to_hz)
    want = np.sin(2 * np.pi * 1_000 * np.arange(to_hz) / to_hz)
    assert got.dtype == np.float32
    assert abs(len(got) - to_hz) <= 1
    np.testing.assert_allclose(got[1_000:-1_000], want[1_000 : len(got) - 1_000], atol=1e-3)


def test_what_the_new_rate_cannot_hold_is_gone() -> None:
    tone = np.sin(2 * np.pi * 10_000 * np.arange(48_000) / 48_000).astype(np.float32)
    assert np.abs(resample(tone, 48_000, 16_000)[1_000:-1_000]).max() < 1e-4


def test_the_same_rate_changes_nothing() -> None:
    np.testing.assert_array_equal(resample(NOISE, RATE_HZ, RATE_HZ), NOISE)
    assert resample(NOISE[:0], 48_000, RATE_HZ).shape == (0,)


def test_audio_at_another_rate_lasts_as_long() -> None:
    audio = Audio(resample(NOISE, 48_000, 16_000), 16_000)
    assert audio.duration_s == pytest.approx(1 / 3, abs=1e-4)


def test_a_rate_of_nothing_is_refused() -> None:
    with pytest.raises(SertkError, match="above 0 Hz"):
        resample(NOISE, RATE_HZ, 0)


def test_pcm_is_scaled_as_files_are(tmp_path: Path) -> None:
    ints = np.random.default_rng(1).integers(-32768, 32768, (5_000, 2)).astype("<i2")
    path = write_pcm16(tmp_path / "a.wav", ints)
    np.testing.assert_array_equal(from_pcm16(ints.tobytes(), 2), read_audio(path).samples)


def test_the_hash_follows_samples_and_rate_only(tmp_path: Path) -> None:
    for name in ("a.wav", "b.wav"):
        soundfile.write(tmp_path / name, NOISE, RATE_HZ, subtype="PCM_16")
    soundfile.write(tmp_path / "stereo.wav", np.stack([NOISE, NOISE], 1), RATE_HZ, "PCM_16")
    soundfile.write(tmp_path / "slow.wav", NOISE, 8_000, subtype="PCM_16")
    soundfile.write(tmp_path / "other.wav", NOISE * 0.5, RATE_HZ, subtype="PCM_16")
    names = ("a.wav", "b.wav", "stereo.wav", "slow.wav", "other.wav")
    a, b, stereo, slow, other = (content_hash(read_audio(tmp_path / name)) for name in names)
    assert re.fullmatch("[0-9a-f]{64}", a)
    assert a == b == stereo
    assert len({a, slow, other}) == 3


def test_the_hash_knows_one_zero() -> None:
    zeros = np.zeros(10, np.float32)
    assert content_hash(Audio(zeros, RATE_HZ)) == content_hash(Audio(-zeros, RATE_HZ))


# Real speech


def test_real_oddities(data_dir: Path) -> None:
    aiff = read_audio(data_dir / "tess" / "YAF_angry" / "YAF_germ_angry.wav")
    assert aiff.rate_hz == 24_414
    assert read_audio(data_dir / "tess" / "OAF_Fear" / "OAF_food_fear.wav").rate_hz == 96_000
    stereo = data_dir / "ravdess" / "Actor_01" / "03-01-02-01-01-02-01.wav"
    assert soundfile.info(stereo).channels == 2
    assert read_audio(stereo).samples.ndim == 1


def test_real_duplicates_have_one_hash(data_dir: Path) -> None:
    folder = data_dir / "ravdess" / "Actor_07"
    one, other = (read_audio(folder / f"03-01-03-01-02-0{n}-07.wav") for n in (1, 2))
    assert content_hash(one) == content_hash(other)
    third = read_audio(data_dir / "ravdess" / "Actor_01" / "03-01-03-01-01-01-01.wav")
    assert content_hash(third) != content_hash(one)


@pytest.mark.parametrize("corpus", ["tess", "ravdess", "cremad"])
def test_all_real_files_are_speech(data_dir: Path, corpus: str) -> None:
    for shown, path in audio_files(data_dir / corpus).items():
        check_speech(read_audio(path, shown=shown), shown)
