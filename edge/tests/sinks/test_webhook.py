"""Events to a real web server: one that refuses, dawdles, dies, redirects or is not who it says."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import asdict
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.events import EventDraft
from sertk_edge.sinks.webhook import Webhook

DEVICE = Device("pi", "Pi", ("anger",), "m", "0.1")
Answer = Callable[[BaseHTTPRequestHandler], None]


def event(number: int) -> Event:
    return Event(f"id{number}", number, "started", 1.5, 0.5, "anger", {"anger": 1.0}, -20.0)


def says(status: int, **headers: str) -> Answer:
    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    return answer


class Server(ThreadingHTTPServer):
    """Answers each request by `answer`, and notes it."""

    def __init__(self, port: int = 0, tls: ssl.SSLContext | None = None) -> None:
        self.answer: Answer = says(200)
        self.seen: list[tuple[str, dict[str, str], Any]] = []
        self.connections: list[socket.socket] = []
        server = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                server.seen.append((self.path, dict(self.headers), body))
                server.answer(self)

            def setup(self) -> None:
                server.connections.append(self.request)
                super().setup()

            def log_message(self, *_: Any) -> None:
                pass

        super().__init__(("127.0.0.1", port), Handler)
        self.daemon_threads = True
        if tls is not None:
            self.socket = tls.wrap_socket(self.socket, server_side=True)
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    def handle_error(self, *_: Any) -> None:
        pass

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def taken(self) -> list[float]:
        return [body["offset_s"] for _, _, body in self.seen]

    def end(self) -> None:
        self.shutdown()
        self.server_close()
        for connection in self.connections:
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.end()


def url(server: Server, rest: str = "/hook?key=1") -> str:
    return f"http://127.0.0.1:{server.port}{rest}"


def test_a_request(server: Server, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("secret\n")
    with closing(Webhook(url=url(server), token_file=str(token)).open(DEVICE)) as outlet:
        outlet.deliver(event(1))
    path, headers, body = server.seen[0]
    assert path == "/hook?key=1"
    assert body == asdict(event(1))
    assert headers["Idempotency-Key"] == "id1"
    assert headers["Authorization"] == "Bearer secret"
    assert headers["Content-Type"] == "application/json"
    assert headers["User-Agent"] == "sertk-edge/0.1"


def test_one_connection_for_many_events(server: Server) -> None:
    with closing(Webhook(url=url(server)).open(DEVICE)) as outlet:
        for number in range(5):
            outlet.deliver(event(number))
    assert (len(server.seen), len(server.connections)) == (5, 1)


def test_taken(server: Server) -> None:
    with closing(Webhook(url=url(server)).open(DEVICE)) as outlet:
        for status in (200, 201, 202, 204, 299):
            server.answer = says(status)
            outlet.deliver(event(status))
    assert [body["sequence"] for _, _, body in server.seen] == [200, 201, 202, 204, 299]


NOT_TAKEN = (
    (301, "answers 301"),
    (400, "it refuses these events"),
    (404, "it refuses these events"),
    (408, "will be sent again"),
    (429, "will be sent again"),
    (500, "will be sent again"),
    (503, "will be sent again"),
)


def test_not_taken(server: Server) -> None:
    for status, told in NOT_TAKEN:
        server.answer = says(status, Location=url(server, "/elsewhere"))
        with (
            closing(Webhook(url=url(server)).open(DEVICE)) as outlet,
            pytest.raises(SertkError, match=f"127.0.0.1 answers {status}.*") as caught,
        ):
            outlet.deliver(event(0))
        assert told in str(caught.value)
        assert "key=1" not in str(caught.value)
    assert {path for path, _, _ in server.seen} == {"/hook?key=1"}


def test_a_server_that_closes_idle_connections(server: Server) -> None:
    def closes(handler: BaseHTTPRequestHandler) -> None:
        says(200)(handler)
        handler.connection.shutdown(socket.SHUT_RDWR)
        # A request that was there already could be read all the same, and never be answered.
        handler.close_connection = True

    server.answer = closes
    with closing(Webhook(url=url(server)).open(DEVICE)) as outlet:
        for number in range(3):
            outlet.deliver(event(number))
    assert [body["sequence"] for _, _, body in server.seen] == [0, 1, 2]
    assert len(server.connections) == 3


def silent(handler: BaseHTTPRequestHandler) -> None:
    time.sleep(30.0)


def dribbles(handler: BaseHTTPRequestHandler) -> None:
    for char in b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1000:
        handler.wfile.write(bytes([char]))
        time.sleep(0.05)


def dribbles_body(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
    for _ in range(1000):
        handler.wfile.write(b"x")
        time.sleep(0.05)


@pytest.mark.parametrize("answer", [silent, dribbles])
def test_a_slow_server(server: Server, answer: Answer) -> None:
    server.answer = answer
    outlet = Webhook(url=url(server), timeout_s=0.4).open(DEVICE)
    began = time.monotonic()
    with closing(outlet), pytest.raises(TimeoutError, match=r"no answer within 0\.4 s"):
        outlet.deliver(event(0))
    assert time.monotonic() - began < 10.0


def test_a_slow_end_of_an_answer(server: Server) -> None:
    """The status is there, so the event was taken."""
    server.answer = dribbles_body
    with closing(Webhook(url=url(server), timeout_s=0.4).open(DEVICE)) as outlet:
        outlet.deliver(event(0))
        server.answer = says(200)
        outlet.deliver(event(1))
    assert [body["sequence"] for _, _, body in server.seen] == [0, 1]
    assert len(server.connections) == 2


def nonsense(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"\0" * 100 + b"\r\n\r\n")
    handler.close_connection = True


def endless(handler: BaseHTTPRequestHandler) -> None:
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
    for _ in range(1 << 10):
        handler.wfile.write(b"x" * (1 << 16))
    handler.close_connection = True


def test_an_answer_that_is_no_http(server: Server) -> None:
    server.answer = nonsense
    with (
        closing(Webhook(url=url(server)).open(DEVICE)) as outlet,
        pytest.raises(Exception) as error,
    ):
        outlet.deliver(event(0))
    assert "BadStatusLine" in type(error.value).__name__


def test_an_answer_without_end(server: Server) -> None:
    server.answer = endless
    with closing(Webhook(url=url(server)).open(DEVICE)) as outlet:
        outlet.deliver(event(0))
        server.answer = says(200)
        outlet.deliver(event(1))
    assert len(server.connections) == 2


def test_a_server_that_is_dead_for_a_while(tmp_path: Path) -> None:
    """Everything is delivered, once and in order, when it comes back."""
    server = Server()
    port, seen = server.port, server.seen
    with closing(EventQueue(tmp_path)) as event_queue:
        hook = Webhook(url=url(server), timeout_s=1.0)
        worker = SinkWorker("webhook", hook, DEVICE, event_queue, jitter=lambda: 0.0)
        worker.start()
        for number in range(10):
            if number == 3:
                assert worker.drain(10.0)
                server.end()
            event_queue.append(EventDraft("started", 0.0, number, "anger", {"anger": 1.0}, -20.0))
        assert event_queue.wait_for(lambda: worker.status.failures > 1, 10.0)
        assert "Connection refused" in worker.status.detail
        assert worker.status.pending > 0
        server = Server(port)
        assert worker.drain(20.0)
        assert worker.stop(5.0)
        assert worker.status.state == "ok"
    server.end()
    found = [body["sequence"] for _, _, body in seen + server.seen]
    assert found == list(range(found[0], found[0] + 10))


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for `localhost` that signs itself, with its key."""
    folder = tmp_path_factory.mktemp("tls")
    command = "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -keyout key.pem"
    command += " -addext subjectAltName=DNS:localhost -out cert.pem"
    subprocess.run(
        ["openssl", *command.split()],
        cwd=folder,
        check=True,
        capture_output=True,
    )
    return folder


