"""Connections on listening sockets, and never too many of them."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable
from dataclasses import dataclass

from ..service.logs import log
from ..settings import is_loopback
from .connection import Connection
from .limits import client_of

# What a client does not read waits in the kernel up to here, then with us, then it is cut.
SEND_BUFFER_BYTES = 64 << 10
NO_DESCRIPTORS_S = 0.5
# So many of all places are for this machine alone, so that its owner gets in whoever else asks.
KEPT = 4
FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nRetry-After: 5\r\n"
    b"Connection: close\r\nContent-Length: 46\r\n\r\n"
    b'{"error": {"message": "too many connections"}}'
)


@dataclass(frozen=True)
class ConnectionLimits:
    """How many connections, and how long they may take to become one.

    Attributes:
        most: All connections.
        per_client: Those of one client, unless `is_shared`.
        handshake_s: Time for the TLS handshake.
        is_local: Says whether an address is of this machine; it is never refused for the others.
        is_shared: Says whether many clients have one address, as those behind a proxy.
    """

    most: int
    per_client: int
    handshake_s: float
    is_local: Callable[[str], bool] = is_loopback
    is_shared: Callable[[str], bool] = is_loopback


@dataclass(frozen=True)
class _Place:
    """A connection and whose it is."""

    client: str
    is_local: bool
    connection: Connection


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
        # Oldest first.
        self._open: dict[asyncio.Task[None], _Place] = {}
        self._leaving: set[asyncio.Task[None]] = set()
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
        for task in list(self._open):
            self._cut(task)
        await asyncio.gather(*self._accepting, *self._open, return_exceptions=True)
        for each in self._sockets:
            each.close()

    async def _accept(self, listening: socket.socket) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                client, address = await loop.sock_accept(listening)
            except OSError as error:
                # Out of descriptors, or the client is gone again.
                log("http").warning("a connection was not accepted", error=str(error))
                await asyncio.sleep(NO_DESCRIPTORS_S)
                continue
            self._take(client, str(address[0]))
            # Where many wait, the next one is there at once; sound and answers come in between.
            await asyncio.sleep(0)

    def _take(self, client: socket.socket, address: str) -> None:
        client.setblocking(False)
        if not self._make_room(address):
            self._turn_away(client)
            return
        place = _Place(client_of(address), self._limits.is_local(address), self._connection())
        task = asyncio.create_task(self._serve(client, place.connection))
        self._open[task] = place
        task.add_done_callback(self._gone)

    def _make_room(self, address: str) -> bool:
        """Say whether there is a place; the oldest unfinished connection gives up its own."""
        rivals = self._rivals(address)
        if rivals is None:
            return True
        unfinished = (task for task in rivals if self._open[task].connection.is_unfinished)
        if (oldest := next(unfinished, None)) is None:
            return False
        self._cut(oldest)
        return True

    def _rivals(self, address: str) -> list[asyncio.Task[None]] | None:
        """Return those of whom one must go before `address` gets a place; None: there is one."""
        limits, client = self._limits, client_of(address)
        held = {task: place for task, place in self._open.items() if task not in self._leaving}
        own = [task for task, place in held.items() if place.client == client]
        if len(own) >= limits.per_client and not limits.is_shared(address):
            return own
        if limits.is_local(address):
            return list(held) if len(held) >= limits.most else None
        others = [task for task, place in held.items() if not place.is_local]
        kept = min(KEPT, limits.most // 2)
        is_full = len(held) >= limits.most or len(others) >= limits.most - kept
        return others if is_full else None

    def _cut(self, task: asyncio.Task[None]) -> None:
        self._leaving.add(task)
        connection = self._open[task].connection
        if connection.wire is None:
            task.cancel()
        connection.abort()

    def _gone(self, task: asyncio.Task[None]) -> None:
        self._open.pop(task, None)
        self._leaving.discard(task)

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
