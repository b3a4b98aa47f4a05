"""One connection under guard: a client that is too slow is cut."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from aiohttp import web

from ..service.logs import log
from ..settings import HttpSettings
from .responses import HttpError, guard_headers

# What is written to a client who does not read waits here and in the kernel, then it is cut.
WRITE_BUFFER_BYTES = 32 << 10
# An unread request body is read on for so long, so that the client receives why it was refused.
LINGER_S = 2.0
OTHER = "other"
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CountRequest = Callable[[str, str, int], None]


class Connection(web.RequestHandler):
    """A connection that must send its requests and take its answers in time."""

    def __init__(self, server: web.Server, settings: HttpSettings, count: CountRequest) -> None:
        loop = asyncio.get_running_loop()
        super().__init__(
            server,
            loop=loop,
            access_log=None,  # type: ignore[arg-type]
            auto_decompress=False,
            lingering_time=LINGER_S,
        )
        self._header_timeout_s = settings.header_timeout_s
        self._write_timeout_s = settings.write_timeout_s
        self._count = count
        self._deadline: asyncio.TimerHandle | None = None
        self._route = OTHER
        # The base class forgets its own when it has only asked for the end.
        self.wire: asyncio.Transport | None = None
        self.lost: asyncio.Future[None] = loop.create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        self.wire = transport
        transport.set_write_buffer_limits(high=WRITE_BUFFER_BYTES)
        self._wait_for_request()

    def connection_lost(self, exc: BaseException | None) -> None:
        self._no_deadline()
        self.wire = None
        super().connection_lost(exc)
        if not self.lost.done():
            self.lost.set_result(None)

    def request_came(self, route: str | None) -> None:
        """Note that a whole header came in time, for a path that we have or for none.

        Paths are counted as they were registered: a bounded set, whatever clients ask for.
        """
        self._route = route or OTHER
        self._no_deadline()

    @property
    def is_unfinished(self) -> bool:
        """Say whether it shakes hands yet, or has sent no whole request since its last answer."""
        return self.wire is None or self._deadline is not None

    def abort(self) -> None:
        """Cut the connection, whatever is still to be written."""
        if self.wire is not None:
            self.wire.abort()

    async def finish_response(
        self, request: web.BaseRequest, resp: web.StreamResponse, start_time: float | None
    ) -> tuple[web.StreamResponse, bool]:
        finishing = super().finish_response(request, resp, start_time)
        try:
            return await asyncio.wait_for(finishing, self._write_timeout_s)
        except asyncio.TimeoutError:
            self.abort()
            return resp, True
        finally:
            self._count(_method(request), self._route, getattr(resp, "status", 500))
            self._wait_for_request()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answer what is not HTTP, or a failure outside of every handler."""
        if isinstance(exc, ConnectionError):
            # The client has gone; there is nobody to tell.
            raise exc
        if status >= 500:
            log("http").error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionError("the answer has begun already")
        text = "this is not valid HTTP" if status < 500 else "something went wrong here"
        response = HttpError(status, text).response()
        guard_headers(response)
        response.force_close()
        return response

    def _no_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _wait_for_request(self) -> None:
        self._no_deadline()
        self._route = OTHER
        if self.wire is not None:
            loop = asyncio.get_running_loop()
            self._deadline = loop.call_later(self._header_timeout_s, self.abort)


def _method(request: web.BaseRequest) -> str:
    return request.method if request.method in METHODS else OTHER
