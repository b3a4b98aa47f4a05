"""`POST /v1/classify`: a recording in, its prediction out; and reading bodies with care."""

from __future__ import annotations

import asyncio

from aiohttp import StreamReader, web

from ser_toolkit.runtime.errors import AudioError

from ..settings import HttpSettings
from .backend import Backend, BusyError
from .limits import RateLimiter, Slots
from .responses import HttpError, answer, later

AUDIO_TYPES = frozenset(
    f"audio/{kind}" for kind in ("wav", "wave", "x-wav", "vnd.wave", "flac", "x-flac")
) | {"application/octet-stream"}
EXPECTED_TYPES = "Content-Type audio/wav, audio/flac or application/octet-stream"
# Bodies are held in memory.
MOST_UPLOADS = 5
BUSY_WAIT_S = 2.0


class ClassifyHandler:
    """Answers for recordings that clients send."""

    def __init__(self, backend: Backend, settings: HttpSettings, rate: RateLimiter) -> None:
        self._backend = backend
        self._settings = settings
        self._rate = rate
        self._uploads = Slots(MOST_UPLOADS, "recordings are being sent or classified")

    async def post(self, request: web.Request) -> web.Response:
        """Classify the recording that the body holds."""
        check_type(request, AUDIO_TYPES, EXPECTED_TYPES)
        self._rate.spend(request.remote)
        with self._uploads.place():
            body = await read_body(request, self._settings.max_body_bytes, self._settings)
            return answer(await self._classified(body))

    async def _classified(self, body: bytes) -> dict[str, object]:
        try:
            return await self._backend.classify(body)
        except AudioError as error:
            raise HttpError(422, str(error)) from error
        except BusyError as error:
            raise later(503, str(error), BUSY_WAIT_S) from error


def check_type(request: web.Request, types: frozenset[str], expected: str) -> None:
    """Raise HttpError (415) for a body that is something else, or compressed."""
    given = (
        request.content_type if "Content-Type" in request.headers else "application/octet-stream"
    )
    if given not in types:
        raise HttpError(415, f"received Content-Type {given:.100}", expected=expected)
    if (coding := request.headers.get("Content-Encoding", "identity")) != "identity":
        raise HttpError(415, f"received Content-Encoding {coding:.100}", expected="none")


async def read_body(request: web.Request, most_bytes: int, settings: HttpSettings) -> bytes:
    """Read the whole body. Raises HttpError for one that is too large (413), slow (408) or
    broken.
    """
    if (request.content_length or 0) > most_bytes:
        raise _too_large(most_bytes)
    await _go_on(request)
    try:
        reading = _collect(request.content, most_bytes)
        return await asyncio.wait_for(reading, settings.body_timeout_s)
    except asyncio.TimeoutError as error:
        message = f"the body did not arrive within {settings.body_timeout_s:g} s"
        raise HttpError(408, message, {"Connection": "close"}) from error
    except web.RequestPayloadError as error:
        raise HttpError(400, "the body is not valid HTTP", {"Connection": "close"}) from error


async def _collect(content: StreamReader, most_bytes: int) -> bytes:
    pieces: list[bytes] = []
    left = most_bytes
    while piece := await content.readany():
        left -= len(piece)
        # A chunked body does not say beforehand how long it is.
        if left < 0:
            raise _too_large(most_bytes)
        pieces.append(piece)
    return b"".join(pieces)


def _too_large(most_bytes: int) -> HttpError:
    return HttpError(413, "the body is too large", expected=f"at most {most_bytes} bytes")


async def _go_on(request: web.Request) -> None:
    """Tell a client that waits for it to send the body, now that it is wanted."""
    if request.headers.get("Expect", "").lower() == "100-continue":
        await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
