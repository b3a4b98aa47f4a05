"""Decode audio files to mono float32 samples: the only copy of mixing, scaling, resampling."""

from __future__ import annotations

import hashlib
import io
import math
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import AudioError, SertkError
from ..features.base import F32
from ..text import plural
from .channels import MIX, Channel, mean, parse_channel, to_mono
from .recording import Recording, decoder_errors, open_audio

SHORTEST_SPEECH_S = 0.05
SILENT_DBFS = -60.0
# +20 dBFS: no recording is louder, but integers that were stored as floats without scaling are.
LOUDEST = 10.0
UPLOAD_MAGIC = (b"RIFF", b"RIFX", b"RF64", b"fLaC")
UPLOAD_RATE_HZ = 48_000


@dataclass(frozen=True, eq=False)
class Audio:
    """Mono audio as it was decoded.

    Attributes:
        samples: Float32 (N,), full scale 1.
        rate_hz: Samples per second.
        warning: What the file lacks that it was decoded from, '' for nothing.
    """

    samples: F32
    rate_hz: int
    warning: str = ""

    @property
    def duration_s(self) -> float:
        """Return the length in seconds."""
        return len(self.samples) / self.rate_hz


def read_audio(
    path: str | os.PathLike[str],
    start_s: float = 0.0,
    end_s: float | None = None,
    shown: str | None = None,
    channel: Channel = MIX,
) -> Audio:
    """Decode a file, or the part of it from `start_s` to `end_s`, as mono.

    The content decides, not the suffix of the file. What libsndfile does not read (M4A, AAC, WMA,
    WebM, the sound of a video) is decoded by ffmpeg, where that is installed.

    Args:
        path: The file.
        start_s: Where the part begins, in seconds.
        end_s: Where it ends; None, or a time past the end, is the end of the file.
        shown: What errors call the file; by default its bare name.
        channel: `mix`, the mean of all channels; or `left`, `right`, a number from 1 on.

    Raises:
        AudioError: For a file that cannot be read or decoded, and for channels that cancel each
            other in their mean.
    """
    path = Path(path)
    shown = shown or path.name or "."
    channel = parse_channel(channel)
    last_s = math.inf if end_s is None else end_s
    if not (math.isfinite(start_s) and 0 <= start_s < last_s):
        raise AudioError(f"'{shown}': 0 <= start < end expected, received {start_s} to {end_s} s")
    with open_audio(path, shown) as file:
        first = round(start_s * file.rate_hz)
        last = math.inf if end_s is None else round(end_s * file.rate_hz)
        samples = to_mono(file.part(first, last), channel, shown)
        warning = file.warning() if end_s is None else ""
        if warning and not len(samples):
            raise AudioError(warning)
        return Audio(samples, file.rate_hz, warning)


def decode_audio(content: bytes, max_s: float, shown: str = "the recording") -> Audio:
    """Decode an uploaded WAV or FLAC file; channels are averaged.

    Args:
        content: The bytes of the file, of unknown origin.
        max_s: The longest recording in seconds, at up to 48 kHz.
        shown: What errors call it.

    Raises:
        AudioError: For another format, a longer recording, or damaged bytes.
    """
    if not content.startswith(UPLOAD_MAGIC):
        raise AudioError(f"'{shown}' is neither WAV nor FLAC")
    with decoder_errors(shown):
        from .sequential import SequentialFile

        with SequentialFile(io.BytesIO(content)) as file:
            recording = Recording(shown, file)
            rate_hz = recording.rate_hz
            _check_length(recording.n_frames or 0, rate_hz, max_s, shown)
            most = round(max_s * rate_hz)
            samples = to_mono(recording.part(0, most + 1), MIX, shown)
            _check_length(len(samples), rate_hz, max_s, shown)
            return Audio(samples, rate_hz)


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
    return mean(frames / np.float32(32768))


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
        raise AudioError(
            f"'{shown}' has samples up to {peak:.6g}, and full scale is 1",
            "Divide them by the largest value of the integers that they were, such as 32768",
        )


def content_hash(audio: Audio) -> str:
    """Return the sha256 of rate and decoded samples, which any lossless copy has as well."""
    digest = hashlib.sha256(f"{audio.rate_hz}\n".encode())
    digest.update((audio.samples.astype("<f4") + np.float32(0)).tobytes())
    return digest.hexdigest()


def _check_length(n_frames: int, rate_hz: int, max_s: float, shown: str) -> None:
    # Half a megabyte of FLAC holds hours of silence.
    if n_frames > max_s * min(rate_hz, UPLOAD_RATE_HZ):
        length = f"{n_frames / rate_hz:.0f} s at {rate_hz} Hz"
        most = f"{max_s:g} s at up to {UPLOAD_RATE_HZ} Hz"
        raise AudioError(f"'{shown}' is too long: {length}, at most {most} expected")


def _length(audio: Audio) -> str:
    return f"{plural(len(audio.samples), 'sample')} at {audio.rate_hz} Hz"
