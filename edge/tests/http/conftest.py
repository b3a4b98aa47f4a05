"""A real server on a free port of this machine, answering with a real bundle."""

from __future__ import annotations

import asyncio
import http.client
import io
import json
import ssl
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
import soundfile

from ser_toolkit import open_bundle
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from ser_toolkit.runtime.events import Event
from sertk_edge.audio.vad import detectors
from sertk_edge.http.app import Server, serve
from sertk_edge.http.audio_sessions import AudioSessions
from sertk_edge.http.backend import Backend, EventHub
from sertk_edge.http.file_classifier import FileClassifier
from sertk_edge.http.metrics import Metrics
from sertk_edge.settings import HttpSettings, Settings, SmoothingSettings, StreamSettings

T = TypeVar("T")
LABELS = ("anger", "joy", "neutral", "sadness")
MODEL = {
    "name": "tiny",
    "sha256": "0" * 64,
    "labels": list(LABELS),
    "rate_hz": 16_000,
    "window_s": 0.208,
    "hop_s": 0.1,
    "quantization": "float32",
    "speech_level": {"low_dbfs": -33.0, "high_dbfs": -15.0},
    "runtime": {"name": "ai-edge-litert", "version": "2"},
    "signed": False,
    "loaded_time_s": 1.0,
    "figures": {},
    "training": {},
    "rejected": None,
}
STATE = {
    "time_s": 1.0,
    "offset_s": 1.0,
    "level_dbfs": float("-inf"),
    "peak_dbfs": -20.0,
    "clipping": False,
    "speech": True,
    "label": "joy",
    "reason": "",
    "probabilities": {"anger": 0.1, "joy": 0.7, "neutral": 0.1, "sadness": 0.1},
    "since_s": 0.5,
    "model": {"name": "tiny", "sha256": "0" * 64, "state": "ok", "detail": ""},
    "source": {"kind": "pcm", "name": "standard input", "state": "ok", "detail": ""},
    "sinks": [{"name": "mqtt", "state": "ok", "pending": 0, "dropped": 0, "detail": ""}],
    "spool": {"state": "ok", "detail": ""},
    "recording": False,
}


@dataclass(frozen=True)
class Answer:
    """What the server said."""

    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        """Why it refused; there must be one line that says so."""
        message: str = self.json["error"]["message"]
        assert message and "\n" not in message and "Traceback" not in message
        return message


class Site:
    """A running server, its loop in a thread of its own."""

    def __init__(self, settings: HttpSettings, bundle: Path) -> None:
        self.settings = settings
        self.hub = EventHub()
        self.metrics = Metrics()
        self.is_ready = True
        self.state: Callable[[], dict[str, Any]] = lambda: STATE
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._recordings = FileClassifier(
            lambda: open_bundle(bundle, check=False), settings.max_audio_s
        )
        results = Settings(
            stream=StreamSettings(gate="energy"),
            smoothing=SmoothingSettings(uncertain_below=0.0, min_duration_s=0.0),
        )
        self.sessions = AudioSessions(
            lambda: open_bundle(bundle, check=False), results, detectors(results.stream)
        )
        self.server: Server = self.run(serve(self.backend(), settings, self.metrics))
        self.port = self.server.port

    def backend(self) -> Backend:
        return Backend(
            model=lambda: MODEL,
            state=lambda: self.state(),
            ready=lambda: {"ready": self.is_ready, "model": "ok", "source": "ok", "spool": "ok"},
            hub=self.hub,
            classify=self._recordings.classify,
            listen=self.sessions.begin,
        )

    def run(self, work: Awaitable[T]) -> T:
        """The result of something awaited in the server's loop."""

        async def waited() -> T:
            return await work

        return asyncio.run_coroutine_threadsafe(waited(), self._loop).result(30)

    def call(self, work: Callable[[], T]) -> T:
        """The result of a function called in the server's loop."""

        async def called() -> T:
            return work()

        return self.run(called())

    def tell(self, sequence: int) -> Event:
        """An event, as the daemon tells one."""
        event = Event(f"id{sequence}", sequence, "changed", 1.0, 1.0, "joy", {"joy": 0.9}, -20.0)
        self.call(lambda: self.hub.event(event))
        return event

    def ask(
        self,
        method: str,
        path: str,
        body: bytes | str | None = None,
        headers: dict[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> Answer:
        """One request over a connection of its own."""
        if tls is None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        else:
            connection = http.client.HTTPSConnection(
                "127.0.0.1", self.port, timeout=20, context=tls
            )
        try:
            connection.request(method, path, body, headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def get(self, path: str, **headers: str) -> Answer:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.ask("GET", path, headers=named)

    def classify(self, body: bytes, kind: str = "audio/wav") -> Answer:
        return self.ask("POST", "/v1/classify", body, {"Content-Type": kind})

    def close(self) -> None:
        if self._loop.is_closed():
            return
        try:
            self.run(asyncio.wait_for(self.server.close(), 5))
        finally:
            self._recordings.close()
            self.sessions.close()
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join(10)
            self._loop.close()


Serving = Callable[..., Site]


@pytest.fixture
def serving(tiny_bundle: Path) -> Iterator[Serving]:
    """Starts servers with other settings."""
    sites: list[Site] = []

    def start(**settings: Any) -> Site:
        sites.append(Site(HttpSettings(**{"port": 0, **settings}), tiny_bundle))
        return sites[-1]

    yield start
    for site in sites:
        site.close()


@pytest.fixture
def site(serving: Serving) -> Site:
    """A server with the default settings."""
    return serving()


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """Two seconds that sound like a voice: int16 at 16 kHz."""
    return synthetic_voice(2.0, 16_000)


@pytest.fixture(scope="session")
def wav(speech: np.ndarray) -> bytes:
    """The same as a WAV file."""
    return encoded(speech)


@pytest.fixture(scope="session")
def encode() -> Callable[..., bytes]:
    """Makes audio files of samples."""
    return encoded


def encoded(
    samples: np.ndarray, rate_hz: int = 16_000, kind: str = "WAV", subtype: str = "PCM_16"
) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, samples, rate_hz, format=kind, subtype=subtype)
    return file.getvalue()


@pytest.fixture(scope="session")
def until() -> Callable[[Callable[[], bool], str], None]:
    """Waits for something that must come to be."""

    def wait(is_so: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 20
        while not is_so():
            assert time.monotonic() < end, f"in 20 s it did not come to be that {what}"
            time.sleep(0.02)

    return wait
