"""Connections on listening sockets, and never too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from ..service.logs import log
from .connection import Connection

# What a client does not read waits in the kernel up to here, then with us, then it is cut.
SEND_BUFFER_BYTES = 64 << 10
NO_DESCRIPTORS_S = 0.5
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 46\r\n\r\n"
    b'{"error": {"message": "too many connections"}}'
)


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections, and how long they may take to become one."""

    most: int
    handshake_s: float


class Acceptor:
    """Accepts connections; those that are still shaking hands count too."""

    def __init__(
        self,
        sockets: list[socket.socket],
        connection: Callable[[], Connection],
        tls: ssl.SSLContext | None,
        limits: ConnectionLimits,
    ) -> None:
        self._sockets = sockets
        self._connection = connection
        self._tls = tls
        self._limits = limits
        self._open: dict[asyncio.Task[None], Connection] = {}
        for each in sockets:
            # Their connections inherit it.
            each.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES)
        self._accepting = [asyncio.create_task(self._accept(each)) for each in sockets]

    @property
    def port(self) -> int:
        """Return where it listens."""
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
