"""What a careless or hostile surrounding does to the daemon; and that it goes on."""

from __future__ import annotations

import asyncio
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import aiohttp
import numpy as np
import pytest
import soundfile

from ser_toolkit.runtime.bundle.selftest import synthetic_voice

SERVE = f"{sys.executable} -c 'from ser_toolkit.cli import main; main()' serve-edge"
RATE_HZ = 16_000
PLAYED = ("--realtime", "--repeat", "--gate", "off")
Drop = Callable[[Path, bytes], None]
Remade = Callable[..., bytes]


def shell(line: str, folder: Path) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "XDG_STATE_HOME": str(folder / "home")}
    return subprocess.run(
        ["bash", "-c", line], cwd=folder, env=env, capture_output=True, text=True, timeout=60
    )


def voice(seconds: float) -> bytes:
    return synthetic_voice(seconds, RATE_HZ).astype("<i2").tobytes()


def chunk(pcm: bytes) -> bytes:
    """A Wyoming event with sound."""
    data = json.dumps({"rate": RATE_HZ, "width": 2, "channels": 1}).encode()
    head = {"type": "audio-chunk", "data_length": len(data), "payload_length": len(pcm)}
    return json.dumps(head).encode() + b"\n" + data + pcm


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


# A new bundle -------------------------------------------------------------------------------------


@pytest.mark.slow
def test_what_ends_with_the_old_bundle_is_told_in_its_own_words(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    old = daemon.get("/v1/model")["labels"]
    daemon.until(daemon.events)

    drop(bundle, remade(bundle.read_bytes(), name="turned", labels=old[::-1]))
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "turned")
    ended = daemon.until(lambda: [e for e in daemon.events() if e["kind"] == "ended"])[0]
    assert list(ended["probabilities"]) == old
    daemon.until(lambda: list(daemon.events()[-1]["probabilities"]) == old[::-1])


def test_an_utterance_while_the_bundle_is_replaced_is_classified_to_the_end(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    content = bundle.read_bytes()

    async def talk() -> list[str]:
        url = f"http://127.0.0.1:{daemon.port}/v1/listen"
        async with aiohttp.ClientSession() as session, session.ws_connect(url) as ws:
            await ws.send_bytes(voice(2.0))
            await asyncio.sleep(0.5)
            drop(bundle, remade(content, name="second"))
            while await asyncio.to_thread(lambda: daemon.get("/v1/model")["name"]) != "second":
                await asyncio.sleep(0.1)
            await ws.send_bytes(voice(4.0))
            await ws.send_str("end")
            return [
                json.loads(m.data)["kind"] async for m in ws if m.type is aiohttp.WSMsgType.TEXT
            ]

    message = asyncio.run(asyncio.wait_for(talk(), 30))
    assert message[0] == "started" and message[-1] == "ended"


def test_a_link_that_leads_in_a_circle_is_rejected_and_at_the_start_refused(
    bundle: Path, live: Callable[..., Any], voices: Path, tmp_path: Path
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    bundle.unlink()
    bundle.symlink_to(bundle.name)
    daemon.until(lambda: daemon.get("/v1/model")["rejected"])
    assert daemon.is_ready()
    done = shell(f"{SERVE} {bundle} --source {voices}", tmp_path)
    assert done.returncode == 1 and done.stderr.startswith("Error: cannot ")


@pytest.mark.slow
def test_what_is_no_file_or_a_huge_one_does_not_end_the_watch(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    content, upload = bundle.read_bytes(), bundle.with_name("upload")

    def reason() -> str:
        return str((daemon.get("/v1/model")["rejected"] or {}).get("reason"))

    os.mkfifo(upload)
    upload.replace(bundle)
    daemon.until(lambda: "no regular file" in reason())
    upload.touch()
    os.truncate(upload, 500 << 20)
    upload.replace(bundle)
    daemon.until(lambda: "500 MiB" in reason())
    bundle.unlink()
    bundle.mkdir()
    daemon.until(lambda: "Is a directory" in reason())
    bundle.rmdir()
    drop(bundle, remade(content, name="second"))
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "second")
    status = Path(f"/proc/{daemon.process.pid}/status").read_text()
    peak_kib = int(status.partition("VmHWM:")[2].split()[0])
    assert peak_kib < 400 << 10


# Sound that stops coming --------------------------------------------------------------------------


def test_an_emotion_ends_when_the_client_who_spoke_has_gone(
    live: Callable[..., Any], tiny_bundle: Path
) -> None:
    port = free_port()
    daemon = live(tiny_bundle, "--source", f"wyoming:tcp://127.0.0.1:{port}", "--gate", "off")
    with socket.create_connection(("127.0.0.1", port)) as client:
        pcm = voice(4.0)
        for first in range(0, len(pcm), 3200):
            client.sendall(chunk(pcm[first : first + 3200]))
        daemon.until(daemon.events)
    daemon.until(lambda: [event["kind"] for event in daemon.events()] == ["started", "ended"])
    daemon.until(lambda: daemon.get("/v1/state")["label"] is None)


def test_any_number_of_clients_adds_a_bounded_number_of_metrics(
    live: Callable[..., Any], tiny_bundle: Path
) -> None:
    port = free_port()
    source = ("--source", f"wyoming:tcp://127.0.0.1:{port}", "--source-stall-s", 0.5)
    daemon = live(tiny_bundle, *source, "--gate", "off")
    for _ in range(3):
        with socket.create_connection(("127.0.0.1", port)) as client:
            client.sendall(chunk(voice(0.1)))
            daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "ok")
            daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "waiting")
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    assert len([line for line in lines if line.startswith("sertk_gaps_total{")]) == 1


