"""The HTTP server: routes, and what surrounds every response."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from ..service.logs import log
from ..service.ports import bind
from ..settings import DEFAULT_PORT, HttpSettings, is_loopback
from .acceptor import Acceptor, ConnectionLimits
from .backend import Backend
from .classify import ClassifyHandler, check_type, read_body
from .connection import Connection
from .event_stream import EventStreamHandler
from .limits import RateLimiter
from .metrics import CONTENT_TYPE, Metrics
from .open_streams import OpenStreams
from .page_files import page_files
from .responses import JSON_TYPE, HttpError, answer, guard_headers
from .security import COOKIE, COOKIE_DAYS, Security, secured
from .websocket import WebSocketHandler

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# These show nothing and change nothing, or are the way to a token.
OPEN = frozenset({"/healthz", "/readyz", "/v1/session"})
SHUTDOWN_S = 0.1
OPTIONS = "--http-host or --http-port"
MOST_LOGIN_BYTES = 16 << 10
OPENAPI = Path(__file__).with_name("openapi.json")
"""What describes the interface (OpenAPI 3.1); a fuzzer in the tests holds the server to it."""


class Server:
    """HTTP that is being served."""

    def __init__(self, runner: web.AppRunner, listener: Acceptor, streams: OpenStreams) -> None:
        self._runner = runner
        self._listener = listener
        self._streams = streams

    @property
    def port(self) -> int:
        """Return where it listens."""
        return self._listener.port

    async def close(self) -> None:
        """Answer no more; streams are closed, what takes longer than a moment is cut."""
        self._listener.stop()
        self._streams.close()
        await self._runner.cleanup()
        await self._listener.close()


def check(settings: HttpSettings) -> None:
    """Raise SertkError where `serve` would not begin, but for the port."""
    secured(settings)


async def serve(backend: Backend, settings: HttpSettings, metrics: Metrics) -> Server:
    """Listen. Raises SertkError for a port that is taken, a bad token or certificate."""
    security = secured(settings)
    streams = OpenStreams(settings.max_streams, settings.write_timeout_s)
    app = _app(backend, settings, metrics, security, streams)
    port = DEFAULT_PORT if settings.port < 0 else settings.port
    sockets = bind(settings.host, port, OPTIONS)
    runner = web.AppRunner(
        app, handle_signals=False, handler_cancellation=True, shutdown_timeout=SHUTDOWN_S
    )
    await runner.setup()
    server = runner.server
    assert server is not None
    listener = Acceptor(
        sockets,
        lambda: Connection(server, settings, metrics.request),
        security.tls,
        ConnectionLimits(
            settings.max_connections,
            settings.max_connections_per_client,
            settings.header_timeout_s,
            is_shared=lambda address: is_loopback(address) or security.proxies.include(address),
        ),
    )
    return Server(runner, listener, streams)


def _app(
    backend: Backend,
    settings: HttpSettings,
    metrics: Metrics,
    security: Security,
    streams: OpenStreams,
) -> web.Application:
    files = page_files()
    rate = RateLimiter(settings.requests_per_minute, "requests")
    opened = OPEN | {file.path for file in files}
    app = web.Application(middlewares=[_around(security, opened)])
    app.on_response_prepare.append(_headers)
    about = _StatusRoutes(backend, metrics)
    gets: dict[str, Handler] = {
        "/healthz": about.health,
        "/readyz": about.ready,
        "/metrics": about.metrics,
        "/v1/state": about.state,
        "/v1/model": about.model,
        "/v1/openapi.json": about.openapi,
        "/v1/events": EventStreamHandler(backend, streams).get,
        **{file.path: file.get for file in files},
    }
    listen = WebSocketHandler(backend, settings, rate, streams)
    app.add_routes([web.get(path, get, expect_handler=_no_expect) for path, get in gets.items()])
    app.add_routes(
        [
            web.get("/v1/listen", listen.get, allow_head=False, expect_handler=_no_expect),
            _post("/v1/classify", ClassifyHandler(backend, settings, rate).post),
            _post("/v1/session", _Session(security, settings).post),
        ]
    )
    return app


def _post(path: str, handler: Handler) -> web.RouteDef:
    return web.post(path, handler, expect_handler=_no_expect)


async def _no_expect(_: web.Request) -> None:
    """Ask for no body here: that is done where it is read, after everything was checked."""


def _around(security: Security, opened: frozenset[str]) -> Any:
    @web.middleware
    async def around(request: web.Request, handler: Handler) -> web.StreamResponse:
        resource = request.match_info.route.resource
        route = resource.canonical if resource is not None else None
        if isinstance(request.protocol, Connection):
            request.protocol.request_came(route)
        try:
            seen = security.proxies.unwrapped(request)
            await security.check(seen, route in opened)
            return await handler(seen)
        except HttpError as problem:
            return problem.response()
        except web.HTTPException as error:
            return _unrouted(error)
        except ConnectionError:
            raise
        except Exception as error:
            # What broke is for the log; it may hold what is not for clients.
            log("http").error("a request failed", path=request.path, exc_info=error)
            return HttpError(500, "something went wrong here").response()

    return around


def _unrouted(error: web.HTTPException) -> web.Response:
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return HttpError(405, "this method is not for this path", {"Allow": allowed}).response()
    text = "there is nothing at this path" if error.status == 404 else error.reason or "refused"
    return HttpError(error.status, text).response()


async def _headers(_: web.Request, response: web.StreamResponse) -> None:
    guard_headers(response)


class _StatusRoutes:
    """What the daemon reports of itself."""

    def __init__(self, backend: Backend, metrics: Metrics) -> None:
        self._backend = backend
        self._metrics = metrics
        self._document = OPENAPI.read_bytes()

    async def health(self, _: web.Request) -> web.Response:
        return answer({"status": "ok"})

    async def ready(self, _: web.Request) -> web.Response:
        found = self._backend.ready()
        return answer(found, 200 if found["ready"] else 503)

    async def state(self, _: web.Request) -> web.Response:
        return answer(self._backend.state())

    async def model(self, _: web.Request) -> web.Response:
        return answer(self._backend.model())

    async def openapi(self, _: web.Request) -> web.Response:
        return web.Response(body=self._document, content_type=JSON_TYPE)

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.text(), headers={"Content-Type": CONTENT_TYPE})


class _Session:
    """Gives a browser a cookie for the token."""

    def __init__(self, security: Security, settings: HttpSettings) -> None:
        self._security = security
        self._settings = settings

    async def post(self, request: web.Request) -> web.Response:
        """Sign in; without a token file there is nothing to sign in to."""
        check_type(request, frozenset({JSON_TYPE}), f"Content-Type {JSON_TYPE}")
        given = _token_of(await read_body(request, MOST_LOGIN_BYTES, self._settings))
        response = web.Response(status=204)
        if (token := self._security.token) is not None:
            await self._security.check_token(request, token, given)
            response.set_cookie(
                COOKIE,
                token.cookie,
                max_age=COOKIE_DAYS * 24 * 3600,
                httponly=True,
                samesite="Strict",
                secure=request.scheme == "https",
            )
        return response


def _token_of(body: bytes) -> str:
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        found = None
    if not (
        isinstance(found, dict) and set(found) == {"token"} and isinstance(found["token"], str)
    ):
        raise HttpError(400, "the body is wrong", expected='{"token": "…"} in JSON')
    return str(found["token"])
