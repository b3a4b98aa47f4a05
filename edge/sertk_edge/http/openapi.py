"""The document that describes the interface to programs (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

from .. import __version__
from .classify import AUDIO_TYPES
from .event_stream import EVENT_STREAM, MOST_SEQUENCE
from .metrics import CONTENT_TYPE
from .responses import JSON_TYPE
from .schemas import SCHEMAS, ref
from .security import COOKIE
from .websocket import CHANNELS, RATES_HZ

Part = dict[str, Any]

ABOUT = (
    "Which emotion a microphone hears, and what is heard in recordings. Every refusal is JSON with "
    "one line that says why. Other paths are answered with 404, other methods with 405."
)
WAIT: Part = {
    "Retry-After": {
        "description": "Seconds after which to ask again.",
        "required": True,
        "schema": {"type": "integer", "minimum": 1},
    }
}
CHALLENGE: Part = {
    "WWW-Authenticate": {
        "description": "That a bearer token is wanted.",
        "required": True,
        "schema": {"type": "string"},
    }
}
REFUSALS: dict[int, tuple[str, Part]] = {
    400: ("What was asked is malformed.", {}),
    401: ("The token is missing or wrong.", CHALLENGE),
    403: ("A page of another origin asks, or another machine where only this one may.", {}),
    408: ("The body did not arrive in time.", {}),
    413: ("The body is too large.", {}),
    415: ("The body is of another type, or compressed.", {}),
    421: ("The Host is not among the names that this device goes by.", {}),
    422: ("The body is no recording of speech: damaged, silent, too short or too long.", {}),
    426: ("This path is for WebSockets.", {}),
    429: ("This client asks too often.", WAIT),
    500: ("Something went wrong here.", {}),
    503: ("Too much is asked at once.", WAIT),
}
ALWAYS = (400, 403, 421, 500)
GUARDED = (*ALWAYS, 401, 429)
BODY = (408, 413, 415)


def document(needs_token: bool = False) -> Part:
    """The whole; `needs_token` says whether this device has a token file."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "SER Toolkit, the daemon",
            "version": __version__,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}, {"cookie": []}] if needs_token else [],
        "paths": _paths(),
        "components": {
            "schemas": SCHEMAS,
            "responses": {_name(status): _refusal(status) for status in REFUSALS},
            "securitySchemes": {
                "bearer": {"type": "http", "scheme": "bearer"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE},
            },
        },
    }


def _paths() -> Part:
    return {
        "/": {"get": _open("page", "The web page.", _html())},
        "/healthz": {"get": _open("health", "Whether the process answers.", _json("Health"))},
        "/readyz": {"get": _ready()},
        "/metrics": {"get": _guarded("metrics", "Figures for Prometheus.", _text())},
        "/v1/state": {"get": _guarded("state", "What goes on at the moment.", _json("State"))},
        "/v1/model": {"get": _guarded("model", "The bundle that answers.", _json("Model"))},
        "/v1/openapi.json": {"get": _guarded("openapi", "This document.", _object())},
        "/v1/events": {"get": _events()},
        "/v1/classify": {"post": _classify()},
        "/v1/listen": {"get": _listen()},
        "/v1/session": {"post": _session()},
    }


def _events() -> Part:
    about = (
        "Server-sent events without end. `emotion` carries an Event and has its sequence number as "
        "id; `live` carries the State, some times a second. Who comes back with Last-Event-ID, or "
        "asks with `after`, first gets the events after that one, as far as they are remembered. "
        "A client that does not keep up is disconnected."
    )
    stream = {
        "description": about,
        "content": {EVENT_STREAM: {"schema": {"type": "string"}}},
    }
    operation = _guarded("events", "What happens, as it happens.", stream, 503)
    after = _query("after", "Sequence number of the last event known.", 0, MOST_SEQUENCE)
    last = {
        "name": "Last-Event-ID",
        "in": "header",
        "description": "As `after`; browsers send it by themselves.",
        "schema": {"type": "string"},
    }
    return {**operation, "parameters": [after, last]}


def _classify() -> Part:
    operation = _guarded("classify", "What is heard in a recording.", _json("Classification"))
    _refuse(operation, *BODY, 422, 503)
    schema = {"type": "string", "format": "binary", "description": "A WAV or FLAC file."}
    content = {kind: {"schema": schema} for kind in sorted(AUDIO_TYPES)}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _listen() -> Part:
    about = (
        "A WebSocket. Binary messages are int16 samples, little-endian, channels interleaved; each "
        "Event that is heard in them comes back as a text message. The text message `end`, or "
        "closing, ends the audio."
    )
    upgraded = {"description": about}
    operation = _guarded("listen", "Judge live sound of your own.", upgraded, 426, 503)
    operation["responses"]["101"] = operation["responses"].pop("200")
    rate = _query("rate_hz", "Sample rate.", RATES_HZ[0], RATES_HZ[-1], 16_000)
    channels = _query("channels", "Channels.", CHANNELS[0], CHANNELS[-1], 1)
    return {**operation, "parameters": [rate, channels]}


def _session() -> Part:
    done = {"description": "Signed in: the cookie goes with every request from now on."}
    operation = _open("session", "Sign a browser in.", done)
    operation["responses"]["204"] = operation["responses"].pop("200")
    _refuse(operation, *BODY, 401, 429)
    content = {JSON_TYPE: {"schema": ref("Token")}}
    return {**operation, "requestBody": {"required": True, "content": content}}


def _ready() -> Part:
    operation = _open("ready", "Whether sound is heard and events can be told.", _json("Ready"))
    operation["responses"]["503"] = _json("Ready", "Not, or not yet.")
    return operation


def _guarded(name: str, about: str, answer: Part, *refusals: int) -> Part:
    """An operation that needs the token where there is one."""
    operation = {"operationId": name, "summary": about, "responses": {"200": answer}}
    _refuse(operation, *GUARDED, *refusals)
    return operation


def _open(name: str, about: str, answer: Part) -> Part:
    """An operation that never needs a token."""
    operation = {
        "operationId": name,
        "summary": about,
        "security": [],
        "responses": {"200": answer},
    }
    _refuse(operation, *ALWAYS)
    return operation


def _refuse(operation: Part, *statuses: int) -> None:
    for status in statuses:
        reference = {"$ref": f"#/components/responses/{_name(status)}"}
        operation["responses"][str(status)] = reference


def _refusal(status: int) -> Part:
    about, headers = REFUSALS[status]
    answer = _json("Error", about)
    return {**answer, "headers": headers} if headers else answer


def _name(status: int) -> str:
    return f"Refused{status}"


def _json(schema: str, about: str = "The answer.") -> Part:
    return {"description": about, "content": {JSON_TYPE: {"schema": ref(schema)}}}


def _object() -> Part:
    schema = {"type": "object", "required": ["openapi", "paths"]}
    return {"description": "OpenAPI.", "content": {JSON_TYPE: {"schema": schema}}}


def _html() -> Part:
    return {"description": "HTML.", "content": {"text/html": {"schema": {"type": "string"}}}}


def _text() -> Part:
    kind = CONTENT_TYPE.partition(";")[0]
    about = "Prometheus's text format."
    return {"description": about, "content": {kind: {"schema": {"type": "string"}}}}


def _query(name: str, about: str, least: int, most: int, default: int | None = None) -> Part:
    schema: Part = {"type": "integer", "minimum": least, "maximum": most}
    if default is not None:
        schema["default"] = default
    return {"name": name, "in": "query", "description": about, "schema": schema}
