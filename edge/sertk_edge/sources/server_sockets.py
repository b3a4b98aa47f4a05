"""Sockets for servers: who holds an address keeps it, and what a crash left is cleared."""

from __future__ import annotations

import asyncio
import os
import socket
import stat
from asyncio import AbstractServer, StreamReader, StreamWriter
from collections.abc import Awaitable, Callable
from contextlib import closing
from pathlib import Path

from ser_toolkit.runtime.errors import SertkError

from ..service.ports import AddressInUseError

MODE = 0o660
GIVE_PATH = "Give another path"
OTHER_PATH = "Stop it or give another path"
# A machine that loses its power says no farewell: it is probed after a minute of silence.
KEEPALIVE = ((socket.TCP_KEEPIDLE, 60), (socket.TCP_KEEPINTVL, 10), (socket.TCP_KEEPCNT, 6))
Serve = Callable[[StreamReader, StreamWriter], Awaitable[None]]


async def listen_tcp(sockets: list[socket.socket], serve: Serve) -> list[AbstractServer]:
    """Return a server on each socket."""
    return [await asyncio.start_server(serve, sock=sock) for sock in sockets]


async def listen_unix(path: str, serve: Serve) -> AbstractServer:
    """Return a server on a path, for user and group. Raises SertkError."""
    try:
        clear(path)
        return await asyncio.start_unix_server(serve, sock=_bound(path))
    except OSError as error:
        raise SertkError(f"cannot listen on '{path}': {error}", GIVE_PATH) from error


def notice_loss(writer: StreamWriter) -> None:
    """Let a connection end when the machine at its other end is gone."""
    found: socket.socket = writer.get_extra_info("socket")
    if found.family != socket.AF_UNIX:
        found.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        for option, value in KEEPALIVE:
            found.setsockopt(socket.IPPROTO_TCP, option, value)


def check_unix(path: str) -> None:
    """Raise SertkError where `listen_unix` would not succeed; make and remove nothing."""
    try:
        is_left_over(path)
        # A path that is too long for a socket is found out by asking who is there.
        _answers(path)
        if not os.access(Path(path).parent, os.W_OK | os.X_OK, effective_ids=True):
            raise SertkError(f"cannot listen on '{path}': its folder cannot be written", GIVE_PATH)
    except OSError as error:
        raise SertkError(f"cannot listen on '{path}': {error}", GIVE_PATH) from error


def clear(path: str) -> None:
    """Remove the socket that nobody listens on any more. Raises SertkError for any other file."""
    if is_left_over(path):
        Path(path).unlink(missing_ok=True)


def is_left_over(path: str) -> bool:
    """Say whether a socket is there that nobody listens on. Raises SertkError for any other
    file.
    """
    try:
        mode = Path(path).stat().st_mode
    except FileNotFoundError:
        return False
    if not stat.S_ISSOCK(mode):
        raise SertkError(f"'{path}' is there and is no socket", GIVE_PATH)
    try:
        if _answers(path):
            raise AddressInUseError(f"another program listens on '{path}'", OTHER_PATH)
    except PermissionError as error:
        raise AddressInUseError(f"another user has the socket '{path}'", OTHER_PATH) from error
    return True


def _answers(path: str) -> bool:
    with closing(socket.socket(socket.AF_UNIX)) as probe:
        try:
            probe.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):
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
