"""What systemd receives from the daemon, and when."""

from __future__ import annotations

import socket
import subprocess
import urllib.error
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

PLAYED = ("--realtime", "--repeat", "--gate", "energy")


class Systemd:
    """The socket that a service writes to."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)
        self.received: list[str] = []
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(self.path)
        self._socket.settimeout(20)

    def until(self, word: str, count: int = 1) -> None:
        while self.received.count(word) < count:
            self.received.extend(self._socket.recv(4096).decode().splitlines())

    def close(self) -> None:
        self._socket.close()


@pytest.fixture
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    # The path of a socket may not be long.
    with closing(Systemd(tmp_path_factory.mktemp("n") / "s")) as systemd:
        yield systemd


def test_it_hears_that_the_daemon_is_ready_alive_and_stopping(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, systemd: Systemd
) -> None:
    env = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": "1000000"}
    daemon = live(tiny_bundle, "--source", voices, *PLAYED, env=env)
    systemd.until("WATCHDOG=1", 3)
    assert systemd.received.count("READY=1") == 1
    assert any(line.startswith("STATUS=voices.wav: ok") for line in systemd.received)
    daemon.stop()
    systemd.until("STOPPING=1")


@pytest.mark.slow
def test_no_watchdog_is_fed_where_there_is_none(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, systemd: Systemd
) -> None:
    env = {"NOTIFY_SOCKET": systemd.path, "WATCHDOG_USEC": ""}
    daemon = live(tiny_bundle, "--source", voices, *PLAYED, env=env)
    daemon.until(daemon.events)
    daemon.stop()
    systemd.until("STOPPING=1")
    assert "READY=1" in systemd.received and "WATCHDOG=1" not in systemd.received


def test_when_it_says_ready_it_is(
    paged: Callable[..., Any], voices: Path, tiny_bundle: Path, systemd: Systemd
) -> None:
    env = {"NOTIFY_SOCKET": systemd.path}
    daemon = paged(tiny_bundle, "--source", voices, *PLAYED, env=env)
    systemd.until("READY=1")
    assert daemon.get("/readyz")["ready"]


def test_it_does_not_wait_for_sound_that_nobody_sends(
    paged: Callable[..., Any], tiny_bundle: Path, systemd: Systemd
) -> None:
    env = {"NOTIFY_SOCKET": systemd.path}
    args = ("--source", "-", "--gate", "energy")
    daemon = paged(tiny_bundle, *args, env=env, stdin=subprocess.PIPE)
    with daemon.process.stdin:
        systemd.until("READY=1")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            daemon.get("/readyz")
