"""Start the daemon in a process of its own, and the real services around it.

A sound server with a virtual microphone, a broker, a web server that takes events, a browser's
requests. Callers leave out what this machine lacks.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import soxr

from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.runtime.features.base import F32

RATE_HZ = 16_000
# A Pi has no scipy: nothing that it installs requires it.
AS_ON_A_PI = "import sys; sys.modules['scipy'] = None; from ser_toolkit.cli import main; main()"
MB = 1e6
POLL_S = 0.01
PATIENCE_S = 60.0


def voices(folder: Path) -> F32:
    """Return utterances of synthetic speakers with two seconds of a quiet room between them."""
    corpus = SyntheticReader(speakers=4, sentences=2).read(folder / "voices")
    quiet = np.random.default_rng(0).normal(0, 1e-4, 2 * RATE_HZ).astype(np.float32)
    parts = [quiet]
    for clip in corpus.clips[::6]:
        samples, rate_hz = soundfile.read(clip.path, dtype="float32")
        parts += [soxr.resample(samples, rate_hz, RATE_HZ), quiet]
    return np.concatenate(parts)


def played(sound: Path) -> list[str]:
    """Return the options with which the daemon plays a file in real time."""
    return ["--source", str(sound), "--realtime", "--repeat"]


def write(path: Path, samples: F32) -> Path:
    """Write samples at RATE_HZ as a file."""
    soundfile.write(path, samples, RATE_HZ)
    return path


class Daemon:
    """Run `sertk serve-edge`, with a page on a free port unless `page` says otherwise."""

    def __init__(
        self,
        bundle: Path,
        folder: Path,
        args: Sequence[str],
        env: Mapping[str, str] | None = None,
        page: bool = True,
    ) -> None:
        self.port = free_port()
        self._log = folder / "daemon.log"
        command = [sys.executable, "-c", AS_ON_A_PI, "serve-edge", str(bundle), *args]
        command += ["--http-port", str(self.port if page else 0), "--state-dir", str(folder / "s")]
        self.begun = time.perf_counter()
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, stderr=log
            )

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.wait(PATIENCE_S)

    def ready_s(self) -> float:
        """Wait for the first good answer of /readyz; return the seconds since the start."""
        self.until(self._is_ready)
        return time.perf_counter() - self.begun

    def until(self, true: Callable[[], object]) -> None:
        """Wait for something; the daemon must live meanwhile."""
        end = time.monotonic() + PATIENCE_S
        while not true():
            if self._process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"the daemon does not do it:\n{self._log.read_text()}")
            time.sleep(POLL_S)

    def get(self, path: str) -> bytes:
        """Return the content of an answer."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{path}", timeout=5) as answer:
            content: bytes = answer.read()
            return content

    def delivered(self) -> float:
        """Return how many events every sink has taken."""
        lines = self.get("/metrics").decode().splitlines()
        counts = [line for line in lines if line.startswith("sertk_sink_delivered_total")]
        return min(float(line.split()[-1]) for line in counts)

    def memory_mb(self) -> tuple[float, float]:
        """Return resident and proportional set size of the daemon's own process."""
        return memory_mb(self._process.pid)

    def children_mb(self) -> list[tuple[float, float]]:
        """Return the same of its children: the process that reads the microphone."""
        path = Path(f"/proc/{self._process.pid}/task")
        pids = {pid for task in path.iterdir() for pid in (task / "children").read_text().split()}
        return [memory_mb(int(pid)) for pid in sorted(pids)]

    def _is_ready(self) -> bool:
        try:
            return bool(json.loads(self.get("/readyz"))["ready"])
        except (OSError, http.client.HTTPException, urllib.error.URLError):
            return False


