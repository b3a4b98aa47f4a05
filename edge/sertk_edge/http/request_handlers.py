"""Answer requests with the loaded bundle, apart from the device's own audio."""

from __future__ import annotations

from collections.abc import Callable

from ..audio.vad import SpeechDetector
from ..bundle.loader import LoadedBundle, reopen
from ..settings import Settings
from .audio_sessions import AudioSessions
from .backend import Json, PcmSession
from .file_classifier import FileClassifier


class RequestHandlers:
    """Recordings and sessions, each with a thread and a classifier of its own when needed."""

    def __init__(
        self, live: LoadedBundle, settings: Settings, detector: Callable[[], SpeechDetector]
    ) -> None:
        self._settings = settings
        self._detector = detector
        self._open(live)

    def exchange(self, live: LoadedBundle) -> None:
        """Answer with another bundle from now on; what goes on ends with the old one."""
        self.close()
        self._open(live)

    async def classify(self, content: bytes) -> Json:
        """Classify a recording."""
        return await self._recordings.classify(content)

    def listen(self, rate_hz: int, channels: int) -> PcmSession:
        """Begin a session. Raises BusyError."""
        return self._conversations.begin(rate_hz, channels)

    def close(self) -> None:
        """Take no more work."""
        self._recordings.close()
        self._conversations.close()

    def _open(self, live: LoadedBundle) -> None:
        settings = self._settings
        self._recordings = FileClassifier(
            lambda: reopen(live), settings.http.max_audio_s, stream=settings.stream
        )
        self._conversations = AudioSessions(lambda: reopen(live), self._settings, self._detector)
