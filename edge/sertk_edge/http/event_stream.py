"""`GET /v1/events`: what happens, as server-sent events."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any

from aiohttp import web

from .backend import Backend, Message, Subscription
from .open_streams import OpenStreams
from .responses import HttpError, json_text, whole_number

EVENT_STREAM = "text/event-stream"
HEARTBEAT_S = 15.0
RETRY_MS = 2000
MOST_SEQUENCE = 10**15 - 1
HEADERS = {
    "Content-Type": EVENT_STREAM,
    "Cache-Control": "no-store",
    # A proxy that collects would turn events into history.
    "X-Accel-Buffering": "no",
}


class EventStreamHandler:
    """The event stream. Who comes back gets what happened meanwhile."""

    def __init__(
        self, backend: Backend, streams: OpenStreams, heartbeat_s: float = HEARTBEAT_S
    ) -> None:
        self._backend = backend
        self._streams = streams
        self._heartbeat_s = heartbeat_s

    async def get(self, request: web.Request) -> web.StreamResponse:
        """Send events until the client goes or does not keep up."""
        after = _after(request)
        if request.method == "HEAD":
            return web.Response(headers=HEADERS)
        response = web.StreamResponse(headers=HEADERS)
        with self._streams.place():
            # Both before anything else can happen, so that no event falls between them.
            subscription = self._backend.hub.subscribe()
            missed = [] if after is None else self._backend.hub.recent(after)
            try:
                with self._streams.ended_by(subscription.close):
                    await response.prepare(request)
                    await self._send(request, response, missed, subscription)
            finally:
                subscription.close()
        return response

    async def _send(
        self,
        request: web.Request,
        response: web.StreamResponse,
        missed: list[dict[str, Any]],
        subscription: Subscription,
    ) -> None:
        begin = [f"retry: {RETRY_MS}\n\n"]
        begin += [_text(Message("emotion", event)) for event in missed]
        begin += [_text(Message("live", self._backend.state()))]
        for text in begin:
            if not await self._write(request, response, text):
                return
        async with aclosing(_with_pauses(subscription, self._heartbeat_s)) as messages:
            async for message in messages:
                text = ":\n\n" if message is None else _text(message)
                if not await self._write(request, response, text):
                    return

    async def _write(self, request: web.Request, response: web.StreamResponse, text: str) -> bool:
        return await self._streams.write(request, response.write(text.encode()))


def _after(request: web.Request) -> int | None:
    """Return the sequence number of the last event that the client has, None for the latest."""
    # A browser that reconnects asks for the same address again, so the header is the newer one.
    resumed = whole_number(request.headers.get("Last-Event-ID", ""), MOST_SEQUENCE)
    if resumed is not None:
        return resumed
    asked = request.query.get("after")
    number = whole_number(asked or "", MOST_SEQUENCE)
    if asked is not None and number is None:
        raise HttpError(
            400, "the parameter after is wrong", expected="a sequence number, 0 or more"
        )
    return number


def _text(message: Message) -> str:
    number = f"id: {message.data['sequence']}\n" if message.kind == "emotion" else ""
    return f"event: {message.kind}\n{number}data: {json_text(message.data)}\n\n"


async def _with_pauses(
    subscription: Subscription, pause_s: float
) -> AsyncGenerator[Message | None, None]:
    """Yield the messages, and None whenever there was none for so long."""
    messages = subscription.__aiter__()
    waiting: asyncio.Future[Message] | None = None
    try:
        while True:
            waiting = waiting or asyncio.ensure_future(anext(messages))
            if not (await asyncio.wait({waiting}, timeout=pause_s))[0]:
                yield None
                continue
            try:
                message = waiting.result()
            except StopAsyncIteration:
                return
            waiting = None
            yield message
    finally:
        if waiting is not None:
            waiting.cancel()