def test_tls(certificate: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    server = Server(tls=context)
    trust = str(certificate / "cert.pem")
    good = Webhook(url=f"https://localhost:{server.port}/", ca_file=trust)
    with closing(good.open(DEVICE)) as outlet:
        outlet.deliver(event(0))
        outlet.deliver(event(1))
    for sink in (
        Webhook(url=f"https://127.0.0.1:{server.port}/", ca_file=trust),
        Webhook(url=f"https://localhost:{server.port}/"),
    ):
        with closing(sink.open(DEVICE)) as outlet, pytest.raises(OSError, match="CERTIFICATE_VER"):
            outlet.deliver(event(2))
    assert [body["sequence"] for _, _, body in server.seen] == [0, 1]
    server.end()


REFUSED = (
    ({"url": "ftp://host/"}, "http:// or https://"),
    ({"url": "http://"}, "http:// or https://"),
    ({"url": "http://me:secret@host/"}, "token_file"),
    ({"url": "http://host/a b"}, "ASCII"),
    ({"url": "http://host:99999/"}, "[Pp]ort"),
    ({"timeout_s": 0}, "timeout_s"),
)


def test_refused_settings() -> None:
    for params, told in REFUSED:
        with pytest.raises(SertkError, match=told):
            configure(Webhook(), params)


def test_a_token_that_cannot_be_is_not_quoted(tmp_path: Path) -> None:
    file = tmp_path / "token"
    for content in (b"", b"a\nb", "tökén".encode(), b"\xff\xfe"):
        file.write_bytes(content)
        with pytest.raises(SertkError) as caught:
            Webhook(url="http://localhost/", token_file=str(file)).open(DEVICE)
        assert "tök" not in str(caught.value)


def test_without_a_url() -> None:
    with pytest.raises(SertkError, match="no url"):
        Webhook().open(DEVICE)


def test_the_plugin_is_light() -> None:
    """`sertk plugins` must not pay for what only an open sink needs."""
    code = (
        "import sys, sertk_edge.plugin; print(*{'paho', 'ssl', 'http.client'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
