"""Decode audio files to mono float32 samples: the only copy of mixing, scaling, resampling."""

from __future__ import annotations

import hashlib
import io
import math
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import AudioError, MissingExtra, SertkError
from ..features.base import F32
from ..text import plural

if TYPE_CHECKING:
    import soundfile

ENDINGS = "wav wave flac ogg oga opus mp3 aif aiff aifc au snd w64 caf sph"
AUDIO_SUFFIXES = frozenset(f".{ending}" for ending in ENDINGS.split())
"""Suffixes of audio files, in lower case with the dot."""
SHORTEST_SPEECH_S = 0.05
SILENT_DBFS = -60.0
# Beyond 32-bit integers that were not scaled; the squares of more overflow float32 somewhere.
LOUDEST = 1e10
RATES_HZ = range(1_000, 1_000_001)
BLOCK_FRAMES = 1 << 16
UPLOAD_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC")
UPLOAD_RATE_HZ = 48_000
LFS_MAGIC = b"version https://git-lfs"


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono audio as it was decoded.

    Attributes:
        samples: Float32 (N,), full scale 1.
        rate_hz: Samples per second.
    """

    samples: F32
    rate_hz: int

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.rate_hz


def read_audio(
    path: str | os.PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    shown: str | None = None,
) -> Audio:
    """Decode a file, or the part of it from `start_s` to `end_s`; channels are averaged.

    The content decides, not the suffix of the file.

    Args:
        path: The file.
        start_s: Where the part begins, in seconds.
        end_s: Where it ends; None, or a time past the end, is the end of the file.
        shown: What errors call the file; by default its bare name.

    Raises:
        AudioError: For a file that cannot be read or decoded.
    """
    path = Path(path)
    shown = shown or path.name or "."
    with open_audio(path, shown) as file:
        n_frames = _seek(file, start_s, end_s, shown)
        return Audio(_mono(file, n_frames), int(file.samplerate))


@contextmanager
def open_audio(
    path: str | os.PathLike[str], shown: str | None = None
) -> Iterator[soundfile.SoundFile]:
    """Open a file to read it in blocks; errors name it as in `read_audio`.

    What goes wrong while it is read is an AudioError too.
    """
    path = Path(path)
    shown = shown or path.name or "."
    _check_file(path, shown)
    sf = _soundfile()
    try:
        # As bytes: soundfile encodes text itself, and fails where a name is no UTF-8.
        with sf.SoundFile(os.fspath(path) if os.name == "nt" else os.fsencode(path)) as file:
            _check_rate(file.samplerate, shown)
            yield file
    except (sf.SoundFileError, TypeError, MemoryError) as error:
        raise AudioError(f"'{shown}' cannot be decoded: {_reason(error)}") from error


def decode_audio(content: bytes, max_s: float, shown: str = "the recording") -> Audio:
    """Decode an uploaded WAV or FLAC file; channels are averaged.

    Args:
        content: The bytes of the file, of unknown origin.
        max_s: The longest recording in seconds, at up to 48 kHz; the header decides.
        shown: What errors call it.

    Raises:
        AudioError: For another format, a longer recording, or damaged bytes.
    """
    if not content.startswith(UPLOAD_MAGIC):
        raise AudioError(f"'{shown}' is neither WAV nor FLAC")
    sf = _soundfile()
    try:
        with sf.SoundFile(io.BytesIO(content)) as file:
            _check_rate(file.samplerate, shown)
            _check_length(file, max_s, shown)
            return Audio(_mono(file, file.frames), int(file.samplerate))
    except (sf.SoundFileError, TypeError, MemoryError) as error:
        raise AudioError(f"'{shown}' cannot be decoded: {_reason(error)}") from error


def resample(samples: F32, rate_hz: int, to_hz: int) -> F32:
    """Resample by soxr HQ.

    Args:
        samples: Float32 (N,).
        rate_hz: Their rate.
        to_hz: The rate to return.

    Returns:
        Float32, about N * to_hz / rate_hz samples.
    """
    import soxr

    if min(rate_hz, to_hz) <= 0:
        raise SertkError(f"sample rates above 0 Hz expected, received {rate_hz} and {to_hz}")
    if rate_hz == to_hz or not len(samples):
        return np.asarray(samples, np.float32)
    resampled: F32 = soxr.resample(np.asarray(samples, np.float32), rate_hz, to_hz, quality="HQ")
    return resampled


def from_pcm16(pcm: bytes, channels: int = 1) -> F32:
    """Convert interleaved little-endian 16-bit samples to mono float32 (N,), full scale 1."""
    frames = np.frombuffer(pcm, "<i2").reshape(-1, channels).astype(np.float32)
    mono: F32 = (frames / np.float32(32768)).mean(axis=1, dtype=np.float32)
    return mono


def check_speech(audio: Audio, shown: str = "the audio") -> None:
    """Raise AudioError for what cannot be speech: empty, under 50 ms, no numbers, silent.

    Silent means that no sample is further from the mean than -60 dB below full scale.
    """
    samples = audio.samples
    if not len(samples):
        raise AudioError(f"'{shown}' has no samples")
    if audio.duration_s < SHORTEST_SPEECH_S:
        raise AudioError(f"'{shown}' is too short: {_length(audio)}, at least 50 ms expected")
    check_samples(samples, shown)
    peak = float(np.abs(samples - samples.mean(dtype=np.float64)).max())
    if peak < 10 ** (SILENT_DBFS / 20):
        raise AudioError(f"'{shown}' is silent: its peak is below {SILENT_DBFS:.0f} dBFS")


def check_samples(samples: F32, shown: str = "the audio") -> None:
    """Raise AudioError for NaN, for infinity, and for numbers that no sound has."""
    if not np.isfinite(samples).all():
        raise AudioError(f"'{shown}' has samples that are not numbers (NaN or infinite)")
    peak = float(np.abs(samples).max(initial=0.0))
    if peak > LOUDEST:
        raise AudioError(f"'{shown}' has samples up to {peak:.0e}, and full scale is 1")


def content_hash(audio: Audio) -> str:
    """Return the sha256 of rate and decoded samples, which any lossless copy has as well."""
    digest = hashlib.sha256(f"{audio.rate_hz}\n".encode())
    digest.update((audio.samples.astype("<f4") + np.float32(0)).tobytes())
    return digest.hexdigest()


def audio_files(root: Path) -> dict[str, Path]:
    """List every audio file below `root`, by suffix: path below `root` with '/' -> path, sorted.

    Hidden files and folders are passed over; linked folders are followed, each folder once.
    Raises SertkError where `root` or a folder in it cannot be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "is not there"
        raise SertkError(f"the folder '{root}' {what}", "Give the folder that holds the corpus")
    paths = (folder / name for folder, names in _folders(root) for name in names if name[0] != ".")
    by_name = {_relative(p, root): p for p in paths if p.suffix.lower() in AUDIO_SUFFIXES}
    return dict(sorted(by_name.items()))


