"""What one who listens to the broker is told by the running daemon: Home Assistant, for one."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

PLAYED = ("--realtime", "--repeat", "--gate", "energy")


class Broker:
    """mosquitto, and all that is published there, in order."""

    def __init__(self, program: str, folder: Path) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.port = int(free.getsockname()[1])
        self._file, self._lines = folder / "mosquitto.conf", folder / "lines"
        self._file.write_text(f"listener {self.port} 127.0.0.1\nallow_anonymous true\n")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        self._running = [subprocess.Popen([program, "-c", str(self._file)], **quiet)]
        while not self._answers():
            time.sleep(0.02)
        listen = ["mosquitto_sub", "-p", str(self.port), "-q", "1", "-F", "%t %p", "-t", "sertk/#"]
        with self._lines.open("wb") as lines:
            self._running.append(subprocess.Popen(listen, stdout=lines))
        self.sink = ("--sink", f"mqtt,host=127.0.0.1,port={self.port}", "--device-id", "pi")

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1.0):
            return True
        return False

    def told(self) -> list[tuple[str, Any]]:
        """Topics below the device's, and what was told there."""
        whole = (line for line in self._lines.read_text().splitlines(True) if line[-1] == "\n")
        pairs = [line.rstrip("\n").removeprefix("sertk/pi/").split(" ", 1) for line in whole]
        return [(topic, json.loads(text) if text[0] == "{" else text) for topic, text in pairs]

    def states(self) -> list[str | None]:
        return [what["label"] for topic, what in self.told() if topic == "state"]

    def availability(self) -> list[str]:
        return [what for topic, what in self.told() if topic == "availability"]

    def close(self) -> None:
        for process in reversed(self._running):
            process.kill()
            process.wait()


@pytest.fixture
def broker(tmp_path: Path, require: Callable[[str, bool, str], None]) -> Iterator[Broker]:
    program = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    there = program is not None and shutil.which("mosquitto_sub") is not None
    require("mosquitto", there, "install mosquitto and mosquitto-clients")
    broker = Broker(str(program), tmp_path)
    yield broker
    broker.close()


@pytest.mark.slow
def test_a_daemon_that_was_killed_does_not_tell_its_last_emotion_again(
    serve: Callable[..., Any], broker: Broker, voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    args = (tiny_bundle, "--source", voices, *PLAYED, *broker.sink, "--state-dir", tmp_path / "s")
    daemon = serve(*args, "--http-port", 0)
    daemon.until(lambda: broker.states()[-1:] not in ([], [None]))
    daemon.process.send_signal(signal.SIGKILL)
    daemon.process.wait()
    while broker.availability()[-1] != "offline":
        time.sleep(0.02)
    before = len(broker.told())
    daemon = serve(*args, "--http-port", 0)
    daemon.until(lambda: broker.availability()[-1] == "online")
    told = broker.told()[before:]
    shown = told[: [what for _, what in told].index("online")]
    assert [what["label"] for topic, what in shown if topic == "state"] == [None]


def test_a_microphone_that_is_not_there_is_no_silent_room(
    paged: Callable[..., Any], broker: Broker, tiny_bundle: Path
) -> None:
    daemon = paged(
        tiny_bundle, "--source", "mic", *broker.sink, env={"ALSA_CONFIG_PATH": os.devnull}
    )
    daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "waiting")
    daemon.until(lambda: "problem" in dict(broker.told()))
    daemon.until(lambda: "waiting" in dict(broker.told())["problem"]["detail"])
    assert set(broker.availability()) == {"offline"}
    assert daemon.metrics()['sertk_sink_up{sink="mqtt"}'] == 1
