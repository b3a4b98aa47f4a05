"""Finding audio files below a folder."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from ser_toolkit.runtime.audio.files import audio_files
from ser_toolkit.runtime.errors import SertkError


def touch(root: Path, *names: str) -> None:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()


def test_audio_files_are_sorted_and_hidden_ones_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "b/x.WAV", "a.flac", "b/._x.wav", ".git/x.wav", "__MACOSX/x.wav", "b/notes.txt")
    assert audio_files(tmp_path) == {"a.flac": tmp_path / "a.flac", "b/x.WAV": tmp_path / "b/x.WAV"}


def test_a_linked_folder_is_followed_once_and_a_loop_ends(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x.wav", "root/y.wav")
    (tmp_path / "root" / "wav").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "zzz").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "root" / "loop").symlink_to(tmp_path / "root")
    assert list(audio_files(tmp_path / "root")) == ["wav/x.wav", "y.wav"]


@pytest.mark.skipif(sys.platform != "linux", reason="names are text elsewhere")
def test_a_name_that_is_not_utf8_can_be_shown(tmp_path: Path) -> None:
    (tmp_path / os.fsdecode(b"\xc4rger.wav")).touch()
    assert list(audio_files(tmp_path)) == ["\\xc4rger.wav"]


def test_a_root_that_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(SertkError, match="is not there"):
        audio_files(tmp_path / "no")
    touch(tmp_path, "file")
    with pytest.raises(SertkError, match="is a file, not a folder"):
        audio_files(tmp_path / "file")


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read everything"
)
def test_a_folder_without_permission_is_not_passed_over_in_silence(tmp_path: Path) -> None:
    touch(tmp_path, "secret/x.wav")
    (tmp_path / "secret").chmod(0)
    try:
        with pytest.raises(SertkError, match="'secret' cannot be read: Permission denied"):
            audio_files(tmp_path)
    finally:
        (tmp_path / "secret").chmod(0o700)
