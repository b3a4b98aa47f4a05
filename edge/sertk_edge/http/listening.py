"""Listening sockets, and never too many connections on them."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from ser_toolkit.runtime.errors import SertkError

from ..config import DEFAULT_PORT
from ..logs import log
from .guard import Connection

# What a client does not read waits in the kernel up to here, then with us, then it is cut.
SEND_BUFFER_BYTES = 64 << 10
BACKLOG = 64
NO_DESCRIPTORS_S = 0.5
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 46\r\n\r\n"
    b'{"error": {"message": "too many connections"}}'
)


@dataclass(frozen=True)
class Limits:
    """How many connections, and how long they may take to become one."""

    most: int
    handshake_s: float


class Listener:
    """Accepts connections; those that are still shaking hands count too."""

    def __init__(
        self,
        sockets: list[socket.socket],
        connection: Callable[[], Connection],
        tls: ssl.SSLContext | None,
        limits: Limits,
    ) -> None:
        self._sockets = sockets
        self._connection = connection
        self._tls = tls
        self._limits = limits
        self._open: dict[asyncio.Task[None], Connection] = {}
        self._accepting = [asyncio.create_task(self._accept(each)) for each in sockets]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._sockets[0].getsockname()[1])

    def stop(self) -> None:
        """Accept no more."""
        for task in self._accepting:
            task.cancel()

    async def close(self) -> None:
        """Cut every connection."""
        self.stop()
        for task, connection in list(self._open.items()):
            if connection.wire is None:
                task.cancel()
            connection.abort()
        await asyncio.gather(*self._accepting, *self._open, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, _ = await loop.sock_accept(listening)
            except OSError as error:
                # Out of descriptors, or the client is gone again.
                log("http").warning("a connection was not accepted", error=str(error))
                await asyncio.sleep(NO_DESCRIPTORS_S)
                continue
            self._take(client)

    def _take(self, client: socket.socket) -> None:
        client.setblocking(False)
        if len(self._open) >= self._limits.most:
            self._turn_away(client)
            return
        connection = self._connection()
        task = asyncio.create_task(self._serve(client, connection))
        self._open[task] = connection
        task.add_done_callback(lambda done: self._open.pop(done, None))

    async def _serve(self, client: socket.socket, connection: Connection) -> None:
        timeout = self._limits.handshake_s if self._tls else None
        loop = asyncio.get_running_loop()
        try:
            await loop.connect_accepted_socket(
                lambda: connection, client, ssl=self._tls, ssl_handshake_timeout=timeout
            )
        except OSError as error:
            log("http").debug("no TLS connection", error=str(error))
            client.close()
            return
        await connection.lost

    def _turn_away(self, client: socket.socket) -> None:
        if self._tls is None:
            with contextlib.suppress(OSError):
                client.send(FULL)
        client.close()


def bind(host: str, port: int) -> list[socket.socket]:
    """Listening sockets on every address of `host`; port 0 is a free one. Raises SertkError."""
    port = DEFAULT_PORT if port < 0 else port
    found: list[socket.socket] = []
    failures: list[OSError] = []
    for family, address in _addresses(host, port):
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
        for sock in found:
            sock.close()
        raise _no_port(host, port, (taken or failures)[0])
    return found


def _addresses(host: str, port: int) -> list[tuple[socket.AddressFamily, str]]:
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except (OSError, ValueError) as error:
        raise SertkError(f"'{host}' is no address of this machine", "Choose --http-host") from error
    return list(dict.fromkeys((family, str(address[0])) for family, *_, address in found))


def _listening(family: socket.AddressFamily, address: tuple[str, int]) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        # Not taken from a program that listens, only from connections that have ended.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.setblocking(False)
        sock.bind(address)
        sock.listen(BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _no_port(host: str, port: int, error: OSError) -> SertkError:
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    if error.errno == errno.EADDRINUSE:
        problem = f"another program listens on {where} already, perhaps a second daemon"
        return SertkError(problem, "Stop it, or choose another --http-port")
    why = error.strerror or str(error)
    return SertkError(f"cannot listen on {where}: {why}", "Choose --http-host and --http-port")
