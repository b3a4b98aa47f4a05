"""The event stream and the WebSocket."""

from __future__ import annotations

import asyncio
import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any
from urllib.parse import quote

import aiohttp
import numpy as np
import pytest
from aiohttp import web

from sertk_edge.http.event_stream import EventStreamHandler
from sertk_edge.http.open_streams import OpenStreams

Until = Callable[[Callable[[], bool], str], None]


@dataclass(frozen=True)
class Told:
    """One server-sent event."""

    kind: str
    number: str | None
    data: Any


class Reader:
    """Reads an event stream by the rules of its specification."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self._response = response
        self.status = response.status
        self.headers = response.headers
        self.retry: str | None = None
        self.comments = 0

    def next(self) -> Told | None:
        """The next event; None at the end of the stream."""
        fields: dict[str, str] = {}
        while line := self._response.readline().decode():
            name, _, value = line.rstrip("\n").partition(": ")
            if line == "\n":
                if "data" in fields:
                    data = json.loads(fields["data"])
                    return Told(fields["event"], fields.get("id"), data)
                self.retry = fields.get("retry", self.retry)
                fields = {}
            elif line.startswith(":"):
                self.comments += 1
            else:
                fields[name] = value
        return None

    def emotions(self, count: int) -> list[Told]:
        """The next events that are no live states."""
        found: list[Told] = []
        while len(found) < count:
            message = self.next()
            assert message is not None
            found += [message] if message.kind == "emotion" else []
        return found


@contextmanager
def stream(site: Any, path: str = "/v1/events", **headers: str) -> Iterator[Reader]:
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=20)
    try:
        connection.request("GET", path, headers=headers)
        yield Reader(connection.getresponse())
    finally:
        connection.close()


def test_events_and_live_states_are_told_as_they_come(site: Any) -> None:
    site.tell(1)
    with stream(site) as reader:
        assert reader.status == 200
        assert reader.headers["Content-Type"] == "text/event-stream"
        first = reader.next()
        # Not the past, but how things are.
        assert first is not None and (first.kind, first.number) == ("live", None)
        assert first.data["label"] == "joy" and first.data["level_dbfs"] is None
        assert reader.retry == "2000"
        event = site.tell(2)
        assert reader.next() == Told("emotion", "2", asdict(event))
        site.call(lambda: site.hub.live({"label": "anger"}))
        assert reader.next() == Told("live", None, {"label": "anger"})


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/v1/events?after=2", {}),
        ("/v1/events", {"Last-Event-ID": "2"}),
        ("/v1/events?after=0", {"Last-Event-ID": "2"}),
        ("/v1/events?after=2", {"Last-Event-ID": "nonsense"}),
    ],
)
def test_who_comes_back_misses_nothing_and_hears_nothing_twice(
    site: Any, path: str, headers: dict[str, str]
) -> None:
    for sequence in (1, 2, 3, 4):
        site.tell(sequence)
    with stream(site, path, **headers) as reader:
        assert [message.data["sequence"] for message in reader.emotions(2)] == [3, 4]
        site.tell(5)
        assert [message.number for message in reader.emotions(1)] == ["5"]


def test_a_page_gets_what_is_remembered(site: Any) -> None:
    for sequence in range(1, 301):
        site.tell(sequence)
    with stream(site, "/v1/events?after=0") as reader:
        assert [message.data["sequence"] for message in reader.emotions(256)] == list(
            range(45, 301)
        )


def test_a_sequence_number_that_is_none_is_refused(site: Any) -> None:
    for after in ("-1", "x", "", "1.5", "9" * 16, "²"):
        answer = site.get(f"/v1/events?after={quote(after)}")
        assert (answer.status, "after" in answer.message) == (400, True), after


def test_several_listen_at_once(site: Any) -> None:
    with stream(site) as one, stream(site) as two:
        for reader in (one, two):
            reader.next()
        site.tell(7)
        assert [r.emotions(1)[0].number for r in (one, two)] == ["7", "7"]


def test_a_silent_stream_shows_that_it_lives(site: Any) -> None:
    events = EventStreamHandler(site.backend(), OpenStreams(8, 10), heartbeat_s=0.05)

    async def beat() -> tuple[bytes, bytes]:
        app = web.Application()
        app.router.add_get("/", events.get)
        runner = web.AppRunner(app)
        await runner.setup()
        place = web.TCPSite(runner, "127.0.0.1", 0)
        await place.start()
        async with aiohttp.ClientSession() as session, session.get(place.name) as response:
            await response.content.readuntil(b"data: ")
            await response.content.readline()
            read = await response.content.readexactly(len(b"\n:\n\n:\n\n"))
            site.hub.live({"late": True})
            await response.content.readuntil(b"event: ")
            late = await response.content.readline()
        await runner.cleanup()
        return read, late

    assert site.run(beat()) == (b"\n:\n\n:\n\n", b"live\n")


def talk(site: Any, use: Callable[[Any], Any], path: str = "/v1/listen", **headers: str) -> Any:
    """What `use` makes of a WebSocket."""

    async def run() -> Any:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as session,
            session.ws_connect(path, headers=headers, autoclose=False) as socket,
        ):
            return await use(socket)

    return asyncio.run(asyncio.wait_for(run(), 20))


def pieces(samples: np.ndarray, length: int) -> list[bytes]:
    data = samples.astype("<i2").tobytes()
    return [data[first : first + length] for first in range(0, len(data), length)]


async def spoken(socket: Any, samples: np.ndarray, length: int = 6_400) -> list[dict[str, Any]]:
    """The events that come back for these samples."""
    for piece in pieces(samples, length):
        await socket.send_bytes(piece)
    await socket.send_str("end")
    events = []
    async for message in socket:
        assert message.type is aiohttp.WSMsgType.TEXT
        events.append(json.loads(message.data))
    return events


def voice(speech: np.ndarray) -> np.ndarray:
    """Silence, speech, silence."""
    quiet = np.random.default_rng(0).integers(-3, 4, 16_000).astype(np.int16)
    return np.concatenate([quiet, speech, quiet])


def test_sound_goes_in_and_events_come_out(site: Any, speech: np.ndarray) -> None:
    events = talk(site, lambda socket: spoken(socket, voice(speech)))
    assert events[0]["kind"] == "started" and events[-1]["kind"] == "ended"
    assert [event["sequence"] for event in events] == list(range(1, len(events) + 1))
    for event in events:
        assert sum(event["probabilities"].values()) == pytest.approx(1, abs=1e-3)


def test_the_events_do_not_depend_on_how_the_sound_is_cut(site: Any, speech: np.ndarray) -> None:
    def results(length: int) -> list[tuple[str, str, float]]:
        found = talk(site, lambda socket: spoken(socket, voice(speech), length))
        return [(event["kind"], event["label"], event["offset_s"]) for event in found]

    assert results(6_400) == results(641) == results(100_001) != []


def test_other_rates_and_channels_are_said_in_the_address(site: Any, speech: np.ndarray) -> None:
    stereo = np.repeat(np.repeat(voice(speech), 3), 2)
    address = "/v1/listen?rate_hz=48000&channels=2"
    events = talk(site, lambda socket: spoken(socket, stereo, 60_000), address)
    assert {event["kind"] for event in events} >= {"started", "ended"}
    assert 0.5 < events[0]["offset_s"] < 3.0


def test_rates_and_channels_that_are_none_are_refused(site: Any) -> None:
    for name, values in {"rate_hz": ("7999", "x", "-1"), "channels": ("0", "9", "")}.items():
        for value in values:
            answer = site.get(f"/v1/listen?{name}={value}")
            assert (answer.status, name in answer.message) == (400, True), (name, value)


def test_a_closing_client_makes_room(site: Any, speech: np.ndarray, until: Until) -> None:
    async def leave(socket: Any) -> int:
        await socket.send_bytes(pieces(speech, 64_000)[0])
        await socket.close()
        return int(socket.close_code)

    for _ in range(4):
        assert talk(site, leave) == 1000

    async def vanish(socket: Any) -> None:
        await socket.send_bytes(pieces(speech, 64_000)[0])
        socket._response.connection.transport.abort()

    for _ in range(4):
        talk(site, vanish)
    until(lambda: free_places(site) == 2, "their places are free")


def free_places(site: Any) -> int:
    talks: list[Any] = []
    try:
        while len(talks) < 5:
            talks.append(site.call(lambda: site.sessions.begin(16_000, 1)))
    except Exception:
        pass
    for each in talks:
        site.call(each.close)
    return len(talks)


def test_a_third_conversation_is_told_to_come_back(site: Any) -> None:
    async def third(first: Any) -> tuple[int, str]:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as session,
            session.ws_connect("/v1/listen"),
        ):
            with pytest.raises(aiohttp.WSServerHandshakeError) as error:
                await session.ws_connect("/v1/listen")
            headers = error.value.headers
            assert headers is not None
            return error.value.status, headers["Retry-After"]

    assert talk(site, third) == (503, "5")


def refused(site: Any, **headers: str) -> int:
    with pytest.raises(aiohttp.WSServerHandshakeError) as error:
        talk(site, lambda socket: socket.close(), **headers)
    return error.value.status


def test_pages_of_other_origins_get_no_socket(site: Any) -> None:
    assert refused(site, Origin="http://evil.example") == 403
    assert refused(site, Host="evil.example") == 421
    ours = f"http://127.0.0.1:{site.port}"
    talk(site, lambda socket: socket.close(), Origin=ours)


def test_sockets_are_opened_so_often(serving: Any) -> None:
    site = serving(requests_per_minute=2)
    for _ in range(2):
        talk(site, lambda socket: socket.close())
    assert refused(site) == 429


def test_what_asks_for_no_socket_is_refused(site: Any) -> None:
    answer = site.get("/v1/listen")
    assert (answer.status, answer.headers["Upgrade"]) == (426, "websocket")
    wrong = {"Upgrade": "websocket", "Connection": "Upgrade", "Sec_WebSocket_Version": "13"}
    answer = site.get("/v1/listen", Sec_WebSocket_Key="short", **wrong)
    assert (answer.status, "handshake" in answer.message) == (400, True)


def test_messages_are_not_compressed(site: Any) -> None:
    async def asked() -> int:
        async with (
            aiohttp.ClientSession(f"http://127.0.0.1:{site.port}") as session,
            session.ws_connect("/v1/listen", compress=15) as socket,
        ):
            return int(socket.compress)

    # A few bytes could stand for a message of any size.
    assert asyncio.run(asked()) == 0


async def last_words(socket: Any) -> tuple[int, str]:
    """Why the other side closes."""
    output = ""
    async for message in socket:
        if message.type is aiohttp.WSMsgType.TEXT:
            output = json.loads(message.data)["error"]["message"]
    return int(socket.close_code), output


def test_messages_that_make_no_sense_end_it(site: Any) -> None:
    async def words(socket: Any) -> tuple[int, str]:
        await socket.send_str("hello")
        return await last_words(socket)

    code, output = talk(site, words)
    assert (code, "int16" in output) == (1003, True)

    async def too_much(socket: Any) -> tuple[int, str]:
        await socket.send_bytes(bytes((256 << 10) + 1))
        return await last_words(socket)

    assert talk(site, too_much)[0] == 1009

    async def just_enough(socket: Any) -> tuple[int, str]:
        await socket.send_bytes(bytes(256 << 10))
        await socket.send_str("end")
        return await last_words(socket)

    assert talk(site, just_enough) == (1000, "")


def test_a_silent_client_is_let_go(serving: Any) -> None:
    code, output = talk(serving(body_timeout_s=0.3), last_words)
    assert (code, "0.3 s" in output) == (1008, True)


def test_the_end_is_told(serving: Any, until: Until) -> None:
    site = serving()

    async def wait(socket: Any) -> int:
        asyncio.get_running_loop().run_in_executor(None, site.close)
        return (await last_words(socket))[0]

    assert talk(site, wait) == 1001
    until(lambda: site._loop.is_closed(), "it has ended")
