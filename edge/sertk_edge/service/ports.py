"""TCP ports to listen on: the same one on every address of a name, and a word where it is taken."""

from __future__ import annotations

import errno
import socket

from ser_toolkit.runtime.errors import SertkError

BACKLOG = 64


class AddressInUseError(SertkError):
    """Another program listens there already."""


def bind(host: str, port: int, options: str) -> list[socket.socket]:
    """Return listening sockets on every address of `host`; port 0 is a free one. Raises SertkError.

    `options` are those that choose another place.
    """
    found: list[socket.socket] = []
    failures: list[OSError] = []
    for family, address in _addresses(host, port, options):
        try:
            sock = _listening(family, (address, port))
        except OSError as error:
            failures.append(error)
            continue
        port = int(sock.getsockname()[1])
        found.append(sock)
    taken = [error for error in failures if error.errno == errno.EADDRINUSE]
    # A name may have an address of a family that this machine does without.
    if taken or not found:
        _close(found)
        raise _no_port(host, port, options, (taken or failures)[0])
    return found


def check(host: str, port: int, options: str) -> None:
    """Raise SertkError where `bind` would not succeed at this moment."""
    _close(bind(host, port, options))


def _close(sockets: list[socket.socket]) -> None:
    for sock in sockets:
        sock.close()


def _addresses(host: str, port: int, options: str) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        problem = f"'{host}' is no address of this machine"
        raise SertkError(problem, f"Choose another {options}") from error
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _listening(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not taken from a program that listens, only from connections that have ended.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _no_port(host: str, port: int, options: str, error: OSError) -> SertkError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        problem = f"another program listens on {where} already, perhaps a second daemon"
        return AddressInUseError(
            problem, f"Stop it (`ss -ltnp` tells which), or choose another {options}"
        )
    why = error.strerror or str(error)
    return SertkError(f"cannot listen on {where}: {why}", f"Choose another {options}")
