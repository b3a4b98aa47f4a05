"""What the daemon tells systemd: the protocol of sd_notify(3), in a few lines."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import dataclass

from .text import escape_control

TIMEOUT_S = 0.5
MICROSECONDS = 1e6


@dataclass(frozen=True)
class SystemdNotifier:
    """Whoever started us and wants to hear how it goes; nobody where `address` is empty.

    No method raises: a daemon whose supervisor does not listen goes on.
    """

    address: str = ""
    watchdog_s: float = 0.0
    """We are killed when nothing is heard from us for so long; 0: we are not."""

    @classmethod
    def of(cls, env: Mapping[str, str], pid: int) -> SystemdNotifier:
        """What NOTIFY_SOCKET, WATCHDOG_USEC and WATCHDOG_PID say to process `pid`."""
        return cls(env.get("NOTIFY_SOCKET", ""), watchdog_s(env, pid))

    @property
    def ping_s(self) -> float:
        """Seconds between two calls of `watchdog`; 0: none are wanted."""
        return self.watchdog_s / 2

    def ready(self, status: str = "") -> bool:
        """We serve."""
        return self._tell("READY=1", *_status(status))

    def status(self, text: str) -> bool:
        """One line that `systemctl status` shows."""
        return self._tell(*_status(text))

    def watchdog(self) -> bool:
        """We are alive."""
        return self._tell("WATCHDOG=1")

    def stopping(self, status: str = "") -> bool:
        """We are about to end."""
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
    """How often process `pid` must say that it lives; 0: never."""
    meant = env.get("WATCHDOG_PID", "")
    microseconds = env.get("WATCHDOG_USEC", "")
    if (meant and meant != str(pid)) or not _is_number(microseconds):
        return 0.0
    return int(microseconds) / MICROSECONDS


def systemd_notifier() -> SystemdNotifier:
    """The supervisor of this process."""
    return SystemdNotifier.of(os.environ, os.getpid())


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit()


def _status(text: str) -> tuple[str, ...]:
    """A line break in a status would be another message."""
    return (f"STATUS={escape_control(text)}",) if text else ()


def _path(address: str) -> str:
    """An address that begins with @ has no file: its first byte is zero."""
    return "\0" + address[1:] if address.startswith("@") else address
