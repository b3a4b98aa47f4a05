"""Slow, dead and greedy clients: each is cut, and nobody else notices."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

Until = Callable[[Callable[[], bool], str], None]
HOST = b"Host: 127.0.0.1\r\n"
POST = b"POST /v1/classify HTTP/1.1\r\n" + HOST + b"Content-Type: audio/wav\r\n"


@contextmanager
def connected(site: Any, receive_buffer: int = 0) -> Iterator[socket.socket]:
    with socket.socket() as sock:
        if receive_buffer:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        sock.settimeout(20)
        sock.connect(("127.0.0.1", site.port))
        yield sock


def rest(sock: socket.socket) -> bytes:
    """What comes until the connection ends; it must end."""
    answer = b""
    try:
        while piece := sock.recv(1 << 16):
            answer += piece
    except (ConnectionResetError, BrokenPipeError):
        pass
    return answer


def drip(sock: socket.socket, text: bytes) -> bytes:
    """Send a byte now and then, as slow attackers do; what comes back until it is cut."""
    sock.settimeout(0.02)
    answer = b""
    for byte in text:
        try:
            sock.send(bytes([byte]))
            piece = sock.recv(1 << 16)
        except TimeoutError:
            continue
        except (ConnectionResetError, BrokenPipeError):
            return answer
        if not piece:
            return answer
        answer += piece
    raise AssertionError("it was never cut")


@pytest.mark.parametrize("begin", [b"", b"GET /healthz HTTP/1.1\r\n" + HOST + b"X: "])
def test_a_connection_that_asks_nothing_is_cut(serving: Any, begin: bytes) -> None:
    site = serving(header_timeout_s=0.3)
    with connected(site) as sock:
        sock.sendall(begin)
        assert rest(sock) == b""
    with connected(site) as sock:
        sock.sendall(begin or b"GET /")
        assert drip(sock, b"a" * 1000) == b""
    assert site.get("/healthz").status == 200


def test_a_connection_is_kept_between_requests_but_not_for_long(serving: Any) -> None:
    site = serving(header_timeout_s=1.0)
    with connected(site) as sock:
        for _ in range(3):
            sock.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
            assert sock.recv(1 << 16).startswith(b"HTTP/1.1 200 OK")
            time.sleep(0.2)
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: ")
        assert rest(sock) == b""


def test_a_request_that_takes_long_to_answer_is_not_cut(serving: Any) -> None:
    site = serving(header_timeout_s=0.2)

    def slow() -> dict[str, Any]:
        time.sleep(0.6)
        return {"label": "joy"}

    site.state = slow
    assert site.get("/v1/state").json == {"label": "joy"}


@pytest.mark.slow
def test_a_body_that_does_not_come_is_given_up(serving: Any) -> None:
    site = serving(body_timeout_s=0.3)
    for more in (
        b"Content-Length: 500\r\n\r\nRIFF",
        b"Transfer-Encoding: chunked\r\n\r\n4\r\nRIFF",
    ):
        with connected(site) as sock:
            sock.sendall(POST + more)
            head, _, body = rest(sock).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 408 ")
        assert "0.3 s" in json.loads(body)["error"]["message"]
    with connected(site) as sock:
        sock.sendall(POST + b"Content-Length: 500\r\n\r\n")
        assert drip(sock, b"R" * 500).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_while_it_sends_is_no_fault(
    serving: Any, until: Until, caplog: pytest.LogCaptureFixture
) -> None:
    site = serving()
    for number in range(3):
        with connected(site) as sock:
            sock.sendall(POST + b"Content-Length: 500\r\n\r\nRIFF")
            time.sleep(0.05 * number)
    with connected(site) as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: site.hub.listeners == 1, "it listens")
    until(lambda: site.hub.listeners == 0, "its end is noticed")
    assert site.get("/healthz").status == 200
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


def test_a_body_that_is_too_large_is_not_taken_in(serving: Any) -> None:
    site = serving(max_body_bytes=1000)
    with connected(site) as sock:
        sock.sendall(POST + b"Content-Length: 1001\r\n\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    with connected(site) as sock:
        sock.sendall(POST + b"Transfer-Encoding: chunked\r\n\r\n")
        sock.sendall(b"1f4\r\n" + b"a" * 500 + b"\r\n")
        sock.sendall(b"1f5\r\n" + b"a" * 501 + b"\r\n")
        assert sock.recv(1 << 16).startswith(b"HTTP/1.1 413 ")
    exact = site.classify(b"a" * 1000)
    assert (exact.status, site.classify(b"a" * 1001).status) == (422, 413)
    assert site.classify(b"a" * 1001).json["error"]["expected"] == "at most 1000 bytes"


def test_recordings_that_are_still_being_sent_are_few(serving: Any, until: Until) -> None:
    site = serving()
    socks = []
    for _ in range(5):
        socks.append(socket.create_connection(("127.0.0.1", site.port), timeout=20))
        socks[-1].sendall(POST + b"Expect: 100-continue\r\nContent-Length: 500\r\n\r\n")
        assert socks[-1].recv(100).startswith(b"HTTP/1.1 100 ")
    answer = site.classify(b"RIFF")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    for sock in socks:
        sock.close()
    # Who goes makes room.
    until(lambda: site.classify(b"RIFF").status == 422, "recordings are taken again")


def test_connections_are_counted(serving: Any, until: Until) -> None:
    site = serving(max_connections=3)
    with connected(site) as first, connected(site) as second, connected(site) as third:
        for sock in (first, second, third):
            sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
            assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        with connected(site) as fourth:
            head, _, body = rest(fourth).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 503 ")
        assert json.loads(body) == {"error": {"message": "too many connections"}}
        assert f"Content-Length: {len(body)}".encode() in head
    until(lambda: is_answered(site), "there is room again")


def test_the_oldest_unfinished_connection_makes_room(serving: Any) -> None:
    site = serving(max_connections=3)
    with connected(site) as first, connected(site) as second, connected(site) as third:
        first.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        assert first.recv(100).startswith(b"HTTP/1.1 200 ")
        second.sendall(b"GET /hea")
        third.sendall(b"GET /healthz HTTP/1.1\r\n" + HOST + b"\r\n")
        assert third.recv(100).startswith(b"HTTP/1.1 200 ")
        assert site.get("/healthz").status == 200
        assert rest(second) == b""
        third.sendall(b"GET /readyz HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
        assert b"HTTP/1.1 200 " in rest(third)


def is_answered(site: Any) -> bool:
    try:
        return bool(site.get("/healthz").status == 200)
    except (ConnectionError, OSError):
        return False


def test_an_answer_that_is_not_read_is_given_up(serving: Any, until: Until) -> None:
    site = serving(write_timeout_s=0.3)
    site.state = lambda: {"label": "x" * (4 << 20)}
    with connected(site, receive_buffer=4096) as sock:
        sock.sendall(b"GET /v1/state HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: requests(site, "/v1/state") == 1, "the answer was given up")
        assert len(rest(sock)) < 4 << 20


def requests(site: Any, route: str) -> float:
    labels = {"method": "GET", "route": route, "status": "200"}
    found = site.metrics.registry.get_sample_value("sertk_http_requests_total", labels)
    return float(found or 0)


def test_a_stream_that_is_not_read_is_cut_after_a_while(serving: Any, until: Until) -> None:
    site = serving(write_timeout_s=0.3)
    with connected(site, receive_buffer=4096) as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: site.hub.listeners == 1, "it listens")
        large = {"text": "x" * 100_000}
        for _ in range(40):
            site.call(lambda: site.hub.live(large))
            time.sleep(0.02)
            if not site.hub.listeners:
                break
        until(lambda: site.hub.listeners == 0, "it is let go")
        rest(sock)
    assert site.get("/healthz").status == 200


@pytest.mark.slow
def test_a_stream_that_does_not_keep_up_is_cut(site: Any, until: Until) -> None:
    with connected(site, receive_buffer=4096) as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        until(lambda: site.hub.listeners == 1, "it listens")
        large = {"text": "x" * 100_000}
        for _ in range(100):
            site.call(lambda: site.hub.live(large))
        assert site.hub.listeners == 0
        # It reads on, gets what had waited for it, and then the end.
        assert len(rest(sock)) < 100 * 100_000


def test_a_dead_stream_makes_room_at_once(serving: Any, until: Until) -> None:
    site = serving(max_streams=1)
    with connected(site) as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")
        full = site.get("/v1/events")
        assert (full.status, full.headers["Retry-After"]) == (503, "5")
    until(lambda: site.hub.listeners == 0, "it is noticed that the client went")
    with connected(site) as sock:
        sock.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
        assert sock.recv(100).startswith(b"HTTP/1.1 200 ")


def test_the_end_waits_for_nobody(serving: Any, until: Until) -> None:
    site = serving()
    with connected(site) as idle, connected(site) as half, connected(site) as slow:
        half.sendall(b"GET /v1/state HT")
        slow.sendall(POST + b"Content-Length: 500\r\n\r\nRIFF")
        with connected(site, receive_buffer=4096) as deaf, connected(site) as stream:
            deaf.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
            until(lambda: site.hub.listeners == 1, "it listens")
            for _ in range(20):
                site.call(lambda: site.hub.live({"text": "x" * 100_000}))
            stream.sendall(b"GET /v1/events HTTP/1.1\r\n" + HOST + b"\r\n")
            assert stream.recv(100).startswith(b"HTTP/1.1 200 ")
            # It is given five seconds; every timeout is ten or more.
            site.close()
            assert rest(stream).endswith(b"0\r\n\r\n")
            for sock in (idle, half, slow, deaf):
                rest(sock)
