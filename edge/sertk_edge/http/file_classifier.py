"""Recordings that clients send, in a thread that does not hold up the recognizer."""

from __future__ import annotations

from collections.abc import Callable

from ser_toolkit.runtime.audio.decode import Audio, check_speech, decode_audio
from ser_toolkit.runtime.audio.level import speech_level
from ser_toolkit.runtime.errors import AudioError, SertkError
from ser_toolkit.runtime.inference.classifier import Classifier
from ser_toolkit.runtime.inference.prediction import predict_clip

from ..audio.level_range import level_range
from ..audio.smoothing import LOW_CONFIDENCE
from ..service.worker_thread import WorkerThread
from ..settings import StreamSettings
from .backend import BusyError, Json

SHOWN = "the recording"


class FileClassifier:
    """One recording at a time, with a classifier of its own that the first one opens.

    At most `waiting` wait for their turn.
    """

    def __init__(
        self,
        open_classifier: Callable[[], Classifier],
        max_audio_s: float,
        waiting: int = 4,
        stream: StreamSettings | None = None,
    ) -> None:
        self._open_classifier = open_classifier
        self._max_audio_s = max_audio_s
        self._stream = stream or StreamSettings()
        self._most = waiting + 1
        self._classifier: Classifier | None = None
        self._worker = WorkerThread("recordings")
        self._asked = 0

    async def classify(self, content: bytes) -> Json:
        """Classify a WAV or FLAC file. Raises AudioError and BusyError."""
        if self._asked >= self._most:
            raise BusyError(f"{self._asked} recordings wait already", "Try again in a moment")
        self._asked += 1
        try:
            return await self._worker.run(lambda: self._answer(content))
        finally:
            self._asked -= 1

    def close(self) -> None:
        """Take no more work; what was asked for is still answered."""
        self._worker.close()

    def _answer(self, content: bytes) -> Json:
        audio = decode_audio(content, self._max_audio_s, SHOWN)
        check_speech(audio, SHOWN)
        if self._classifier is None:
            self._classifier = self._open_classifier()
        try:
            return answer(self._classifier, audio, self._stream)
        except SertkError as error:
            # Samples far beyond full scale: numbers, but none that features can be made of.
            raise AudioError(error.problem, error.todo) from error


def answer(classifier: Classifier, audio: Audio, stream: StreamSettings) -> Json:
    """Predict the whole recording, and each window of it.

    Args:
        classifier: What predicts.
        audio: The recording.
        stream: The lowest level of speech that is classified.
    """
    found = predict_clip(classifier, audio)
    level_dbfs = speech_level(audio.samples, audio.rate_hz)
    reason = level_range(classifier.speech_level, stream).reason_against(level_dbfs)
    return {
        **found.to_dict(windows=False),
        "uncertain": found.uncertain or bool(reason),
        "reason": reason or (LOW_CONFIDENCE if found.uncertain else ""),
        "level_dbfs": round(level_dbfs, 1),
        "duration_s": round(audio.duration_s, 3),
        "windows": [window.to_dict() for window in found.windows],
    }
