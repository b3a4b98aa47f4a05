"""What goes wrong while the daemon runs, caused for real: it goes on, and nothing is lost."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

# Only the clock on the wall is moved, by the seconds in a file; sleeping goes on as ever.
CLOCK = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/time.h>
#include <time.h>
static long jump(void) {
  long by = 0;
  FILE *file = fopen(getenv("CLOCK_FILE"), "r");
  if (file) { if (fscanf(file, "%ld", &by) != 1) by = 0; fclose(file); }
  return by;
}
int clock_gettime(clockid_t which, struct timespec *now) {
  int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
  int status = real(which, now);
  if (!status && which == CLOCK_REALTIME) now->tv_sec += jump();
  return status;
}
int gettimeofday(struct timeval *now, void *zone) {
  int (*real)(struct timeval *, void *) = dlsym(RTLD_NEXT, "gettimeofday");
  int status = real(now, zone);
  if (!status) now->tv_sec += jump();
  return status;
}
time_t time(time_t *out) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (out) *out = now.tv_sec;
  return now.tv_sec;
}
"""
SERVE = (sys.executable, "-c", "from ser_toolkit.cli import main; main()", "serve-edge")
PLAYED = ("--realtime", "--repeat", "--gate", "energy")
Drop = Callable[[Path, bytes], None]
Remade = Callable[..., bytes]


# Bundles ------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_bad_bundles_are_rejected_and_a_good_one_is_taken(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    good, name = bundle.read_bytes(), daemon.get("/v1/model")["name"]
    bad = {
        "truncated": good[: len(good) // 3],
        "corrupt": good[:5000] + bytes(200) + good[5200:],
        "wrong labels": remade(good, labels=["anger", "envy", "neutral", "sadness"]),
        "empty": b"",
    }
    for content in bad.values():
        daemon.until(lambda: daemon.events()[-1:])
        seen = daemon.get("/v1/model")["rejected"]
        drop(bundle, content)
        daemon.until(lambda seen=seen: daemon.get("/v1/model")["rejected"] not in (None, seen))
        model = daemon.get("/v1/model")
        assert (model["name"], model["rejected"]["file"]) == (name, "current.sertk")
        assert daemon.get("/v1/state")["model"]["state"] == "rejected"
        before = len(daemon.events())
        daemon.until(lambda before=before: len(daemon.events()) > before)
    drop(bundle, remade(good, name="second"))
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "second")
    assert daemon.get("/v1/model")["rejected"] is None
    before = len(daemon.events())
    daemon.until(lambda: len(daemon.events()) > before + 1)
    sequences = [event["sequence"] for event in daemon.events()]
    assert sequences == list(range(sequences[0], sequences[0] + len(sequences)))


def test_the_old_file_put_back_ends_the_complaint_about_a_bad_one(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop
) -> None:
    daemon = live(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    good, before = bundle.read_bytes(), daemon.get("/v1/state")["model"]
    assert before["sha256"] == hashlib.sha256(good).hexdigest()
    drop(bundle, good[:-1])
    daemon.until(lambda: daemon.get("/v1/model")["rejected"])
    drop(bundle, good)
    daemon.until(lambda: daemon.get("/v1/model")["rejected"] is None)
    assert daemon.get("/v1/state")["model"] == before
    # Nothing was taken: it is the one that answered all the time.
    with urllib.request.urlopen(f"http://127.0.0.1:{daemon.port}/metrics") as answer:
        swaps = re.findall(r"^sertk_bundle_swaps_total.*", answer.read().decode(), re.MULTILINE)
    assert swaps == ['sertk_bundle_swaps_total{result="rejected"} 1.0']


@pytest.mark.slow
def test_a_hup_takes_a_new_bundle_and_never_ends_the_process(
    bundle: Path, live: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    quiet = ("--bundle-watch-s", 0, "--log-level", "debug")
    daemon = live(bundle, "--source", voices, *PLAYED, *quiet)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: "the same as before" in daemon.output())
    drop(bundle, remade(bundle.read_bytes(), name="second"))
    # Longer than a changed file must be at rest to be taken: nobody asked for it.
    time.sleep(0.8)
    assert daemon.get("/v1/model")["name"] == "tiny"
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "second")


def test_a_bundle_that_is_dropped_in_while_it_starts_is_taken(
    bundle: Path, paged: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    second = remade(bundle.read_bytes(), name="second")
    daemon = paged(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0.2)
    # The first one was read, and is being tried.
    daemon.until(lambda: is_trying(daemon))
    drop(bundle, second)
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "second")


def test_a_hup_while_it_starts_is_not_forgotten(
    bundle: Path, paged: Callable[..., Any], voices: Path, drop: Drop, remade: Remade
) -> None:
    second = remade(bundle.read_bytes(), name="second")
    daemon = paged(bundle, "--source", voices, *PLAYED, "--bundle-watch-s", 0)
    daemon.until(lambda: is_trying(daemon))
    drop(bundle, second)
    daemon.process.send_signal(signal.SIGHUP)
    daemon.until(lambda: daemon.get("/v1/model")["name"] == "second")


