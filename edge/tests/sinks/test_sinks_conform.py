"""The sinks keep to the contract, each with somebody who takes its events and may refuse them."""

from __future__ import annotations

import contextlib
import io
import json
import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ser_toolkit.testing import Check, Peer, sertk_checks
from sertk_edge import plugin
from sertk_edge.sinks.console import Console
from sertk_edge.sinks.json_lines import JsonLines
from sertk_edge.sinks.mqtt import Mqtt
from sertk_edge.sinks.webhook import Webhook

SOON_S = 10.0
BROKER = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


@contextlib.contextmanager
def file(folder: Path) -> Iterator[Peer]:
    """A file, which a folder replaces for some time."""
    path = folder / "events.jsonl"

    def received() -> list[str]:
        lines = path.read_text().splitlines() if path.is_file() else []
        return [json.loads(line)["id"] for line in lines]

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        path.rename(kept := folder / "kept")
        path.mkdir()
        yield
        path.rmdir()
        kept.rename(path)

    yield Peer(JsonLines(path=str(path)), received, refusing)


@contextlib.contextmanager
def server(folder: Path) -> Iterator[Peer]:
    """A web server, which answers 503 for some time."""
    del folder
    taken: list[str] = []
    status = [200]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if status[0] == 200:
                taken.append(body["id"])
            self.send_response(status[0])
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        status[0] = 503
        yield
        status[0] = 200

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as made:
        made.daemon_threads = True
        threading.Thread(target=made.serve_forever, args=(0.01,), daemon=True).start()
        sink = Webhook(url=f"http://127.0.0.1:{made.server_address[1]}/", timeout_s=5.0)
        yield Peer(sink, lambda: tuple(taken), refusing)
        made.shutdown()


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[Peer]:
    """A broker with a listener, which stands still for some time."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])
    (folder / "conf").write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    command = [str(BROKER), "-c", str(folder / "conf")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        _until(lambda: _answers(port))
        with _listening(port) as received:
            yield Peer(
                Mqtt(host="127.0.0.1", port=port, timeout_s=1.0), received, _standing(process)
            )
    finally:
        process.kill()
        process.wait(SOON_S)


def _standing(process: subprocess.Popen[bytes]) -> Callable[[], Any]:
    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            process.send_signal(signal.SIGCONT)

    return refusing


@contextlib.contextmanager
def _listening(port: int) -> Iterator[Callable[[], tuple[str, ...]]]:
    from paho.mqtt.client import Client
    from paho.mqtt.enums import CallbackAPIVersion

    taken: list[str] = []
    ready = threading.Event()
    client = Client(CallbackAPIVersion.VERSION2, "listener")
    client.on_message = lambda _c, _d, message: taken.append(json.loads(message.payload)["id"])
    client.on_subscribe = lambda *_: ready.set()
    client.on_connect = lambda client, *_: client.subscribe("sertk/+/event", qos=1)
    client.connect("127.0.0.1", port)
    client.loop_start()
    assert ready.wait(SOON_S)
    yield lambda: tuple(taken)
    client.disconnect()
    client.loop_stop()


def _answers(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1.0):
        return True
    return False


def _until(ready: Callable[[], bool]) -> None:
    end = time.monotonic() + SOON_S
    while not ready() and time.monotonic() < end:
        time.sleep(0.02)
    assert ready()


class Terminal(io.StringIO):
    gone = False

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError
        return super().write(text)

    @contextlib.contextmanager
    def away(self) -> Iterator[None]:
        self.gone = True
        yield
        self.gone = False


@contextlib.contextmanager
def terminal(folder: Path) -> Iterator[Peer]:
    """What a terminal shows; events are told apart by their times. It may be gone."""
    del folder
    shown = Terminal()

    def received() -> list[str]:
        return [f"kit-{float(line.split()[0][-5:]):.0f}" for line in shown.getvalue().splitlines()]

    with contextlib.redirect_stdout(shown):
        yield Peer(Console(), received, shown.away)


@sertk_checks(
    plugin,
    peers={"console": terminal, "json_lines": file, "webhook": server, "mqtt": broker},
    expected_failures={"console:pi": "it speaks to the terminal of its own process alone"},
)
def test_it_keeps_to_the_contract(check: Check, require: Callable[[str, bool, str], None]) -> None:
    if check.subject == "sink:mqtt" and check.name not in ("declared", "json"):
        require("mosquitto", BROKER is not None, "install the broker mosquitto")
    check()
