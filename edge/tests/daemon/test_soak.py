"""Hours of sound, faster than they last: memory stays flat, no event is lost, none comes twice.

The sound waits for the web server: who is refused pauses, and hours in minutes leave no time for
it. What would be measured is how memory grows with what waits to be delivered.
"""

from __future__ import annotations

import json
import random
import subprocess
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pytest

from ser_toolkit.runtime.audio.decode import read_audio

RATE_HZ = 16_000
HOURS = 4.0
MOST_WAITING = 20


class Moody(BaseHTTPRequestHandler):
    """Takes an event, refuses it, or takes it and does not say so."""

    def do_POST(self) -> None:
        server: Any = self.server
        event = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        emotion = server.dice.random()
        if emotion < 0.97:
            server.taken.append(event)
        if emotion < 0.87:
            self.send_response(204)
            self.end_headers()
        elif emotion < 0.97:
            self.close_connection = True
        else:
            self.send_response(503)
            self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.mark.nightly
@pytest.mark.timeout(1500)
def test_hours_of_speech(
    serve: Callable[..., Any], data_dir: Path, voice_bundle: Path, tmp_path: Path
) -> None:
    server: Any = ThreadingHTTPServer(("127.0.0.1", 0), Moody)
    server.dice, server.taken = random.Random(0), []
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    told_file = tmp_path / "told.jsonl"
    sinks = (
        *("--sink", f"webhook,url=http://127.0.0.1:{server.server_port}/"),
        *("--sink", f"json_lines,path={told_file}"),
        *("--state-dir", tmp_path / "state"),
    )
    piped = ("--source", "-", "--http-port", 0, "--gate", "energy")
    daemon = serve(voice_bundle, *piped, *sinks, stdin=subprocess.PIPE)
    try:
        resident = feed(daemon.process, data_dir, HOURS, lambda: in_step(server, told_file))
        in_step(server, told_file)
        daemon.process.stdin.close()
        assert daemon.wait(600) == 0, daemon.output()
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
    message = [json.loads(line) for line in told_file.read_text().splitlines()]
    sequences = [event["sequence"] for event in message]
    assert sequences == list(range(sequences[0], sequences[0] + len(message)))
    assert message[-1]["offset_s"] > 3600 * HOURS - 10 and len(message) > 500 * HOURS
    once = {event["id"]: event["sequence"] for event in server.taken}
    assert list(once.values()) == sequences
    assert len(server.taken) > len(once), "the web server was to get some of them twice"
    # After the first quarter nothing grows but by what the allocator keeps.
    quarter = len(resident) // 4
    before, after = median(resident[quarter : 2 * quarter]), median(resident[-quarter:])
    print(f"{HOURS:g} h, {len(message)} events, memory {before:.1f} to {after:.1f} MB")
    assert after - before < 3, resident


def in_step(server: Any, message: Path) -> None:
    """Wait until the web server has had nearly all events."""
    while message.exists() and message.read_bytes().count(b"\n") - taken(server) > MOST_WAITING:
        time.sleep(0.01)


def taken(server: Any) -> int:
    return len({event["id"] for event in server.taken})


def feed(process: Any, data_dir: Path, hours: float, in_step: Callable[[], None]) -> list[float]:
    """Clips in an order of chance, with pauses; the megabytes held after each minute of it."""
    rng = np.random.default_rng(0)
    clips = [read_audio(path).samples for path in sorted((data_dir / "emodb/wav").glob("*.wav"))]
    resident, seconds = [], 0.0
    while seconds < 3600 * hours:
        clip = clips[rng.integers(len(clips))] * rng.uniform(0.3, 1.0)
        pause = rng.normal(0, 1e-4, int(rng.uniform(0.3, 6.0) * RATE_HZ))
        samples = np.clip(np.concatenate([clip, pause]) * 32767, -32768, 32767).astype("<i2")
        process.stdin.write(samples.tobytes())
        seconds += len(samples) / RATE_HZ
        if seconds // 60 > len(resident):
            in_step()
            resident.append(anonymous_mb(process.pid))
    return resident


def anonymous_mb(pid: int) -> float:
    """What the process itself holds: pages of files come and go as the kernel likes."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0]) * 1024 / 1e6
