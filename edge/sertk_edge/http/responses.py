"""Answers in JSON, and what is answered when something is refused."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from aiohttp import web

JSON_TYPE = "application/json"
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "font-src 'self'; connect-src 'self'; manifest-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "Server": "sertk-edge",
    "Content-Security-Policy": POLICY,
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


class HttpError(Exception):
    """A request that is refused: the HTTP status, and one line for whoever asked."""

    def __init__(
        self,
        status: int,
        message: str,
        headers: Mapping[str, str] | None = None,
        expected: str = "",
    ) -> None:
        super().__init__(message)
        self.status = status
        self.message = message
        self.headers = headers
        self.expected = expected

    def response(self) -> web.Response:
        """Return the answer."""
        error = {"message": " ".join(self.message.split())}
        if self.expected:
            error = {"expected": self.expected, **error}
        return answer({"error": error}, self.status, self.headers)


def later(status: int, message: str, wait_s: float) -> HttpError:
    """Refuse for now, with the time after which to ask again."""
    return HttpError(status, message, {"Retry-After": str(max(1, math.ceil(wait_s)))})


def answer(
    data: Mapping[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> web.Response:
    """Return an answer in JSON."""
    return web.Response(
        text=json_text(data), status=status, headers=headers, content_type=JSON_TYPE
    )


def guard_headers(response: web.StreamResponse) -> None:
    """Add what tells browsers to be careful with an answer."""
    response.headers.update(HEADERS)
    response.headers.setdefault("Cache-Control", "no-store")


def json_text(data: Any) -> str:
    """Return JSON in one line; numbers that it cannot express (NaN, infinities) are null."""
    try:
        return json.dumps(data, allow_nan=False)
    except ValueError:
        return json.dumps(_finite(data), allow_nan=False)


def whole_number(text: str, most: int) -> int | None:
    """Return the number from 0 to `most` that is written there in digits, else None."""
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most))):
        return None
    return number if (number := int(text)) <= most else None


def _finite(data: Any) -> Any:
    if isinstance(data, Mapping):
        return {key: _finite(value) for key, value in data.items()}
    if isinstance(data, (list, tuple)):
        return [_finite(value) for value in data]
    return None if isinstance(data, float) and not math.isfinite(data) else data
