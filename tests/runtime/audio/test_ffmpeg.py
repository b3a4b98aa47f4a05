"""What libsndfile does not read: by ffmpeg where it is installed, named where it is not."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.audio.files import audio_files
from ser_toolkit.runtime.errors import AudioError

RATE_HZ = 16_000
T = np.arange(3 * RATE_HZ) / RATE_HZ
VOICE = (0.3 * np.sin(2 * np.pi * (300 * T + 100 * T**2))).astype(np.float32)
LOSSY = ("m4a", "aac", "wma", "webm", "mp4", "mov", "mkv", "spx", "mpg", "ac3")
LOSSLESS = {"oga": "flac", "caf": "alac", "avi": "pcm_s16le", "wv": "wavpack", "tta": "tta"}
# The first bytes of each, and what people call it.
HEADS = (
    ("x.m4a", b"\0\0\0\x1cftypM4A \0\0\2\0", "MP4 or M4A"),
    ("x.webm", b"\x1aE\xdf\xa3\x9fB\x86\x81", "WebM or Matroska"),
    ("x.wma", b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "Windows Media"),
    ("x.aac", b"\xff\xf1`@A\xff\xfc", "AAC"),
    ("x.spx", b"OggS\0\2" + bytes(22) + b"Speex   1.2", "Speex in Ogg"),
    ("x.oga", b"OggS\0\2" + bytes(22) + b"\x7fFLAC\1", "FLAC in Ogg"),
    ("x.wav", b"BW64\xff\xff\xff\xffWAVEds64", "BW64"),
    ("x.avi", b"RIFF\0\0\0\0AVI LIST", "AVI"),
    ("x.m2ts", b"G" + bytes(187) + b"G", "MPEG transport stream"),
)


@pytest.fixture(scope="module")
def ffmpeg(require: Callable[[str, bool, str], None]) -> Callable[..., None]:
    """Runs ffmpeg with some arguments."""
    program = shutil.which("ffmpeg")
    require("ffmpeg", program is not None, "install it")
    command = [str(program), "-nostdin", "-loglevel", "error", "-y"]
    return lambda *args: subprocess.run([*command, *map(str, args)], check=True)


@pytest.fixture
def original(tmp_path: Path) -> Path:
    soundfile.write(tmp_path / "original.wav", VOICE, RATE_HZ, subtype="PCM_16")
    return tmp_path / "original.wav"


def test_every_format_of_people_is_decoded(ffmpeg, original: Path) -> None:
    for ending in LOSSY:
        path = original.with_suffix(f".{ending}")
        ffmpeg("-i", original, path)
        found = read_audio(path)
        assert found.rate_hz in (RATE_HZ, 32_000, 48_000), ending
        assert found.duration_s == pytest.approx(3, abs=0.15), ending
        one_s = found.samples[found.rate_hz : 2 * found.rate_hz]
        spectrum = np.abs(np.fft.rfft(one_s * np.hanning(len(one_s))))
        assert 500 <= spectrum.argmax() <= 700, ending
        assert np.sqrt(2 * np.mean(one_s**2)) == pytest.approx(0.3, rel=0.1), ending
        part = read_audio(path, 1.2, 1.7).samples
        first = round(1.2 * found.rate_hz)
        np.testing.assert_array_equal(part, found.samples[first : first + len(part)], ending)
        assert len(part) == round(0.5 * found.rate_hz) and found.warning == "", ending


def test_lossless_formats_have_the_very_samples(ffmpeg, original: Path) -> None:
    wanted = read_audio(original).samples
    for ending, codec in LOSSLESS.items():
        path = original.with_suffix(f".{ending}")
        ffmpeg("-i", original, "-c:a", codec, path)
        np.testing.assert_array_equal(read_audio(path).samples, wanted, ending)
    soundfile.write(original.with_name("b.wav"), VOICE, RATE_HZ, format="RF64", subtype="PCM_16")
    content = original.with_name("b.wav").read_bytes()
    original.with_name("b.wav").write_bytes(b"BW64" + content[4:])
    np.testing.assert_array_equal(read_audio(original.with_name("b.wav")).samples, wanted)


def test_channels_and_odd_names(ffmpeg, original: Path, monkeypatch) -> None:
    both = np.stack([VOICE, np.zeros_like(VOICE)], axis=1)
    soundfile.write(original, both, RATE_HZ, subtype="PCM_16")
    monkeypatch.chdir(original.parent)
    for name in ("-x.m4a", "http:x y'é.m4a", "%03d.mka"):
        ffmpeg("-i", original, "-f", "matroska", "-c:a", "flac", f"file:{original.parent / name}")
        left = read_audio(name, channel="left").samples
        np.testing.assert_allclose(left, VOICE, atol=1e-4)
        assert np.abs(read_audio(name, channel=2).samples).max() == 0


def test_what_ffmpeg_cannot_read_is_one_line(ffmpeg, original: Path) -> None:
    path = original.with_suffix(".m4a")
    ffmpeg("-i", original, path)
    path.write_bytes(path.read_bytes()[:3_000])
    with pytest.raises(AudioError, match=r"^'original\.m4a' \(MP4 or M4A\) cannot be decoded: \w"):
        read_audio(path)
    ffmpeg("-f", "lavfi", "-i", "testsrc=d=0.2:s=64x48", path.with_suffix(".mp4"))
    with pytest.raises(AudioError, match=r"cannot be decoded: it has no sound$"):
        read_audio(path.with_suffix(".mp4"))
    whole = path.with_suffix(".webm")
    ffmpeg("-i", original, whole)
    whole.write_bytes(whole.read_bytes()[:8_000])
    found = read_audio(whole)
    assert found.warning.startswith("'original.webm' is damaged: ") and found.duration_s < 2.5


def test_a_file_that_names_others_is_not_given_to_ffmpeg(original: Path) -> None:
    for text in (f"ffconcat version 1.0\nfile {original}\n", f"#EXTM3U\nfile://{original}\n"):
        path = original.with_suffix(".m4a")
        path.write_text(text)
        with pytest.raises(AudioError, match="cannot be decoded: Format not recognised"):
            read_audio(path)


def test_without_ffmpeg_a_file_is_named_with_the_line_that_converts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for name, head, kind in HEADS:
        path = tmp_path / name
        path.write_bytes(head + bytes(4_000))
        target = "x-fixed.wav" if name == "x.wav" else "x.wav"
        with pytest.raises(AudioError) as caught:
            read_audio(path)
        assert str(caught.value) == (
            f"'{name}' is {kind}, which is read with ffmpeg. Install ffmpeg, or convert the file: "
            f"`ffmpeg -i {name} {target}`"
        )


def test_a_video_beside_its_sound_is_no_second_clip(tmp_path: Path) -> None:
    for name in ("a.wav", "a.mp4", "b.MP4", "c/a.m4a", "d.mp3", "d.wav"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert list(audio_files(tmp_path)) == ["a.wav", "b.MP4", "c/a.m4a", "d.mp3", "d.wav"]
