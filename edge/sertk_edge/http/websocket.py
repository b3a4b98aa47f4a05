"""`GET /v1/listen`: a WebSocket that takes PCM and gives the events that it completes."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Any

from aiohttp import WSCloseCode, WSMsgType, web

from ser_toolkit.runtime.errors import SertkError

from ..service.logs import log
from ..settings import HttpSettings
from .backend import Backend, BusyError, PcmSession
from .limits import RateLimiter
from .open_streams import OpenStreams
from .responses import HttpError, json_text, later, whole_number

# Eight seconds at 16 kHz.
MOST_BYTES = 256 << 10
# How long a client may take to answer that it has understood the end.
GOODBYE_S = 1.0
BUSY_WAIT_S = 5.0
RATES_HZ = range(8_000, 192_001)
CHANNELS = range(1, 9)
END = "end"


@dataclass(frozen=True)
class CloseReason:
    """Why a socket is closed."""

    code: int
    why: str = ""


class WebSocketHandler:
    """Sessions over WebSockets."""

    def __init__(
        self, backend: Backend, settings: HttpSettings, rate: RateLimiter, streams: OpenStreams
    ) -> None:
        self._backend = backend
        self._idle_s = settings.body_timeout_s
        self._rate = rate
        self._streams = streams

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Answer until the client ends it, or goes, or does not keep up."""
        rate_hz = _number(request, "rate_hz", 16_000, RATES_HZ)
        channels = _number(request, "channels", 1, CHANNELS)
        socket = _socket(request)
        self._rate.spend(request.remote)
        with self._streams.place():
            session = self._begin(rate_hz, channels)
            try:
                await socket.prepare(request)
                closing = _Closing(socket)
                with self._streams.ended_by(closing.start):
                    await self._talk(request, socket, session)
                await closing.done()
            finally:
                session.close()
        return socket

    def _begin(self, rate_hz: int, channels: int) -> PcmSession:
        try:
            return self._backend.listen(rate_hz, channels)
        except BusyError as error:
            raise later(503, str(error), BUSY_WAIT_S) from error

    async def _talk(
        self, request: web.Request, socket: web.WebSocketResponse, session: PcmSession
    ) -> None:
        while True:
            try:
                message = await socket.receive(timeout=self._idle_s)
                events, goodbye = await _classified(session, message.type, message.data)
            except asyncio.TimeoutError:
                why = f"no audio came within {self._idle_s:g} s"
                events, goodbye = [], CloseReason(WSCloseCode.POLICY_VIOLATION, why)
            except SertkError as error:
                log("http").warning("a session failed", error=str(error))
                events, goodbye = [], CloseReason(WSCloseCode.INTERNAL_ERROR, str(error))
            for event in events:
                if not await self._send(request, socket, json_text(event)):
                    return
            if goodbye is not None:
                await self._close(request, socket, goodbye)
                return

    async def _send(self, request: web.Request, socket: web.WebSocketResponse, text: str) -> bool:
        return await self._streams.write(request, socket.send_str(text))

    async def _close(
        self, request: web.Request, socket: web.WebSocketResponse, goodbye: CloseReason
    ) -> None:
        if goodbye.why and not await self._send(request, socket, _error(goodbye.why)):
            return
        # A control frame holds 125 bytes; the message before it says the rest.
        why = goodbye.why.encode()[:100].decode(errors="ignore").encode()
        await socket.close(code=goodbye.code, message=why)


async def _classified(
    session: PcmSession, kind: WSMsgType, data: Any
) -> tuple[list[dict[str, Any]], CloseReason | None]:
    """Return the events that a message brings, and the goodbye where it is the last."""
    if kind is WSMsgType.BINARY:
        return await session.push(data), None
    if kind is WSMsgType.CLOSE or (kind is WSMsgType.TEXT and data.strip() == END):
        return await session.finish(), CloseReason(WSCloseCode.OK)
    if kind is WSMsgType.TEXT:
        why = f"binary messages of int16 samples, or the text {END!r} expected"
        return [], CloseReason(WSCloseCode.UNSUPPORTED_DATA, why)
    return [], CloseReason(WSCloseCode.OK)


def _socket(request: web.Request) -> web.WebSocketResponse:
    """Make a WebSocket, not begun yet. Raises HttpError where none was requested."""
    # Without compression a message is never larger than what was sent.
    socket = web.WebSocketResponse(
        # aiohttp refuses what has just so many bytes, too.
        timeout=GOODBYE_S,
        autoclose=False,
        max_msg_size=MOST_BYTES + 1,
        compress=False,
    )
    if request.headers.get("Upgrade", "").strip().lower() != "websocket":
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        raise HttpError(426, "this is for WebSockets alone", headers, "Upgrade: websocket")
    if not socket.can_prepare(request):
        raise HttpError(400, "the WebSocket handshake is wrong", expected="that of RFC 6455")
    return socket


def _number(request: web.Request, name: str, default: int, allowed: range) -> int:
    number = whole_number(request.query.get(name, str(default)), allowed[-1])
    if number is None or number not in allowed:
        expected = f"a whole number from {allowed[0]} to {allowed[-1]}"
        raise HttpError(400, f"the parameter {name} is wrong", expected=expected)
    return number


def _error(message: str) -> str:
    return json_text({"error": {"message": " ".join(message.split())}})


class _Closing:
    """Closes a socket because the daemon ends."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self._socket = socket
        self._task: asyncio.Task[bool] | None = None

    def start(self) -> None:
        """Close with the reason that the daemon ends."""
        closing = self._socket.close(code=WSCloseCode.GOING_AWAY, message=b"the daemon ends")
        self._task = asyncio.ensure_future(closing)

    async def done(self) -> None:
        """Wait for it, if it was begun."""
        if self._task is not None:
            await self._task
