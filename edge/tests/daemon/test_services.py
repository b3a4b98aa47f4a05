"""The daemon's interface for programs, on the running daemon; sinks and clients of others."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
import subprocess
import sys
import textwrap
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

PLAYED = ("--realtime", "--repeat", "--gate", "energy")
RATE_HZ = 16_000


def post(daemon: Any, path: str, body: bytes, kind: str) -> Any:
    url = f"http://127.0.0.1:{daemon.port}{path}"
    request = urllib.request.Request(url, body, {"Content-Type": kind})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.loads(answer.read())


def clip(data_dir: Path) -> Path:
    return data_dir / "emodb/wav/03a01Fa.wav"


def test_classify_says_what_predict_says(
    live: Callable[..., Any], voices: Path, voice_bundle: Path, data_dir: Path
) -> None:
    daemon = live(voice_bundle, "--source", voices, *PLAYED)
    found = post(daemon, "/v1/classify", clip(data_dir).read_bytes(), "audio/wav")
    main = "from ser_toolkit.cli import main; main()"
    command = [sys.executable, "-c", main, "predict", voice_bundle, clip(data_dir), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    expected = json.loads(done.stdout)
    assert found["label"] == expected["label"]
    assert found["probabilities"] == pytest.approx(expected["probabilities"], abs=1e-4)
    assert found["uncertain"] == expected["uncertain"] and found["windows"]


@pytest.mark.slow
def test_a_new_bundle_answers_requests_too(
    live: Callable[..., Any],
    voices: Path,
    bundle: Path,
    drop: Callable[[Path, bytes], None],
    remade: Callable[..., bytes],
) -> None:
    daemon = live(
        bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2, "--bundle-allow-new-labels"
    )
    before = post(daemon, "/v1/classify", voices.read_bytes(), "audio/wav")
    labels = ["anger", "envy", "neutral", "sadness"]
    drop(bundle, remade(bundle.read_bytes(), labels=labels))
    daemon.until(lambda: "envy" in daemon.get("/v1/model")["labels"])
    after = post(daemon, "/v1/classify", voices.read_bytes(), "audio/wav")
    assert "joy" in before["probabilities"] and "envy" in after["probabilities"]
    daemon.until(lambda: any("envy" in event["probabilities"] for event in daemon.events()))


def test_a_socket_hears_what_a_pipe_hears(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    samples, _ = soundfile.read(voices, dtype="int16")
    daemon = live(tiny_bundle, "--source", voices, *PLAYED)

    async def talk() -> list[Any]:
        url = f"http://127.0.0.1:{daemon.port}/v1/listen?rate_hz={RATE_HZ}&channels=1"
        events = []
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as connection:
            for first in range(0, len(samples), 3200):
                await connection.send_bytes(samples[first : first + 3200].tobytes())
            await connection.send_str("end")
            async for message in connection:
                events.append(json.loads(message.data))
        return events

    events = asyncio.run(talk())
    main = "from ser_toolkit.cli import main; main()"
    piped = subprocess.run(
        [
            sys.executable,
            "-c",
            main,
            "serve-edge",
            tiny_bundle,
            "--source",
            "-",
            "--gate",
            "energy",
        ],
        input=samples.tobytes(),
        capture_output=True,
        check=True,
    )
    expected = [json.loads(line) for line in piped.stdout.splitlines()]
    assert [(e["kind"], e["label"], e["offset_s"]) for e in events] == [
        (e["kind"], e["label"], e["offset_s"]) for e in expected
    ]


@pytest.mark.slow
def test_the_stream_of_events_is_what_the_sinks_get(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    daemon = live(tiny_bundle, "--source", voices, *PLAYED)

    async def follow(after: int | None, count: int) -> list[Any]:
        headers = {} if after is None else {"Last-Event-ID": str(after)}
        url = f"http://127.0.0.1:{daemon.port}/v1/events"
        found: list[Any] = []
        kinds = set()
        async with aiohttp.ClientSession() as session, session.get(url, headers=headers) as answer:
            kind = ""
            async for raw in answer.content:
                line = raw.decode().strip()
                if line.startswith("event:"):
                    kind = line.removeprefix("event:").strip()
                    kinds.add(kind)
                elif line.startswith("data:") and kind == "emotion":
                    found.append(json.loads(line.removeprefix("data:")))
                if len(found) >= count and "live" in kinds:
                    return found
        return found

    first = asyncio.run(asyncio.wait_for(follow(None, 2), 60))
    message = daemon.until(lambda: len(daemon.events()) >= 3 and daemon.events())
    by_id = {event["id"]: event for event in daemon.events()}
    assert all(by_id[event["id"]] == event for event in first)
    again = asyncio.run(asyncio.wait_for(follow(message[0]["sequence"], 2), 60))
    assert again[0]["sequence"] == message[0]["sequence"] + 1


@pytest.mark.slow
def test_the_metrics_count_what_happened(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    daemon = live(tiny_bundle, "--source", voices, *PLAYED)
    daemon.until(lambda: len(daemon.events()) >= 2)
    metrics = daemon.metrics()
    assert metrics["sertk_source_up"] == 1 and metrics["sertk_spool_ok"] == 1
    assert metrics["sertk_audio_seconds_total"] > 3
    assert metrics["sertk_windows_total"] > 0
    assert metrics['sertk_sink_delivered_total{sink="json_lines"}'] >= 2
    assert sum(v for k, v in metrics.items() if k.startswith("sertk_events_total")) >= 2


def test_with_token_and_certificate(
    serve: Callable[..., Any], voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    command = [
        "req",
        "-x509",
        "-newkey",
        "rsa:2048",
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=localhost",
    ]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    names = ["-keyout", "key.pem", "-out", "cert.pem"]
    subprocess.run(["openssl", *command, *names], cwd=tmp_path, check=True, capture_output=True)
    (tmp_path / "token").write_text("a-token-of-many-letters\n")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    tls = ("--http-tls-cert", "cert.pem", "--http-tls-key", "key.pem")
    token = ("--http-token-file", "token", "--http-host", "0.0.0.0", "--http-port", port)
    daemon = serve(tiny_bundle, "--source", voices, *PLAYED, *tls, *token)
    trust = ssl.create_default_context(cafile=str(tmp_path / "cert.pem"))

    def ask(path: str, **headers: str) -> int:
        request = urllib.request.Request(f"https://localhost:{port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=5, context=trust) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            return error.code

    daemon.until(lambda: ask("/readyz") == 200)
    assert ask("/v1/model") == ask("/v1/model", Authorization="Bearer wrong") == 401
    assert ask("/v1/model", Authorization="Bearer a-token-of-many-letters") == 200
    assert "a-token-of-many-letters" not in daemon.output()


# Others -------------------------------------------------------------------------------------------

OTHER_SINK = """
    from __future__ import annotations
    from dataclasses import dataclass
    from ser_toolkit import Device, Event, Outlet, Sink, hookimpl

    REFUSED = set()

    class Pen(Outlet):
        def __init__(self, sink, device):
            self.sink, self.device = sink, device
        def deliver(self, event: Event) -> None:
            with open(self.sink.path, "a") as file:
                if self.sink.moody and event.id not in REFUSED:
                    REFUSED.add(event.id)
                    raise RuntimeError("not today\\nat all")
                file.write(f"{event.sequence} {self.device.model}\\n")
        def close(self) -> None:
            pass

    @dataclass(frozen=True)
    class Diary(Sink):
        name = "diary"
        path: str = ""
        moody: bool = False
        def open(self, device: Device) -> Outlet:
            return Pen(self, device)

    @hookimpl
    def sertk_sinks():
        return [Diary()]
