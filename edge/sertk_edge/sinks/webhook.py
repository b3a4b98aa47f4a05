"""Events as HTTP requests to a web server."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar
from urllib.parse import SplitResult, urlsplit

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event, Outlet

from ..events import text_of
from ..service.error_text import error_text
from ..settings import WrongUsageError
from .base import InspectableSink, check_age, read_secret, trusting

if TYPE_CHECKING:
    from http.client import HTTPConnection, HTTPResponse

MOST_ANSWER = 1 << 16
# Those of 400 to 499 that say "later", not "never".
LATER = (408, 425, 429)


@dataclass(frozen=True)
class Webhook(InspectableSink):
    """POSTs each event as JSON to `url`; any answer from 200 to 299 means that it was taken.

    `Idempotency-Key` carries the event's id. `token_file` holds a token for the header
    `Authorization: Bearer`, and is read at each connection. `ca_file` replaces the system's
    certificates. After `timeout_s` without an answer the event is sent again; one older than
    `max_age_s` is not sent, 0: every one is. Redirects are not followed, and proxies of the
    environment not used.
    """

    name = "webhook"
    identified_by: ClassVar[tuple[str, ...]] = ("url",)

    url: str = ""
    token_file: str = ""
    timeout_s: float = 10.0
    ca_file: str = ""
    max_age_s: float = 0.0

    def __post_init__(self) -> None:
        if self.timeout_s <= 0:
            raise ValueError("timeout_s must be more than 0")
        check_age(self.max_age_s)
        if self.url:
            _checked(self.url)

    def check(self) -> None:
        """Raise WrongUsageError without a url."""
        if not self.url:
            raise WrongUsageError(
                "the sink webhook has no url", "Give it: --sink webhook,url=https://…"
            )

    def inspect(self) -> None:
        """Raise SertkError where the token or the certificates cannot be used."""
        if self.token_file:
            _token(self.token_file)
        if _checked(self.url).scheme == "https":
            trusting(self.ca_file)

    def open(self, device: Device) -> Outlet:
        """Read the token; the connection is made with the first event."""
        self.check()
        return _WebhookOutlet(self, device)


class _WebhookOutlet(Outlet):
    def __init__(self, sink: Webhook, device: Device) -> None:
        self._sink = sink
        self._url = _checked(sink.url)
        self._path = self._url.path or "/"
        if self._url.query:
            self._path += f"?{self._url.query}"
        self._headers = {
            "Content-Type": "application/json",
            "User-Agent": f"sertk-edge/{device.version}",
        }
        if sink.token_file:
            self._headers["Authorization"] = f"Bearer {_token(sink.token_file)}"
        self._connection: HTTPConnection | None = None

    def deliver(self, event: Event) -> None:
        reused = self._connection is not None
        try:
            self._post(event)
        except ConnectionError:
            self.close()
            # A server may close a connection that was idle at any moment; that is no failure.
            if not reused:
                raise
            self._post(event)

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _post(self, event: Event) -> None:
        if self._connection is None:
            self._connection = self._connected()
        with _Deadline(self._connection, self._sink.timeout_s) as deadline:
            try:
                headers = {**self._headers, "Idempotency-Key": event.id}
                body = text_of(event).encode("ascii")
                self._connection.request("POST", self._path, body, headers)
                answer = self._connection.getresponse()
            except Exception as error:
                self.close()
                # The socket's own time may be up first.
                if deadline.passed or isinstance(error, TimeoutError):
                    late = f"no answer within {self._sink.timeout_s:g} s"
                    raise TimeoutError(f"{self._url.hostname}: {late}") from error
                raise
            self._finish(answer)
        self._judge(answer)

    def _connected(self) -> HTTPConnection:
        # Imported late: it brings all of ssl.
        from http.client import HTTPConnection, HTTPSConnection

        host, timeout_s = self._url.hostname or "", self._sink.timeout_s
        if self._url.scheme == "http":
            connection = HTTPConnection(host, self._url.port, timeout=timeout_s)
        else:
            trust = trusting(self._sink.ca_file)
            connection = HTTPSConnection(host, self._url.port, timeout=timeout_s, context=trust)
        try:
            connection.connect()
        except OSError as error:
            raise OSError(f"{self._url.netloc}: {error_text(error)}") from error
        return connection

    def _finish(self, answer: HTTPResponse) -> None:
        """Read the rest, so that the connection can be used again; a long one is not worth it."""
        with suppress(Exception):
            answer.read(MOST_ANSWER)
        if not answer.isclosed() or answer.will_close or answer.length:
            self.close()

    def _judge(self, answer: HTTPResponse) -> None:
        if 200 <= answer.status < 300:
            return
        answer_line = f"{self._url.hostname} answers {answer.status} {answer.reason}".strip()
        if 400 <= answer.status < 500 and answer.status not in LATER:
            raise SertkError(
                f"{answer_line}: it refuses these events", "They are kept; look at its log"
            )
        raise SertkError(answer_line, "The event will be sent again")


class _Deadline:
    """Ends a connection when its time is up: a socket's own timeout starts anew at each byte."""

    def __init__(self, connection: HTTPConnection, timeout_s: float) -> None:
        # A connection that the server announced to close forgets its socket before the answer ends.
        self._socket = connection.sock
        self._timer = threading.Timer(timeout_s, self._end)
        self._timer.daemon = True
        self.passed = False

    def _end(self) -> None:
        self.passed = True
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> _Deadline:
        self._timer.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._timer.cancel()


def _token(file: str) -> str:
    token = read_secret(file)
    if not token.isascii():
        raise SertkError(f"{file} expects a token in ASCII", "Name a file with such a token")
    return token


def _checked(url: str) -> SplitResult:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"url expects http:// or https:// and a host, received {url!r}")
    if parts.username or parts.password:
        raise ValueError("url must not hold a password; use token_file")
    if any(char <= " " or char > "~" for char in url):
        raise ValueError("url must be ASCII without spaces")
    _ = parts.port
    return parts