def is_trying(daemon: Any) -> bool:
    """Whether a bundle is being tried in a child process."""
    return bool(psutil.Process(daemon.process.pid).children())


# Microphones --------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_microphone_that_is_pulled_out_comes_back(
    pulse: Any, live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    daemon = live(tiny_bundle, "--source", "mic", "--gate", "energy")
    pulse.play(voices)
    daemon.until(daemon.events)
    pulse.stop()
    daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "lost")
    assert daemon.get("/healthz")
    # What went on when the sound was gone has ended, as far as anybody can tell.
    pulse.start()
    daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "ok", 30)
    before = len(daemon.events())
    pulse.play(voices)
    daemon.until(lambda: len(daemon.events()) > before)


@pytest.mark.slow
def test_a_microphone_that_hangs_is_opened_anew(
    pulse: Any, live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    daemon = live(tiny_bundle, "--gate", "energy", "--source-stall-s", 1)
    pulse.signal(signal.SIGSTOP)
    try:
        daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] != "ok")
        daemon.until(lambda: not daemon.is_ready())
    finally:
        pulse.signal(signal.SIGCONT)
    daemon.until(lambda: daemon.get("/v1/state")["source"]["state"] == "ok", 30)
    pulse.play(voices)
    daemon.until(daemon.events)


@pytest.mark.slow
def test_a_daemon_that_was_frozen_counts_what_it_missed(
    pulse: Any, live: Callable[..., Any], voices: Path, tiny_bundle: Path
) -> None:
    # At this rate the pipe of the process that captures is full in half a second.
    daemon = live(tiny_bundle, "--gate", "energy", "--rate-hz", 48_000, "--channels", 2)
    daemon.process.send_signal(signal.SIGSTOP)
    # Three seconds wait in that process; beyond them sound is lost.
    time.sleep(4.5)
    daemon.process.send_signal(signal.SIGCONT)
    daemon.until(lambda: "audio is missing" in daemon.output())
    pulse.play(voices)
    daemon.until(daemon.events)


@pytest.mark.slow
def test_sound_that_comes_faster_than_it_is_classified_is_counted_and_named(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, slow_gate: Callable[[float], Any]
) -> None:
    played = ("--source", voices, "--realtime", "--repeat", "--gate", "silero")
    daemon = live(tiny_bundle, *played, env=slow_gate(1.0))
    daemon.until(lambda: "audio is missing" in daemon.output(), 60)
    assert re.search(r"audio is missing .*reason=overflow", daemon.output())
    metrics = daemon.metrics()
    assert metrics['sertk_gaps_total{reason="overflow"}'] == 1
    # All that waited: ten seconds, and the tenth that was too much.
    assert 9.9 < metrics["sertk_lost_audio_seconds_total"] < 10.2


# Time, power, neighbours --------------------------------------------------------------------------


@pytest.fixture
def clock(require: Callable[..., None], tmp_path: Path) -> tuple[Path, dict[str, str]]:
    """A file with the seconds by which the clock is wrong, and what makes a process heed it."""
    compiler = shutil.which("cc") or shutil.which("gcc")
    require("cc", compiler is not None, "apt-get install gcc libc6-dev")
    source, library, file = (tmp_path / name for name in ("clock.c", "clock.so", "clock"))
    source.write_text(CLOCK)
    build = [str(compiler), "-shared", "-fPIC", "-o", str(library), str(source), "-ldl"]
    subprocess.run(build, check=True)
    file.write_text("0")
    return file, {"LD_PRELOAD": str(library), "CLOCK_FILE": str(file)}


@pytest.mark.slow
@pytest.mark.parametrize("days", [1000, -40])
def test_a_clock_that_jumps_changes_neither_order_nor_numbers(
    days: int,
    live: Callable[..., Any],
    clock: tuple[Path, dict[str, str]],
    voices: Path,
    tiny_bundle: Path,
    tmp_path: Path,
) -> None:
    file, env = clock
    state = ("--state-dir", tmp_path / "state")
    daemon = live(tiny_bundle, "--source", voices, *PLAYED, *state, env=env)
    daemon.until(lambda: len(daemon.events()) >= 2)
    file.write_text(str(days * 86400))
    before = len(daemon.events())
    daemon.until(lambda: len(daemon.events()) >= before + 3)
    events = daemon.events()
    jumped = [b["time_s"] - a["time_s"] for a, b in pairwise(events)]
    assert max(map(abs, jumped)) > 86400
    sequences = [event["sequence"] for event in events]
    assert sequences == list(range(sequences[0], sequences[0] + len(events)))
    offsets = [event["offset_s"] for event in events]
    assert offsets == sorted(offsets)
    assert daemon.stop() < 5
    # And over a restart with the clock still wrong.
    again = live(tiny_bundle, "--source", voices, *PLAYED, *state, env=env)
    again.until(lambda: len(again.events()) > len(events) + 1)
    message = [event["sequence"] for event in again.events()]
    assert message == sorted(set(message))


