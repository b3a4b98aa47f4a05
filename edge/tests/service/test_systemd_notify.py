"""Messages to systemd, read from a real socket."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from sertk_edge.service.systemd_notify import SystemdNotifier, systemd_notifier, watchdog_s


@pytest.fixture(params=["file", "abstract"])
def listening(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[socket.socket, str]]:
    """A socket as systemd has it, and its address as NOTIFY_SOCKET says it."""
    name = f"@sertk-test-{os.getpid()}" if request.param == "abstract" else str(tmp_path / "notify")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as server:
        server.bind(name.replace("@", "\0", 1))
        server.settimeout(5)
        yield server, name


def received(server: socket.socket) -> list[str]:
    return server.recv(4096).decode().split("\n")


def test_systemd_hears_how_it_goes(listening: tuple[socket.socket, str]) -> None:
    server, address = listening
    systemd = SystemdNotifier(address)
    assert systemd.ready("listening with compact")
    assert received(server) == ["READY=1", "STATUS=listening with compact"]
    assert systemd.status("microphone: lost")
    assert received(server) == ["STATUS=microphone: lost"]
    assert systemd.watchdog()
    assert received(server) == ["WATCHDOG=1"]
    assert systemd.stopping()
    assert received(server) == ["STOPPING=1"]


def test_a_status_is_no_other_message(listening: tuple[socket.socket, str]) -> None:
    server, address = listening
    assert SystemdNotifier(address).status("mic\nSTOPPING=1 \udcff\x1b[31m")
    assert received(server) == [r"STATUS=mic\nSTOPPING=1 \udcff\x1b[31m"]


def test_nobody_has_to_listen(tmp_path: Path) -> None:
    assert not SystemdNotifier().ready()
    assert not SystemdNotifier(str(tmp_path / "nobody")).ready()
    assert not SystemdNotifier(str(tmp_path)).ready()
    assert not SystemdNotifier("/" + "x" * 200).ready()
    assert not SystemdNotifier("/with\0zero").ready()


def test_a_supervisor_that_reads_nothing_does_not_stop_us(
    listening: tuple[socket.socket, str],
) -> None:
    _, address = listening
    systemd = SystemdNotifier(address)
    assert not all(systemd.watchdog() for _ in range(10_000))


def test_the_watchdog_is_meant_for_one_process() -> None:
    for usec, pid, expected in (
        ("30000000", "", 30.0),
        ("30000000", "17", 30.0),
        ("500000", "17", 0.5),
        ("30000000", "18", 0.0),
        ("", "17", 0.0),
        ("soon", "", 0.0),
        ("-5", "", 0.0),
    ):
        env = {"WATCHDOG_USEC": usec, "WATCHDOG_PID": pid}
        assert watchdog_s(env, 17) == expected, env


def test_the_supervisor_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", "@x")
    monkeypatch.setenv("WATCHDOG_USEC", "30000000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd_notifier() == SystemdNotifier("@x", 30.0)
    assert systemd_notifier().ping_s == 15.0
    for name in ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name)
    assert systemd_notifier() == SystemdNotifier()