"""


def test_a_sink_of_a_other_delivers_in_order_through_refusals(
    serve: Callable[..., Any], voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    site = tmp_path / "site"
    info = site / "other-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "other.py").write_text(textwrap.dedent(OTHER_SINK))
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[sertk]\nother = other\n")
    sink = ("--sink", f"other:diary,path={tmp_path / 'diary'},moody=yes")
    daemon = serve(
        tiny_bundle,
        *("--source", voices, *sink, "--sink", "json_lines"),
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert daemon.wait() == 0, daemon.output()
    written = [line.split() for line in (tmp_path / "diary").read_text().splitlines()]
    assert [int(number) for number, _ in written] == [e["sequence"] for e in daemon.events()]
    assert {model for _, model in written} == {"tiny"}
    assert "not today at all" in daemon.output()


def test_a_voice_satellite_feeds_it(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, tmp_path_factory: Any
) -> None:
    path = tmp_path_factory.mktemp("w") / "s"
    daemon = live(tiny_bundle, "--source", f"wyoming:unix://{path}", "--gate", "energy")
    # Nobody speaks yet, and all is well: no alarm.
    daemon.until(lambda: daemon.metrics()["sertk_source_up"] == 1)
    assert daemon.get("/v1/state")["source"]["state"] == "waiting"
    samples, _ = soundfile.read(voices, dtype="int16")
    stereo = np.repeat(samples, 2)

    async def speak() -> None:
        from wyoming.event import Event, async_write_event

        _, writer = await asyncio.open_unix_connection(path)
        shape = {"rate": RATE_HZ, "width": 2, "channels": 2}
        await async_write_event(Event("audio-start", shape), writer)
        for first in range(0, len(stereo), 4096):
            pcm = stereo[first : first + 4096].tobytes()
            await async_write_event(Event("audio-chunk", shape, pcm), writer)
        await async_write_event(Event("audio-stop", {}), writer)
        writer.close()
        await writer.wait_closed()

    asyncio.run(speak())
    daemon.until(lambda: len(daemon.events()) >= 4)
    assert daemon.get("/v1/state")["source"]["kind"] == "wyoming"