class Consumer(ThreadingHTTPServer):
    """A web server that takes events, can be told to fail, and remembers what it took."""

    def __init__(self) -> None:
        self.works = True
        self.taken: list[dict[str, Any]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/"

    def once(self) -> list[int]:
        """Sequence numbers, without those whose id was seen before."""
        seen = {event["id"]: event["sequence"] for event in self.taken}
        return list(seen.values())


class _Handler(BaseHTTPRequestHandler):
    server: Consumer

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.server.works:
            self.server.taken.append(json.loads(body))
        self.send_response(204 if self.server.works else 503)
        self.end_headers()

    def log_message(self, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    server = Consumer()
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.slow
def test_killed_at_any_moment_it_loses_and_doubles_nothing(
    live: Callable[..., Any], consumer: Consumer, voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    sinks = ("--sink", f"webhook,url={consumer.url}", "--sink", "json_lines,path=told.jsonl")
    state = ("--state-dir", tmp_path / "state")
    for life in range(4):
        consumer.works = life % 2 == 1
        daemon = live(tiny_bundle, "--source", voices, *PLAYED, *sinks, *state)
        path = tmp_path / "told.jsonl"
        before = path.stat().st_size if path.exists() else 0
        daemon.until(lambda p=path, b=before: p.exists() and p.stat().st_size > b)
        time.sleep(0.05 * life)
        daemon.process.kill()
        daemon.process.wait()
    consumer.works = True
    last = live(tiny_bundle, "--source", voices, *PLAYED, *sinks, *state)
    last.until(lambda: last.get("/v1/state")["sinks"][0]["pending"] == 0)
    last.until(lambda: len(consumer.taken) > 2)
    last.stop()
    found = consumer.once()
    assert found == sorted(found) and len(set(found)) == len(found)
    kinds = {event["sequence"]: event["kind"] for event in consumer.taken}
    ordered = [kinds[number] for number in found]
    # After each death the emotion that went on is ended, so that two never start in a row.
    assert all((a, b) != ("started", "started") for a, b in pairwise(ordered))
    # What a line was written for was stored before: nothing that was told anywhere is missing.
    message = [json.loads(line)["sequence"] for line in path.read_text().splitlines()]
    assert set(message) <= set(found)


def test_a_state_folder_that_cannot_be_written_to_is_told_of(
    paged: Callable[..., Any],
    voices: Path,
    tiny_bundle: Path,
    tmp_path: Path,
    require: Callable[..., None],
) -> None:
    require("root", os.geteuid() == 0 and bool(shutil.which("unshare")), "run as root")
    folder = tmp_path / "state"
    folder.mkdir()
    mount = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs -o ro none "$0" && exec "$@"', folder]
    python = {"python": [*map(str, mount), sys.executable]}
    sinks = ("--sink", "json_lines", "--sink", "webhook,url=http://127.0.0.1:1/")
    args = (tiny_bundle, "--source", voices, *PLAYED, *sinks, "--state-dir", folder)
    daemon = paged(*args, **python).ready()
    spool = daemon.get("/v1/state")["spool"]
    assert spool["state"] == "problem" and "Read-only file system" in spool["detail"]
    assert "events are kept in memory" in daemon.output()
    assert daemon.metrics()["sertk_spool_ok"] == 0
    checked = subprocess.run(
        [*python["python"], *SERVE[1:], *args, "--check"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert checked.returncode == 1 and "problem  state" in checked.stdout


def test_two_daemons_on_one_port(live: Callable[..., Any], voices: Path, tiny_bundle: Path) -> None:
    first = live(tiny_bundle, "--source", voices, *PLAYED)
    port = ("--http-port", str(first.port))
    second = subprocess.run(
        [*SERVE, tiny_bundle, "--source", voices, *PLAYED, *port],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert second.returncode == 1 and "Traceback" not in second.stderr
    assert str(first.port) in second.stderr.splitlines()[-1]
    assert first.get("/readyz")["ready"]


def test_two_daemons_with_one_state(
    live: Callable[..., Any], voices: Path, tiny_bundle: Path, tmp_path: Path
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    first = live(tiny_bundle, "--source", voices, *PLAYED, *state)
    second = subprocess.run(
        [*SERVE, tiny_bundle, "--source", voices, *state],
        capture_output=True,
        text=True,
        timeout=60,
        env={**os.environ},
    )
    assert second.returncode == 1 and "another daemon" in second.stderr.splitlines()[-1]
    assert first.get("/readyz")["ready"]