def memory_mb(pid: int) -> tuple[float, float]:
    """Return Rss and Pss of a process in 10^6 bytes."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    sizes_kib = {name: int(rest.split()[0]) for name, rest in (line.split(":") for line in lines)}
    return sizes_kib["Rss"] * 1024 / MB, sizes_kib["Pss"] * 1024 / MB


def free_port() -> int:
    """Return a free port."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def microphone(folder: Path, sound: Path) -> Iterator[Mapping[str, str] | None]:
    """Yield the environment of a PulseAudio whose default microphone records `sound`, or None.

    The monitor of a null sink records what is played to it.
    """
    if not all(shutil.which(name) for name in ("pulseaudio", "paplay")):
        yield None
        return
    path, config = folder / "native", folder / "asound.conf"
    config.write_text(
        '</usr/share/alsa/alsa.conf>\npcm.!default { type pulse device "fake.monitor" }\n'
    )
    places = ("XDG_RUNTIME_DIR", "PULSE_RUNTIME_PATH", "PULSE_STATE_PATH")
    env = {name: str(folder) for name in places}
    env |= {"PULSE_SERVER": f"unix:{path}", "ALSA_CONFIG_PATH": str(config)}
    env |= {"PULSE_COOKIE": str(folder / "cookie")}
    modules = (
        "module-null-sink sink_name=fake rate=16000 channels=1 format=s16le",
        f"module-native-protocol-unix socket={path}",
    )
    command = ["pulseaudio", "-n", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no"]
    command += [part for module in modules for part in ("-L", module)]
    play = f'while paplay --device=fake "{sound}"; do :; done'
    with _running(command, env, lambda: _answers(path)), _running(["sh", "-c", play], env):
        yield env


@contextlib.contextmanager
def broker(folder: Path) -> Iterator[int | None]:
    """Yield the port of a mosquitto; None where there is none."""
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    if program is None:
        yield None
        return
    port, config = free_port(), folder / "mosquitto.conf"
    config.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
    with _running([program, "-c", str(config)], {}, lambda: _answers(("127.0.0.1", port))):
        yield port


@contextlib.contextmanager
def web_server() -> Iterator[str]:
    """Yield the address of a server that takes every event."""

    class Taker(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Taker) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/events"
        server.shutdown()


@contextlib.contextmanager
def browser(daemon: Daemon) -> Iterator[None]:
    """Load the page as a browser does, and then read its events until the end."""
    for path in ("/", "/page.js", "/page.css", "/icon.svg", "/v1/model"):
        daemon.get(path)
    connection = http.client.HTTPConnection("127.0.0.1", daemon.port)
    headers = {"Accept": "text/event-stream", "Sec-Fetch-Site": "same-origin"}
    connection.request("GET", "/v1/events", headers=headers)
    answer = connection.getresponse()

    def read() -> None:
        with contextlib.suppress(OSError, ValueError, AttributeError, http.client.HTTPException):
            while answer.read1(65536):
                pass

    threading.Thread(target=read, daemon=True).start()
    try:
        yield
    finally:
        connection.close()


def classify(daemon: Daemon, sound: Path) -> None:
    """Have a recording classified, as one that is dropped on the page is."""
    url = f"http://127.0.0.1:{daemon.port}/v1/classify"
    headers = {"Content-Type": "audio/wav"}
    request = urllib.request.Request(url, sound.read_bytes(), headers)
    with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
        answer.read()


@contextlib.contextmanager
def _running(
    command: Sequence[str], env: Mapping[str, str], begun: Callable[[], bool] = lambda: True
) -> Iterator[None]:
    """Run a process for as long as it is needed, with its children."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        command, env={**os.environ, **env}, stdout=quiet, stderr=quiet, start_new_session=True
    )
    end = time.monotonic() + PATIENCE_S
    try:
        while not begun():
            if process.poll() is not None or time.monotonic() > end:
                raise SystemExit(f"{command[0]} does not start")
            time.sleep(POLL_S)
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, 9)
        process.wait()


def _answers(address: Path | tuple[str, int]) -> bool:
    is_path = isinstance(address, Path)
    with socket.socket(socket.AF_UNIX if is_path else socket.AF_INET) as probe:
        return probe.connect_ex(str(address) if is_path else address) == 0
