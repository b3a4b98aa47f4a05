"""The daemon is killed at every step between an event and its commit; a consumer gets each once."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

Body = dict[str, Any]


@dataclass
class Consumer:
    """A real web server that notes what it was sent to each path, and drops ids it has seen."""

    url: str
    bodies: dict[str, list[Body]]

    def check(self, path: str) -> int:
        """Each event was there once, in order, after seen ids are dropped; how many came twice."""
        first_seen: dict[str, Body] = {}
        for body in self.bodies[path]:
            first_seen.setdefault(body["id"], body)
        once = list(first_seen.values())
        assert [body["offset_s"] for body in once] == list(range(COUNT))
        first = once[0]["sequence"]
        assert [body["sequence"] for body in once] == list(range(first, first + COUNT))
        return len(self.bodies[path]) - COUNT


@pytest.fixture
def consumer() -> Iterator[Consumer]:
    bodies: dict[str, list[Body]] = defaultdict(list)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            bodies[self.path].append(body)
            self.send_response(204)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield Consumer(f"http://127.0.0.1:{server.server_address[1]}", bodies)
        server.shutdown()
        thread.join()


# A daemon in short: it appends until there are COUNT events in all, delivers them, and dies at the
# given steps, in a process for each, without any help of the code under test.
DAEMON = """
import os, pathlib, signal, sqlite3, sys
from ser_toolkit.runtime.events import Device, Outlet, Sink
from sertk_edge.delivery import event_store
from sertk_edge.delivery.sink_worker import SinkWorker
from sertk_edge.sinks.webhook import Webhook
from sertk_edge.delivery.event_queue import EventQueue
from sertk_edge.events import EventDraft

folder, url, count = pathlib.Path(sys.argv[1]), sys.argv[2], int(sys.argv[3])
step, nth = "", 0

def die(at):
    global nth
    if at == step:
        nth -= 1
        if nth == 0:
            os.kill(os.getpid(), signal.SIGKILL)

class Deadly(Outlet):
    def __init__(self, outlet):
        self.outlet = outlet
    def deliver(self, event):
        die("before publish")
        self.outlet.deliver(event)
        die("after publish")
    def close(self):
        self.outlet.close()

class DeadlySink(Sink):
    def __init__(self, path):
        self.path = path
    def open(self, device):
        return Deadly(Webhook(url=url + self.path).open(device))

class DeadlyQueue(EventQueue):
    def append(self, draft):
        die("before append")
        event = super().append(draft)
        die("after append")
        return event
    def commit(self, sink, sequence):
        die("before commit")
        super().commit(sink, sequence)
        die("after commit")

connect = sqlite3.connect
def traced(*args, **options):
    db = connect(*args, **options)
    db.set_trace_callback(lambda sql: die("statement"))
    return db
event_store.sqlite3.connect = traced

def daemon(path):
    event_queue = DeadlyQueue(folder / path[1:])
    device = Device("pi", "Pi", ("anger",), "m", "1")
    worker = SinkWorker("hook", DeadlySink(path), device, event_queue)
    worker.start()
    have = 0 if event_queue.last is None else int(event_queue.last.offset_s) + 1
    for number in range(have, count):
        event_queue.append(EventDraft("started", 0.0, number, "anger", {"anger": 1.0}, -20.0))
    assert worker.drain(20.0)
    assert worker.stop(20.0)
    event_queue.close()

def outcome(path, at="", number=0):
    global step, nth
    child = os.fork()
    if not child:
        step, nth = at, number
        try:
            daemon(path)
        except BaseException as error:
            print(path, at, number, repr(error), file=sys.stderr, flush=True)
            os._exit(1)
        os._exit(0)
    status = os.waitpid(child, 0)[1]
    return os.waitstatus_to_exitcode(status)

for path in sys.argv[4:]:
    *steps, last = path.split("/")[1:]
    for at in steps:
        name, number = at.split("*")
        assert outcome(path, name.replace("_", " "), int(number)) == -signal.SIGKILL
    if last == "end":
        assert outcome(path) == 0
    number = 0
    while last == "statement":
        number += 1
        alive = outcome(f"/{number}", "statement", number) == 0
        assert outcome(f"/{number}") == 0
        last = "" if alive else last
    print(path, number)
"""
COUNT = 4
STEPS = (
    "before_append", "after_append", "before_publish", "after_publish", "before_commit",
    "after_commit",
)  # fmt: skip


def run(folder: Path, consumer: Consumer, path: str) -> int:
    """Run daemons one after the other in a folder; they die as the path says."""
    command = [sys.executable, "-c", DAEMON, str(folder), consumer.url, str(COUNT), path]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert ended.returncode == 0, ended.stderr
    return int(ended.stdout.split()[-1])


@pytest.mark.parametrize("nth", [1, COUNT])
@pytest.mark.parametrize("step", STEPS)
def test_killed_between_publish_and_commit(
    tmp_path: Path, consumer: Consumer, step: str, nth: int
) -> None:
    """While one thread dies at an append, the worker may be anywhere: once more at most."""
    path = f"/{step}*{nth}/end"
    run(tmp_path, consumer, path)
    twice = {int(step in ("after_publish", "before_commit"))}
    assert consumer.check(path) in (twice | {1} if "append" in step else twice)


def test_killed_at_each_step_in_turn(tmp_path: Path, consumer: Consumer) -> None:
    path = "/".join(("", *(f"{step}*1" for step in STEPS), "end"))
    run(tmp_path, consumer, path)
    # Three times where the worker was hit by what was meant for an append.
    assert consumer.check(path) in (2, 3)


@pytest.mark.slow
def test_killed_at_every_statement(tmp_path: Path, consumer: Consumer) -> None:
    """Before each statement that SQLite is given: within every transaction too."""
    last = run(tmp_path, consumer, "/statement")
    twice = [consumer.check(f"/{number}") for number in range(1, last + 1)]
    assert last > 30
    assert set(twice) == {0, 1}
    assert twice[-1] == 0
