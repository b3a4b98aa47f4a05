"""All sink workers together."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping, Sequence

from ser_toolkit.runtime.component import fields_of
from ser_toolkit.runtime.events import Device, Sink

from .event_queue import EventQueue
from .sink_worker import SinkStatus, SinkWorker


class Dispatcher:
    """A worker for each sink, each in its thread."""

    def __init__(self, sinks: Mapping[str, Sink], device: Device, event_queue: EventQueue) -> None:
        keys = keys_of(list(sinks.values()))
        event_queue.forget(keys)
        self._durable = {name for name, sink in sinks.items() if sink.durable}
        self._workers = [
            SinkWorker(name, sink, device, event_queue, key=key)
            for (name, sink), key in zip(sinks.items(), keys, strict=True)
        ]

    def start(self) -> None:
        """Open every sink, and deliver from now on."""
        for worker in self._workers:
            worker.start()

    def statuses(self) -> Sequence[SinkStatus]:
        """Return how each sink is."""
        return [worker.status for worker in self._workers]

    def reopen(self, device: Device) -> None:
        """Introduce the device anew to every sink: it has another bundle."""
        for worker in self._workers:
            worker.reopen(device)

    def report(self, problem: str) -> None:
        """Let every sink show why no sound arrives; empty: it does."""
        for worker in self._workers:
            worker.report(problem)

    def check(self) -> None:
        """Raise StdoutClosedError where nobody reads standard output any more."""
        for worker in self._workers:
            worker.check()

    def drain(self, timeout_s: float) -> bool:
        """Wait until everything is delivered; whether it is."""
        end = time.monotonic() + timeout_s
        return all(c.drain(max(0.0, end - time.monotonic())) for c in self._workers)

    def stop(self, timeout_s: float) -> None:
        """End every worker; one that hangs is left behind, and takes no time from the others."""
        for worker in self._workers:
            worker.stop(0)
        end = time.monotonic() + timeout_s
        for worker in self._workers:
            worker.stop(max(0.0, end - time.monotonic()))

    def undelivered(self, durable: bool) -> int:
        """Return events that some sink has not had: one that gets them at the next start, or one
        not.
        """
        found = [s.pending for s in self.statuses() if (s.name in self._durable) == durable]
        return max(found, default=0)


def keys_of(sinks: Sequence[Sink]) -> list[str]:
    """Return the key of each sink in the queue, which other sinks do not change."""
    keys = [f"{sink.name}:{_digest(sink)}" for sink in sinks]
    seen = [keys[:at].count(key) for at, key in enumerate(keys)]
    return [f"{key}#{n + 1}" if n else key for key, n in zip(keys, seen, strict=True)]


def _digest(sink: Sink) -> str:
    fields = fields_of(sink)
    identity = {name: fields.get(name) for name in sink.identified_by or fields}
    text = json.dumps(identity, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "backslashreplace")).hexdigest()[:8]
