"""Sockets for servers: who holds an address keeps it, and what a crash left is cleared."""

from __future__ import annotations

import asyncio
import socket
import stat
from asyncio import AbstractServer, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError

MODE = 0o660
# A machine that loses its power says no farewell: it is asked after a minute of silence.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


async def listen_tcp(host: str, port: int, serve: Serve) -> tuple[AbstractServer, int]:
    """A server, and the port that it got where 0 was asked for. Raises SertkError."""
    try:
        server = await asyncio.start_server(serve, host, port)
    except OSError as error:
        todo = "Another program may hold the port: `ss -ltnp` tells"
        raise SertkError(f"nobody can listen on {host} port {port}: {error}", todo) from error
    return server, server.sockets[0].getsockname()[1]


async def listen_unix(path: str, serve: Serve) -> AbstractServer:
    """A server on a path, for user and group. Raises SertkError."""
    try:
        clear(path)
        return await asyncio.start_unix_server(serve, sock=_bound(path))
    except OSError as error:
        raise SertkError(f"nobody can listen on '{path}': {error}") from error


def notice_loss(writer: StreamWriter) -> None:
    """Have a connection end when the machine at its other end is gone."""
    found: socket.socket = writer.get_extra_info("socket")
    if found.family != socket.AF_UNIX:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)


def clear(path: str) -> None:
    """Remove the socket that nobody listens on any more. Raises SertkError for any other file."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(Path(path).stat().st_mode):
            raise SertkError(f"'{path}' is there and is no socket", "Give another path")
        if _answers(path):
            raise SertkError(f"another program listens on '{path}'", "Stop it or give another path")
        Path(path).unlink()


def _answers(path: str) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return False
    return True


def _bound(path: str) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.bind(path)
        # Before it listens, so that nobody else can have connected.
        Path(path).chmod(MODE)
    except OSError:
        listener.close()
        raise
    return listener