# Its end ------------------------------------------------------------------------------------------


def test_a_signal_after_the_end_of_a_file_is_heeded_at_once(
    serve: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    nobody = f"webhook,url=http://127.0.0.1:{free_port()}/"
    daemon = serve(tiny_bundle, "--source", voices, "--gate", "energy", "--sink", nobody)
    daemon.until(lambda: daemon.output().count("recognizer: ended") == 4)
    time.sleep(0.5)
    assert daemon.process.poll() is None
    assert daemon.stop(signal.SIGTERM) < 5
    assert "wait in the state folder" in daemon.output()


@pytest.mark.slow
def test_what_could_not_be_written_is_told_by_the_exit_status(
    voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    run = f"{SERVE} {tiny_bundle} --source {voices} --gate energy"
    full = shell(f"{run} > /dev/full", tmp_path)
    assert full.returncode == 1 and "are lost" in full.stderr
    # A folder keeps nothing for a sink that forgets.
    kept = shell(f"{run} --state-dir state > /dev/full", tmp_path)
    assert kept.returncode == 1 and "are lost" in kept.stderr
    closed = shell(f"{run} | head -n 0", tmp_path)
    assert closed.returncode == 0 and "Traceback" not in closed.stderr


HANGS = """
import pathlib, time
from ser_toolkit.runtime.inference.tflite import TfliteModel
once = TfliteModel._one
def one(self, window):
    while pathlib.Path("hang").exists():
        pathlib.Path("hangs").touch()
        time.sleep(0.1)
    return once(self, window)
TfliteModel._one = one
"""


@pytest.mark.slow
def test_a_network_that_hangs_does_not_hold_up_the_end(
    live: Callable[..., Any],
    voices: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "sitecustomize.py").write_text(HANGS)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    daemon = live(tiny_bundle, "--source", voices, *PLAYED)
    daemon.until(daemon.events)
    (tmp_path / "hang").touch()
    daemon.until((tmp_path / "hangs").exists)
    before_s = time.time()
    assert daemon.stop() < 3
    (stuck,) = (line for line in daemon.output().splitlines() if "is stuck" in line)
    assert datetime.fromisoformat(stuck.split()[0]).timestamp() - before_s < 1


# What it is started with --------------------------------------------------------------------------


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_closed_descriptors_do_no_harm(
    closed: str, voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    sinks = "--sink json_lines --sink json_lines,path=told.jsonl --sink console"
    run = f"{SERVE} {tiny_bundle} --source {voices} --gate energy --state-dir state {sinks}"
    done = shell(f"{run} {closed}", tmp_path)
    assert done.returncode == 0 and "Traceback" not in done.stderr
    message = [json.loads(line) for line in (tmp_path / "told.jsonl").read_text().splitlines()]
    assert [message[0]["kind"], message[-1]["kind"]] == ["started", "ended"]
    # Nothing was written into a file that had the number of standard output.
    assert b'{"id"' not in (tmp_path / "state/spool.lock").read_bytes()
    assert not list((tmp_path / "state").glob("*.damaged*"))


def test_a_closed_input_is_named(tiny_bundle: Path, tmp_path: Path) -> None:
    done = shell(f"{SERVE} {tiny_bundle} --source - <&-", tmp_path)
    assert done.returncode == 1 and "standard input is closed" in done.stderr


@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        ("[http]\nport = " + "9" * 400, 2, "'http.port' expects -1 to 65535"),
        ("[http]\nport = " + "9" * 5000, 2, "is not TOML"),
        ("x = " + "[" * 5000, 2, "is not TOML"),
        ("[http]\nmax_connections = 0", 2, "'http.max_connections' expects 1 to"),
        ("[http]\nheader_timeout_s = 0", 2, "'http.header_timeout_s' expects 0.1 to"),
        ('[device]\nstate_dir = "a\\u0000b"', 1, "cannot be used: embedded null byte"),
        ('[bundle]\ndirectory = "a\\u0000b"', 1, "null"),
        ('[device]\nid = "no blanks"', 2, "'device.id' expects up to 64 letters"),
        ('[http]\nhost = "0.0.0.0"\nport = 9', 2, "there is no token. Give --http-token-file"),
    ],
)
def test_settings_out_of_all_bounds_are_one_line(
    text: str, status: int, message: str, voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "edge.toml").write_text(text)
    done = shell(f"{SERVE} {tiny_bundle} --source {voices} --config edge.toml", tmp_path)
    assert done.returncode == status and message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_user_without_home_is_told_what_to_give(require: Callable[..., None]) -> None:
    require("root", os.geteuid() == 0, "run as root")
    # All is loaded before: nobody else may read a checkout in a folder of our own.
    code = (
        "import os, pwd, sertk_edge.service.identity as i; os.setgroups([]); os.setuid(54321); "
        "i.state_dir(i.DeviceSettings(), {})"
    )
    command = ["env", "-u", "HOME", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True)
    assert "SertkError: this user has no home folder" in done.stderr


def test_check_finds_files_that_sinks_need(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    sinks = "--sink mqtt,host=b,username=u,password_file=none --sink mqtt,host=b,tls=1,ca_file=no"
    line = f"{SERVE} {tiny_bundle} --check --source {voices} --debug-audio-dir /dev/null/x {sinks}"
    done = shell(line, tmp_path)
    problems = [text for text in done.stdout.splitlines() if text.startswith("problem")]
    assert done.returncode == 1 and len(problems) == 3
    assert "none" in problems[0] and "no" in problems[1] and "cannot record" in problems[2]


BOGUS = {
    "mqtt,host=b,username=u,password_file=empty": "empty expects one line of text",
    "mqtt,host=b,tls=true,ca_file=text": "'text' expects certificates (PEM)",
    "mqtt,host=b,tls=true,cert_file=text": "'text' cannot be used as our certificate",
    "webhook,url=http://b/,token_file=empty": "empty expects one line of text",
    "webhook,url=https://b/,ca_file=text": "'text' expects certificates (PEM)",
    "json_lines,path=folder": "'folder' is a folder",
    "json_lines,path=/proc/events": "'/proc/events' cannot be written",
}


def test_check_looks_into_what_sinks_need(voices: Path, tiny_bundle: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    (tmp_path / "text").write_text("no PEM\n")
    (tmp_path / "folder").mkdir()
    sinks = " ".join(f"--sink {sink}" for sink in BOGUS)
    state = tmp_path / "state"
    line = f"{SERVE} {tiny_bundle} --check --source {voices} --state-dir {state} {sinks}"
    done = shell(f"{line} --debug-audio-dir /proc/self", tmp_path)
    problems = [text for text in done.stdout.splitlines() if text.startswith("problem")]
    assert done.returncode == 1 and len(problems) == len(BOGUS) + 1, done.stdout
    for problem, message in zip(problems, [*BOGUS.values(), "cannot record"], strict=True):
        assert message in problem


def test_check_leaves_nothing_where_sinks_will_write(
    voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    (tmp_path / "old").write_text("as it was\n")
    sinks = "--sink json_lines,path=old --sink json_lines,path=new --debug-audio-dir audio"
    done = shell(f"{SERVE} {tiny_bundle} --check --source {voices} {sinks}", tmp_path)
    assert done.returncode == 0, done.stdout
    assert (tmp_path / "old").read_text() == "as it was\n"
    assert not (tmp_path / "new").exists() and not list((tmp_path / "audio").iterdir())


# What is sent -------------------------------------------------------------------------------------


def test_samples_without_bounds_are_no_fault_of_ours(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    daemon = live(tiny_bundle, "--source", voices, *PLAYED)
    loud = io.BytesIO()
    samples = np.random.default_rng(0).normal(0, 1e30, 32_000).astype(np.float32)
    soundfile.write(loud, samples, RATE_HZ, format="WAV", subtype="FLOAT")
    url = f"http://127.0.0.1:{daemon.port}/v1/classify"
    request = urllib.request.Request(url, loud.getvalue(), {"Content-Type": "audio/wav"})
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=30)
    with refused.value as answer:
        assert answer.code == 422 and b"samples up to 4.49" in answer.read()
    (tmp_path / "loud.wav").write_bytes(loud.getvalue())
    done = shell(f"{SERVE} {tiny_bundle} --source loud.wav", tmp_path)
    assert done.returncode == 1 and "'loud.wav' has samples up to " in done.stderr
    assert "Warning" not in daemon.output() + done.stderr
