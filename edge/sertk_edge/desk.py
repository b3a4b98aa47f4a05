"""Where requests are answered: with the bundle that is live, but not with the device's own ear."""

from __future__ import annotations

from collections.abc import Callable

from .config import Settings
from .conversations import Conversations
from .gate import Detector
from .recordings import Recordings
from .services import Conversation, Json
from .swap import Live, reopen


class Desk:
    """Recordings and conversations, each with a thread and a classifier of its own when needed."""

    def __init__(self, live: Live, settings: Settings, detector: Callable[[], Detector]) -> None:
        self._settings = settings
        self._detector = detector
        self._open(live)

    def exchange(self, live: Live) -> None:
        """Answer with another bundle from now on; what goes on ends with the old one."""
        self.close()
        self._open(live)

    async def classify(self, content: bytes) -> Json:
        """What is heard in a recording."""
        return await self._recordings.classify(content)

    def listen(self, rate_hz: int, channels: int) -> Conversation:
        """A new conversation. Raises Busy."""
        return self._conversations.begin(rate_hz, channels)

    def close(self) -> None:
        """Take no more work."""
        self._recordings.close()
        self._conversations.close()

    def _open(self, live: Live) -> None:
        self._recordings = Recordings(lambda: reopen(live), self._settings.http.max_audio_s)
        self._conversations = Conversations(lambda: reopen(live), self._settings, self._detector)
