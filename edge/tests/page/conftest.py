"""A real browser, and real daemons that classify speech."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit.builtin.synthetic import SyntheticReader

MAIN = "from ser_toolkit.cli import main; main()"
SOON_MS = 30_000


@dataclass
class Served:
    """A running daemon."""

    url: str
    process: subprocess.Popen[str]
    bundle: Path

    def kill(self) -> None:
        """As if the power went."""
        self.process.kill()
        self.process.wait()


@dataclass
class Watch:
    """What a page has asked for and complained of."""

    errors: list[str] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)

    def follow(self, page: Any) -> None:
        """Listen to a page from its beginning."""
        page.on("console", self._hear)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self.requests.append(request.url))

    def _hear(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.errors.append(message.text)


# Playwright keeps an event loop running in this thread, where other modules want one of their own.
@pytest.fixture(scope="module")
def browser(chromium: Callable[..., contextlib.AbstractContextManager[Any]]) -> Iterator[Any]:
    """The system's Chromium."""
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of people who speak in turn, with pauses."""
    folder = tmp_path_factory.mktemp("voices")
    clips = SyntheticReader(speakers=2, sentences=4).read(folder).clips
    pause = np.random.default_rng(0).normal(0, 1e-4, 14_000)
    parts = [part for clip in clips for part in (soundfile.read(clip.path)[0], pause)]
    speech = np.concatenate(parts)
    soundfile.write(folder / "voices.wav", np.tile(speech, 600 * 16_000 // len(speech) + 1), 16_000)
    soundfile.write(folder / "short.wav", speech[: 9 * 16_000], 16_000)
    return folder


# Not for the session: they would play on beside all other tests.
@pytest.fixture(scope="module")
def serve(
    voices: Path, voice_bundle: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Served]]:
    """Starts daemons that listen to the voices; gives each when it is ready."""
    with contextlib.ExitStack() as stack:

        def start(*flags: object, port: int = 0) -> Served:
            folder = tmp_path_factory.mktemp("daemon")
            bundle = Path(shutil.copy(voice_bundle, folder / "live.sertk"))
            port = port or free_port()
            listen = ("--source", voices / "voices.wav", "--realtime", "--gate", "energy")
            where = ("--http-port", port, "--state-dir", folder / "state")
            command = ["serve-edge", bundle, *listen, *where, *flags]
            log = stack.enter_context((folder / "log.txt").open("w", encoding="utf-8"))
            process = subprocess.Popen(
                [sys.executable, "-c", MAIN, *map(str, command)],
                cwd=folder,
                env={k: v for k, v in os.environ.items() if not k.startswith("SERTK_EDGE_")},
                stdout=log,
                stderr=subprocess.STDOUT,
                text=True,
            )
            served = Served(f"http://127.0.0.1:{port}/", process, bundle)
            stack.callback(served.kill)
            wait_for_ready(served, folder / "log.txt")
            return served

        yield start


@pytest.fixture(scope="module")
def page_server(serve: Callable[..., Served]) -> Served:
    """The daemon that most tests look at."""
    return serve()


@pytest.fixture
def open_page(browser: Any) -> Iterator[Callable[..., tuple[Any, Watch]]]:
    """Opens the page in a window of its own, and watches it."""
    with contextlib.ExitStack() as stack:

        def open_(url: str, width: int = 1280, height: int = 900, **options: Any) -> Any:
            size = {"width": width, "height": height}
            context = browser.new_context(viewport=size, **options)
            stack.callback(context.close)
            page, watch = context.new_page(), Watch()
            page.set_default_timeout(SOON_MS)
            watch.follow(page)
            page.goto(url)
            return page, watch

        yield open_


@pytest.fixture
def page(page_server: Served, open_page: Callable[..., tuple[Any, Watch]]) -> Any:
    """The page with its bars."""
    found, _ = open_page(page_server.url)
    found.wait_for_selector("#bars .bar")
    return found


@pytest.fixture(scope="session")
def until() -> Callable[[Any, str], None]:
    """Waits until an expression holds; Playwright's way needs `eval`, which the page forbids."""

    def wait(page: Any, expression: str) -> None:
        end = time.monotonic() + SOON_MS / 1000
        while not page.evaluate(expression):
            assert time.monotonic() < end, f"never true: {expression}"
            page.wait_for_timeout(100)

    return wait


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def wait_for_ready(served: Served, log: Path) -> None:
    """Return when the daemon says that it is ready."""
    end = time.monotonic() + 60
    while time.monotonic() < end and served.process.poll() is None:
        with (
            contextlib.suppress(urllib.error.URLError, ConnectionError),
            urllib.request.urlopen(served.url + "readyz", timeout=5),
        ):
            return
        time.sleep(0.1)
    pytest.fail(f"the daemon is not ready: {log.read_text(encoding='utf-8')}")
