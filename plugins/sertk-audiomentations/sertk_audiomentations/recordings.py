"""Transforms that mix a clip with recordings, which travel with the run as an asset."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from ser_toolkit.runtime.audio import AUDIO_SUFFIXES, read_audio
from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.utils.files import cache_dir

from .transform import Transform

if TYPE_CHECKING:
    import numpy as np

    from ser_toolkit.runtime.component import AssetLoader
    from ser_toolkit.runtime.extractor import F32


@dataclass(frozen=True)
class Recorded(Transform):
    """Base of all: the field called `source` holds a recording, or a zip of several.

    The library reads from a folder, so the recordings are decoded into the toolkit's cache once,
    into a folder that is named by the sha256 of the asset.
    """

    source: ClassVar[str] = "sounds_path"

    def prepare(self, load: AssetLoader) -> Recorded:
        """This transform, its recordings in their folder."""
        asset, folder = self._asset(), self._folder()
        if asset is None or folder is None:
            raise SertkError(
                f"'{self.name}' needs recordings",
                f"Give an audio file, or a .zip of some: --set augmenter.{self.source}=@FILE",
            )
        if not folder.is_dir():
            _unpack(load(asset), asset.name, folder)
        return self

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        folder = self._folder()
        if folder is None or not folder.is_dir():
            raise SertkError(f"'{self.name}' has no recordings yet", "Call prepare(load) first")
        return super().augment(samples, rate_hz, rng)

    def _arguments(self) -> dict[str, Any]:
        folder = self._folder()
        # Without recordings the other parameters are tried; the library opens no file for that.
        found = str(folder) if folder and folder.is_dir() else "none.wav"
        return {**super()._arguments(), self.source: found}

    def _asset(self) -> Asset | None:
        asset: Asset | None = getattr(self, self.source)
        return asset

    def _folder(self) -> Path | None:
        asset = self._asset()
        return None if asset is None else cache_dir() / "recordings" / asset.sha256


@dataclass(frozen=True)
class AddBackgroundNoise(Recorded):
    """A recording, or a part of one, at a drawn signal-to-noise ratio."""

    name: ClassVar[str] = "audiomentations.AddBackgroundNoise"
    sounds_path: Asset | None = None
    min_snr_db: float = 3.0
    max_snr_db: float = 30.0
    noise_rms: Literal["relative", "absolute"] = "relative"
    min_absolute_rms_db: float = -45.0
    max_absolute_rms_db: float = -15.0


@dataclass(frozen=True)
class AddShortNoises(Recorded):
    """Bursts of short recordings, with pauses."""

    name: ClassVar[str] = "audiomentations.AddShortNoises"
    sounds_path: Asset | None = None
    min_snr_db: float = -6.0
    max_snr_db: float = 18.0
    min_time_between_sounds: float = 2.0
    max_time_between_sounds: float = 8.0
    noise_rms: Literal["absolute", "relative", "relative_to_whole_input"] = (
        "relative_to_whole_input"
    )
    min_absolute_noise_rms_db: float = -50.0
    max_absolute_noise_rms_db: float = -20.0
    add_all_noises_with_same_level: bool = False
    include_silence_in_noise_rms_estimation: bool = True
    burst_probability: float = 0.22
    min_pause_factor_during_burst: float = 0.1
    max_pause_factor_during_burst: float = 1.1
    min_fade_in_time: float = 0.005
    max_fade_in_time: float = 0.08
    min_fade_out_time: float = 0.01
    max_fade_out_time: float = 0.1
    signal_gain_db_during_noise: float | None = None


@dataclass(frozen=True)
class ApplyImpulseResponse(Recorded):
    """A recorded room or device, by convolution with its impulse response."""

    source: ClassVar[str] = "ir_path"
    name: ClassVar[str] = "audiomentations.ApplyImpulseResponse"
    ir_path: Asset | None = None
    leave_length_unchanged: bool = True


def _unpack(content: bytes, name: str, folder: Path) -> None:
    """Every recording in `content` as a mono WAV; the folder is there when all of them are."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".") as temporary:
        made = Path(temporary) / "made"
        made.mkdir()
        for number, (shown, recording) in enumerate(_recordings(content, name)):
            _decode(recording, shown, made / f"{number:06d}.wav")
        if not any(made.iterdir()):
            raise SertkError(f"'{name}' holds no audio file", "Give a .zip with some")
        try:
            made.rename(folder)
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
