"""One of several channels, or their mean; channels that cancel each other in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.audio.channels import mean, parse_channel
from ser_toolkit.runtime.audio.decode import check_speech, decode_audio, read_audio
from ser_toolkit.runtime.errors import AudioError, SertkError

RATE_HZ = 16_000
RNG = np.random.default_rng(3)
VOICE, OTHER = RNG.normal(0, 0.1, (2, 70_000)).astype(np.float32)


def write(path: Path, *channels: np.ndarray) -> Path:
    soundfile.write(path, np.stack(channels, axis=1), RATE_HZ, subtype="FLOAT")
    return path


def test_a_channel_is_chosen_by_name_or_number(tmp_path: Path) -> None:
    three = write(tmp_path / "x.wav", VOICE, OTHER, VOICE / 2)
    for channel, wanted in (
        *(("left", VOICE), ("right", OTHER), (1, VOICE), ("2", OTHER), (" 3 ", VOICE / 2)),
        ("mix", np.stack([VOICE, OTHER, VOICE / 2]).mean(axis=0, dtype=np.float32)),
    ):
        np.testing.assert_array_equal(read_audio(three, channel=channel).samples, wanted, channel)
    mono = write(tmp_path / "y.wav", VOICE)
    for channel in ("mix", "left", "right", 1):
        np.testing.assert_array_equal(read_audio(mono, channel=channel).samples, VOICE)
    with pytest.raises(AudioError, match=r"^'y\.wav' has no channel 2: it has 1$"):
        read_audio(mono, channel=2)


def test_what_is_no_channel() -> None:
    for wrong in ("middle", "", "0", "-1", 0, "1.5", "²", True):
        with pytest.raises(SertkError, match="channel expects mix, left, right or a number"):
            parse_channel(wrong)


def test_the_mean_is_that_of_numpy_to_the_last_bit() -> None:
    bits = np.random.default_rng(1).integers(0, 1 << 32, (100_000, 2), np.uint64)
    frames = bits.astype(np.uint32).view(np.float32)
    with np.errstate(all="ignore"):
        wanted = frames.mean(axis=1, dtype=np.float32)
    np.testing.assert_array_equal(mean(frames), wanted)


def test_channels_that_cancel_are_refused_unless_one_is_chosen(tmp_path: Path) -> None:
    for share in (1.0, 0.99, 0.9):
        path = write(tmp_path / "x.wav", VOICE, -np.float32(share) * VOICE)
        with pytest.raises(AudioError) as caught:
            read_audio(path)
        assert str(caught.value) == (
            "'x.wav': its 2 channels cancel each other when averaged. Take one of them, as with "
            "--channel left"
        )
        np.testing.assert_array_equal(read_audio(path, channel="left").samples, VOICE)
        with pytest.raises(AudioError, match="'it': its 2 channels cancel"):
            decode_audio(path.read_bytes(), 10, "it")


def test_other_channels_do_not_cancel(tmp_path: Path) -> None:
    offset, silence = np.float32(0.2), np.zeros_like(VOICE)
    for channels in (
        *(
            (VOICE, OTHER),
            (VOICE, silence),
            (VOICE, -0.5 * VOICE),
            (VOICE + offset, VOICE - offset),
        ),
        (VOICE, *[silence] * 30),
    ):
        found = read_audio(write(tmp_path / "x.wav", *channels)).samples
        wanted = np.stack(channels).mean(axis=0, dtype=np.float64)
        np.testing.assert_allclose(found, wanted, atol=1e-6)
    with pytest.raises(AudioError, match="is silent"):
        check_speech(read_audio(write(tmp_path / "x.wav", silence + offset, silence - offset)))
