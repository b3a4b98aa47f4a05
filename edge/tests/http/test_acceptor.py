"""Many connections at once: sound goes on, and everybody else still gets in."""

from __future__ import annotations

import asyncio
import contextlib
import queue
import socket
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from aiohttp import web

from sertk_edge.http.acceptor import KEPT, Acceptor, ConnectionLimits
from sertk_edge.http.connection import Connection
from sertk_edge.service.ports import bind
from sertk_edge.settings import HttpSettings
from sertk_edge.sources.capture import CaptureCallback

BLOCK = 800
HERE, NEAR, FAR = "127.0.0.1", "127.0.0.2", "127.0.0.3"
HALF, WHOLE = b"G", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Guests:
    """Accepts, and never answers; connections to it from any address of this machine."""

    def __init__(self, host: str, opened: Callable[[], None] = lambda: None) -> None:
        self.sockets = bind(host, 0, "")
        self.n_asked = 0
        self._opened = opened
        self._ours: list[socket.socket] = []

    def begin(self, address: str, text: bytes) -> socket.socket:
        """Connect, and send the beginning of a request or all of it."""
        where = (HERE, self.sockets[0].getsockname()[1])
        sock = socket.create_connection(where, timeout=20, source_address=(address, 0))
        sock.sendall(text)
        sock.setblocking(False)
        self._ours.append(sock)
        return sock

    async def asked(self, count: int) -> None:
        """Wait until so many requests have come as a whole."""
        while self.n_asked < count:
            await asyncio.sleep(0.01)

    @contextlib.asynccontextmanager
    async def accepted(self, limits: ConnectionLimits) -> AsyncIterator[None]:
        app = web.Application()
        app.router.add_get("/", self._hold)
        runner = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
        await runner.setup()
        acceptor = Acceptor(self.sockets, lambda: self._connection(runner), None, limits)
        try:
            yield
        finally:
            acceptor.stop()
            await runner.cleanup()
            await acceptor.close()
            for sock in self._ours:
                sock.close()

    async def _hold(self, request: web.Request) -> web.Response:
        assert isinstance(request.protocol, Connection)
        request.protocol.request_came("/")
        self.n_asked += 1
        await asyncio.Event().wait()
        return web.Response()

    def _connection(self, runner: web.AppRunner) -> Connection:
        self._opened()
        assert runner.server is not None
        return Connection(runner.server, HttpSettings(), lambda *_: None)


async def answer(sock: socket.socket) -> bytes:
    """What comes until the connection ends; it must."""
    loop, found = asyncio.get_running_loop(), b""
    with contextlib.suppress(ConnectionResetError):
        while piece := await loop.sock_recv(sock, 1 << 16):
            found += piece
    return found


def run(work: Awaitable[None]) -> None:
    async def bounded() -> None:
        await asyncio.wait_for(work, 20)

    asyncio.run(bounded())


def test_a_flood_of_connections_loses_no_sound() -> None:
    """A block of sound comes with every connection; room is for five that nobody has taken."""
    tap = CaptureCallback(queue.Queue(5))
    flags: Any = type("Flags", (), {"input_overflow": False})
    n_came, lost = 0, []

    def opened() -> None:
        nonlocal n_came
        n_came += 1
        tap(b"\0" * 2 * BLOCK, BLOCK, None, flags)

    async def flooded() -> None:
        async with guests.accepted(ConnectionLimits(8, 8, 10.0)):
            while n_came < 40 or not tap.blocks.empty():
                await asyncio.sleep(0)
                while not tap.blocks.empty():
                    lost.append(tap.blocks.get()[0])

    guests = Guests(HERE, opened)
    for _ in range(40):
        guests.begin(HERE, HALF)
    run(flooded())
    # Number of samples that are missing before each block.
    assert lost == [0] * 40


def limits(most: int, per_client: int) -> ConnectionLimits:
    def is_local(address: str) -> bool:
        return address == HERE

    return ConnectionLimits(most, per_client, 10.0, is_local, is_local)


def test_half_open_requests_of_one_address_keep_nobody_out() -> None:
    async def flooded() -> None:
        guests = Guests("0.0.0.0")
        async with guests.accepted(limits(12, 3)):
            half = [guests.begin(NEAR, HALF) for _ in range(20)]
            # The oldest go without a word, the newest three stay.
            assert set(await asyncio.gather(*map(answer, half[:17]))) == {b""}
            guests.begin(FAR, WHOLE)
            await guests.asked(1)
            half[-1].sendall(WHOLE[1:])
            await guests.asked(2)

    run(flooded())


def test_places_are_kept_for_this_machine() -> None:
    async def flooded() -> None:
        guests = Guests("0.0.0.0")
        async with guests.accepted(limits(KEPT + 4, 4)):
            for _ in range(4):
                guests.begin(NEAR, WHOLE)
            await guests.asked(4)
            assert b"too many connections" in await answer(guests.begin(FAR, WHOLE))
            for _ in range(KEPT):
                guests.begin(HERE, WHOLE)
            await guests.asked(4 + KEPT)
            # Now all places are taken by requests that go on.
            assert b"too many connections" in await answer(guests.begin(HERE, WHOLE))

    run(flooded())
