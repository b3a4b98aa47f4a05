"""What the tests of the daemon share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = Path("/usr/bin/chromium")
FLAGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def chromium(
    require: Callable[[str, bool, str], None],
) -> Callable[..., AbstractContextManager[Any]]:
    """Runs the system's browser, with more flags if there are any."""

    @contextmanager
    def run(*flags: str) -> Iterator[Any]:
        api = pytest.importorskip("playwright.sync_api")
        require("chromium", CHROMIUM.exists(), "apt-get install chromium")
        with api.sync_playwright() as playwright:
            browser = playwright.chromium.launch(
                executable_path=str(CHROMIUM), args=[*FLAGS, *flags]
            )
            yield browser
            browser.close()

    return run


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """A network of few numbers for 16 kHz."""
    return ROOT / "tests/bundles/v1/tiny.sertk"


@pytest.fixture(scope="session")
def voice_bundle() -> Path:
    """The recipe msf, trained on synthetic voices, at 8 kHz."""
    return ROOT / "tests/bundles/v1/synthetic-msf.sertk"


class Pulse:
    """A PulseAudio of its own: what is played to its null sink is what ALSA's default hears."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "native"
        self.env = {
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_STATE_PATH": str(folder),
            "PULSE_COOKIE": str(folder / "cookie"),
            "PULSE_SERVER": f"unix:{self.socket}",
            "ALSA_CONFIG_PATH": str(folder / "asound.conf"),
        }
        (folder / "asound.conf").write_text(
            '</usr/share/alsa/alsa.conf>\npcm.!default { type pulse device "fake.monitor" }\n'
        )
        self._server: subprocess.Popen[bytes] | None = None
        self._players: list[subprocess.Popen[bytes]] = []

    @property
    def pid(self) -> int:
        assert self._server is not None
        return self._server.pid

    def start(self) -> None:
        # The sink comes first, so that it is there as soon as somebody can connect.
        parts = (
            "module-null-sink sink_name=fake rate=16000 channels=1 format=s16le",
            f"module-native-protocol-unix socket={self.socket}",
        )
        command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
        command += [part for module in parts for part in ("-L", module)]
        quiet = subprocess.DEVNULL
        self._server = subprocess.Popen(command, env={**os.environ, **self.env}, stderr=quiet)
        deadline_s = time.monotonic() + 20
        while not self._answers():
            assert time.monotonic() < deadline_s and self._server.poll() is None
            time.sleep(0.05)

    def play(self, path: Path) -> subprocess.Popen[bytes]:
        """Play a WAV file, beside what is played already."""
        command = ["paplay", "--device=fake", str(path)]
        env = {**os.environ, **self.env}
        self._players.append(subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL))
        return self._players[-1]

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.pid, number)

    def stop(self) -> None:
        """As if the sound card was pulled out."""
        for process in (self._server, *self._players):
            if process is not None:
                process.kill()
                process.wait()
        self._players.clear()
        self.socket.unlink(missing_ok=True)

    def _answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.socket)) == 0


@pytest.fixture
def pulse(
    require: Callable[[str, bool, str], None],
    tmp_path_factory: pytest.TempPathFactory,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Pulse]:
    """A running sound server whose null sink this process and its children hear by default."""
    present = all(shutil.which(name) for name in ("pulseaudio", "paplay"))
    hint = "apt-get install pulseaudio pulseaudio-utils libasound2-plugins libportaudio2"
    require("pulseaudio", present, hint)
    # Not the test's own folder: the path of a socket has room for 107 bytes.
    server = Pulse(tmp_path_factory.mktemp("pa"))
    for name, value in server.env.items():
        monkeypatch.setenv(name, value)
    server.start()
    yield server
    server.stop()
