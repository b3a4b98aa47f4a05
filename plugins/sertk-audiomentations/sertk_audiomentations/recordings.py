"""Decode the recordings that transforms mix in: one asset, unpacked into the cache."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ser_toolkit import AUDIO_SUFFIXES, Asset, SertkError, cache_dir, read_audio

if TYPE_CHECKING:
    from ser_toolkit import AssetLoader


def folder_of(asset: Asset) -> Path:
    """Return the folder of the recordings of an asset: the library reads from a folder."""
    return cache_dir() / "recordings" / asset.sha256


def unpacked(asset: Asset, load: AssetLoader) -> Path:
    """Decode the recordings of an asset into their folder, once, and return it."""
    folder = folder_of(asset)
    if not folder.is_dir():
        _unpack(load(asset), asset.name, folder)
    return folder


def _unpack(content: bytes, name: str, folder: Path) -> None:
    """Write every recording in `content` as a mono WAV; the folder appears when all are there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        complete = Path(temporary) / "complete"
        complete.mkdir()
        for number, (shown, recording) in enumerate(_recordings(content, name)):
            _decode(recording, shown, complete / f"{number:06d}.wav")
        if not any(complete.iterdir()):
            raise SertkError(f"'{name}' holds no audio file", "Give a .zip with some")
        try:
            complete.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster
                raise


def _recordings(content: bytes, name: str) -> Iterator[tuple[str, bytes]]:
    if not zipfile.is_zipfile(io.BytesIO(content)):
        yield name, content
        return
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            for member in sorted(archive.namelist()):
                if PurePosixPath(member).suffix.lower() in AUDIO_SUFFIXES:
                    yield member, archive.read(member)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise SertkError(f"'{name}' cannot be unpacked: {error}", "Pack it again") from error


def _decode(content: bytes, shown: str, target: Path) -> None:
    source = target.with_suffix(".source")
    source.write_bytes(content)
    audio = read_audio(source, shown=shown)
    source.unlink()
    import soundfile

    soundfile.write(target, audio.samples, audio.rate_hz, subtype="FLOAT")