def _soundfile() -> Any:
    # Imported here because it costs 0.2 s, which `sertk --help` should not pay.
    try:
        import soundfile
    except (ImportError, OSError) as error:
        todo = "Run `pip install soundfile`; where no wheel fits, install libsndfile"
        raise MissingExtra(f"soundfile cannot be loaded ({error})", todo) from error
    return soundfile


def _check_file(path: Path, shown: str) -> None:
    try:
        mode = path.stat().st_mode
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "not a regular file"
            raise AudioError(f"'{shown}' is {kind}; an audio file expected")
        with path.open("rb") as file:
            head = file.read(len(LFS_MAGIC))
    except FileNotFoundError as error:
        if path.is_symlink():
            raise AudioError(f"'{shown}' is a link to a missing file") from error
        raise AudioError(f"'{shown}' is not there", "Check the path") from error
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise AudioError(f"'{shown}' cannot be opened: {why}") from error
    if not head:
        raise AudioError(f"'{shown}' is empty (0 bytes)")
    if head == LFS_MAGIC:
        todo = "Run `git lfs pull` in the corpus"
        raise AudioError(f"'{shown}' is a Git LFS pointer, not audio", todo)


def _check_rate(rate_hz: int, shown: str) -> None:
    # A damaged header may say 1 Hz; resampling from that would need gigabytes.
    if rate_hz not in RATES_HZ:
        raise AudioError(f"'{shown}' has a sample rate of {rate_hz} Hz: the file is damaged")


def _check_length(file: soundfile.SoundFile, max_s: float, shown: str) -> None:
    # Half a megabyte of FLAC holds hours of silence.
    rate_hz = int(file.samplerate)
    if file.frames > max_s * min(rate_hz, UPLOAD_RATE_HZ):
        length = f"{file.frames / rate_hz:.0f} s at {rate_hz} Hz"
        most = f"{max_s:g} s at up to {UPLOAD_RATE_HZ} Hz"
        raise AudioError(f"'{shown}' is too long: {length}, at most {most} expected")


def _seek(file: soundfile.SoundFile, start_s: float, end_s: float | None, shown: str) -> int:
    """Go to the first frame of the part; return how many frames it has at most."""
    last_s = math.inf if end_s is None else end_s
    if not (math.isfinite(start_s) and 0 <= start_s < last_s):
        raise AudioError(f"'{shown}': 0 <= start < end expected, received {start_s} to {end_s} s")
    rate_hz, n_frames = int(file.samplerate), int(file.frames)
    first = round(start_s * rate_hz)
    if first and first >= n_frames:
        length_s = n_frames / rate_hz
        raise AudioError(f"'{shown}' ends at {length_s:.3f} s, before the start at {start_s} s")
    if first:
        file.seek(first)
    end = n_frames if end_s is None else min(n_frames, round(end_s * rate_hz))
    return end - first


def _mono(file: soundfile.SoundFile, n_frames: int) -> F32:
    # In blocks: a damaged header may promise more frames than memory holds.
    blocks = []
    while n_frames > 0:
        block = file.read(min(BLOCK_FRAMES, n_frames), dtype="float32", always_2d=True)
        if not len(block):
            break
        # `check_samples` refuses what is too large or not finite.
        with np.errstate(over="ignore", invalid="ignore"):
            blocks.append(block.mean(axis=1, dtype=np.float32))
        n_frames -= len(block)
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def _reason(error: Exception) -> str:
    if isinstance(error, MemoryError):
        return "it does not fit into memory"
    # libsndfile's own text for a beheaded file says that there is no file; there is one.
    reason = str(getattr(error, "error_string", "")).strip()
    return "Format not recognised." if not reason or "not exist" in reason else reason


def _length(audio: Audio) -> str:
    return f"{plural(len(audio.samples), 'sample')} at {audio.rate_hz} Hz"


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    seen: set[tuple[int, int]] = set()
    for folder, inside, names in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inside.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inside[:] = sorted(name for name in inside if name[0] != "." and name != "__MACOSX")
        yield Path(folder), names


def _refuse(error: OSError) -> None:
    name = Path(str(error.filename)).name
    problem = f"the folder '{name}' cannot be read: {error.strerror}"
    raise SertkError(problem, "Check its permissions") from error


def _relative(path: Path, root: Path) -> str:
    # Names that are not UTF-8 are escaped, so that a report can be written.
    return os.fsencode(path.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
