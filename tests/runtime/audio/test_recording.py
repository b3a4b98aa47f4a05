"""Files as encoders write them: without lengths, joined, cut off, read in blocks and in parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.decode import check_speech, decode_audio, read_audio
from ser_toolkit.runtime.audio.formats import is_mp3
from ser_toolkit.runtime.audio.links import mp3_links
from ser_toolkit.runtime.audio.mpeg_frames import frame_length, frames_end
from ser_toolkit.runtime.audio.recording import open_audio
from ser_toolkit.runtime.errors import AudioError

RATE_HZ = 16_000


def voice(seconds: float = 3.0, seed: int = 7) -> np.ndarray:
    """Noise that comes and goes, so that encoders with a variable rate vary it."""
    count = round(seconds * RATE_HZ)
    level = 0.01 + 0.3 * (np.sin(np.arange(count) / 3_000) > 0)
    return (level * np.random.default_rng(seed).normal(0, 0.3, count)).astype(np.float32)


def write(path: Path, samples: np.ndarray, rate_hz: int = RATE_HZ, **options: object) -> Path:
    soundfile.write(path, samples, rate_hz, **options)
    return path


def mp3(path: Path, samples: np.ndarray, header: bool = True) -> Path:
    """An MP3 with variable rate, its first frame taken away where it is to have no header."""
    write(path, samples, format="MP3", bitrate_mode="VARIABLE", compression_level=0.3)
    content = path.read_bytes()
    first = mp3_links(path)[0].start
    if not header:
        path.write_bytes(content[first + frame_length(content[first : first + 4]) :])
    return path


def joined(path: Path, *parts: Path) -> Path:
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    return path


def cut(path: Path, share: float = 0.5) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: round(share * len(content))])
    return path


def blocks(path: Path, size: int) -> np.ndarray:
    with open_audio(path) as file:
        found = []
        while len(block := file.read(size)):
            found.append(block)
    return np.concatenate(found)[:, 0]


def named(folder: Path, kinds: Sequence[str]) -> dict[str, Path]:
    """A file of each kind: an ending, with the encoding where there are several."""
    made = {}
    for kind in kinds:
        ending, _, subtype = kind.partition(":")
        made[kind] = write(folder / f"x{len(made)}.{ending}", voice(), subtype=subtype or None)
    return made


KINDS = ("mp3", "ogg:VORBIS", "ogg:OPUS", "flac", "wav:GSM610", "wav:IMA_ADPCM", "wav:ULAW")


def test_blocks_and_parts_are_those_of_the_whole(tmp_path: Path) -> None:
    for kind, path in named(tmp_path, (*KINDS, "wav:PCM_16", "caf", "aiff")).items():
        whole = soundfile.read(path, dtype="float32")[0]
        np.testing.assert_allclose(blocks(path, 1_000), whole, atol=1e-6, err_msg=kind)
        for start_s, end_s in ((0.5, 0.9), (1.3, 2.9), (2.2, None)):
            part = read_audio(path, start_s, end_s).samples
            end = None if end_s is None else round(end_s * RATE_HZ)
            wanted = whole[round(start_s * RATE_HZ) : end]
            np.testing.assert_allclose(part, wanted, atol=1e-4, err_msg=f"{kind} from {start_s} s")
        with pytest.raises(AudioError, match=r"ends at 3\.\d+ s, before the start at 7\.0 s"):
            read_audio(path, 7.0)


def test_an_mp3_without_a_header_is_read_to_its_end(tmp_path: Path, capfd) -> None:
    # The first frame is one of many bits: the length that it promises is a part of the true one.
    samples = np.concatenate([voice(1.0) * 3, 1e-3 * voice(7.0)])
    path = mp3(tmp_path / "x.mp3", samples, header=False)
    assert soundfile.info(path).duration < 6
    assert read_audio(path).duration_s == pytest.approx(8.0, abs=0.15)
    assert read_audio(path).warning == ""
    whole, part = read_audio(path).samples, read_audio(path, 7.0, 7.5).samples
    np.testing.assert_allclose(part, whole[7 * RATE_HZ : 7 * RATE_HZ + 8_000], atol=1e-4)
    assert capfd.readouterr().err == ""
    content = path.read_bytes()
    for tail in (b"TAG" + bytes(125), content[:100]):
        path.write_bytes(content + tail)
        np.testing.assert_array_equal(read_audio(path).samples, whole)
    tag = b"ID3\x03\0\0" + bytes((0, 1, 0, 0)) + b"\xff\xfb" * (1 << 13)
    path.write_bytes(tag + content)
    np.testing.assert_array_equal(read_audio(path).samples, whole)
    assert capfd.readouterr().err == ""
    path.write_bytes(content)
    assert 1.5 < read_audio(cut(path)).duration_s < 7


def test_frames_of_mpeg_audio_follow_one_another(tmp_path: Path) -> None:
    for rate_hz in (8_000, 16_000, 44_100):
        content = write(tmp_path / f"{rate_hz}.mp3", voice(), rate_hz).read_bytes()
        ends, at = 0, mp3_links(tmp_path / f"{rate_hz}.mp3")[0].start
        while at < len(content):
            assert is_mp3(content[at:]), (rate_hz, at)
            at, ends = at + frame_length(content[at : at + 4]), ends + 1
        assert at == len(content) and ends > 20
        first = mp3_links(tmp_path / f"{rate_hz}.mp3")[0].start
        assert frames_end(content + b"\xff\xfbnothing", first) == len(content)
    assert not any(frame_length(bytes((0xFF, *more))) for more in ((0xE9, 0, 0), (0xF1, 80, 0)))


def test_recordings_that_were_joined_are_all_read(tmp_path: Path, capfd) -> None:
    one, two = voice(1.0, 1), voice(1.5, 2)
    tagged, bare = mp3(tmp_path / "tagged.mp3", two), mp3(tmp_path / "bare.mp3", two, header=False)
    for path in (tagged, bare):
        tag = b"ID3\x04\0\0" + bytes((0, 0, 8, 0)) + bytes(1_024)
        path.write_bytes(tag + path.read_bytes())
    pairs = [
        [mp3(tmp_path / f"{n}.mp3", samples) for n, samples in enumerate((one, two))],
        [mp3(tmp_path / "t.mp3", one), tagged],
        [mp3(tmp_path / "u.mp3", one), bare],
        [mp3(tmp_path / f"a{n}.mp3", samples, n == 0) for n, samples in enumerate((one, two))],
        [mp3(tmp_path / f"b{n}.mp3", samples, n == 1) for n, samples in enumerate((one, two))],
        [write(tmp_path / f"{n}.ogg", samples) for n, samples in enumerate((one, two))],
        [
            write(tmp_path / f"{n}.opus", samples, format="OGG", subtype="OPUS")
            for n, samples in enumerate((one, two))
        ],
    ]
    for pair in pairs:
        both = joined(tmp_path / f"both{pair[0].suffix}", *pair)
        parts = [read_audio(path).samples for path in pair]
        found = read_audio(both)
        np.testing.assert_allclose(found.samples, np.concatenate(parts), atol=1e-6)
        assert found.warning == "" and found.duration_s > 2.4
        late = read_audio(both, 1.8, 2.1).samples
        np.testing.assert_allclose(late, found.samples[28_800:33_600], atol=1e-4)
    other = write(tmp_path / "other.ogg", two, 8_000)
    assert capfd.readouterr().err == ""
    with pytest.raises(AudioError, match="joins recordings of 16000 and 8000 Hz"):
        read_audio(joined(tmp_path / "both.ogg", pairs[-1][0], other))


def test_a_file_that_was_cut_off_says_how_much_is_there(tmp_path: Path, capfd) -> None:
    kinds = ("wav:PCM_16", "wav:FLOAT", "aiff", "au", "w64", "mp3", "wav:IMA_ADPCM")
    for kind, path in named(tmp_path, kinds).items():
        assert read_audio(path).warning == "", kind
        found = read_audio(cut(path))
        assert f"'{path.name}' is cut off: {found.duration_s:.2f} of 3." in found.warning, kind
        assert found.duration_s == pytest.approx(1.5, abs=0.2), kind
        assert read_audio(path, 0.1, 0.5).warning == "", kind
    capfd.readouterr()


def test_a_header_from_before_the_end_is_no_damage(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", voice(), subtype="PCM_16")
    content = bytearray(path.read_bytes())
    for size in (0xFFFF_FFFF, 0xFFFF_FFDB, 0x7FFF_FFFF):
        content[40:44] = size.to_bytes(4, "little")
        path.write_bytes(content)
        assert (read_audio(path).duration_s, read_audio(path).warning) == (3.0, "")
    content[40:44] = bytes(4)
    path.write_bytes(content)
    with pytest.raises(AudioError) as caught:
        read_audio(path)
    assert str(caught.value) == (
        "'x.wav' was never finished: its header says 0 bytes of sound, 96,000 follow. "
        "Repair it: `ffmpeg -i x.wav x-fixed.wav`"
    )


def test_flac_that_does_not_say_how_long_it_is(tmp_path: Path) -> None:
    path = write(tmp_path / "x.flac", voice())
    whole = read_audio(path).samples
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)
    assert soundfile.info(path).frames > 1 << 60
    np.testing.assert_array_equal(read_audio(path).samples, whole)
    np.testing.assert_array_equal(read_audio(path, 1.0, 1.5).samples, whole[16_000:24_000])
    np.testing.assert_array_equal(decode_audio(path.read_bytes(), 3.0).samples, whole)
    with pytest.raises(AudioError, match=r"is too long: 3 s at 16000 Hz, at most 2\.9 s"):
        decode_audio(path.read_bytes(), 2.9)


def test_integers_that_were_stored_as_floats_are_refused(tmp_path: Path) -> None:
    path = write(tmp_path / "x.wav", 32_768 * voice(), subtype="FLOAT")
    with pytest.raises(AudioError, match=r"samples up to \d+\.?\d*, and full scale is 1\. Divide"):
        check_speech(read_audio(path))
    check_speech(read_audio(write(path, 9 * voice() / np.abs(voice()).max(), subtype="FLOAT")))
