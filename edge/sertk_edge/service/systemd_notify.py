"""Notify systemd: the protocol of sd_notify(3), in a few lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from ser_toolkit.runtime.text import escape_control

TIMEOUT_S = 0.5
MICROSECONDS = 1e6


@dataclass(frozen=True)
class SystemdNotifier:
    """Reports to whoever started us; to nobody where `address` is empty.

    No method raises: a daemon whose supervisor does not listen goes on.
    """

    address: str = ""
    watchdog_s: float = 0.0
    """We are killed when we report nothing for so long; 0: we are not."""

    @classmethod
    def of(cls, env: Mapping[str, str], pid: int) -> SystemdNotifier:
        """Make the notifier that NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID ask of `pid`."""
        return cls(env.get("NOTIFY_SOCKET", ""), watchdog_s(env, pid))

    @property
    def ping_s(self) -> float:
        """Return the seconds between two calls of `watchdog`; 0: none are wanted."""
        return self.watchdog_s / 2

    def ready(self, status: str = "") -> bool:
        """Say that we serve."""
        return self._tell("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """Send one line that `systemctl status` shows."""
        return self._tell(*_status(text))

    def watchdog(self) -> bool:
        """Say that we are alive."""
        return self._tell("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """Say that we are about to end."""
        return self._tell("STOPPING=1", *_status(status))

    def _tell(self, *lines: str) -> bool:
        """Send the lines; False where nobody takes them."""
        if not self.address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(TIMEOUT_S)
                sender.sendto("\n".join(lines).encode(), _path(self.address))
        except (OSError, ValueError):
            return False
        return True


def watchdog_s(env: Mapping[str, str], pid: int) -> float:
    """Return how often process `pid` must say that it lives; 0: never."""
    meant = env.get("WATCHDOG_PID", "")
    microseconds = env.get("WATCHDOG_USEC", "")
    if (meant and meant != str(pid)) or not _is_number(microseconds):
        return 0.0
    return int(microseconds) / MICROSECONDS


def systemd_notifier() -> SystemdNotifier:
    """Return the supervisor of this process."""
    return SystemdNotifier.of(os.environ, os.getpid())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _status(text: str) -> tuple[str, ...]:
    """Return a line break in a status would be another message."""
    return (f"STATUS={escape_control(text)}",) if text else ()


def _path(address: str) -> str:
    """Return the path of an address; one that begins with @ has no file, and a zero first."""
    return "\0" + address[1:] if address.startswith("@") else address
