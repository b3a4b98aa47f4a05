"""What is counted, for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Literal, Protocol

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from ser_toolkit.runtime.events import Event

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
SECONDS = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LISTENING = ("ok", "waiting", "starting")


class SinkCounts(Protocol):
    """The counts of a sink."""

    @property
    def name(self) -> str: ...
    @property
    def state(self) -> str: ...
    @property
    def pending(self) -> int: ...
    @property
    def delivered(self) -> int: ...
    @property
    def failures(self) -> int: ...
    @property
    def dropped(self) -> int: ...
    @property
    def expired(self) -> int: ...


class Metrics:
    """A registry of its own. Any thread may count; `sinks` is called at every scrape."""

    def __init__(self, sinks: Callable[[], Iterable[SinkCounts]] = tuple) -> None:
        self.registry = CollectorRegistry()
        self._events = self._counter("events", "Changes of the emotion.", "kind", "label")
        self._windows = self._counter("windows", "Windows classified.")
        self._utterances = self._counter("utterances", "Utterances detected.")
        self._audio = self._counter("audio_seconds", "Sound taken in.")
        self._work = self._counter("work_seconds", "Time spent on that sound; below it, or late.")
        self._lag = self._gauge("lag_seconds", "Sound that waits to be classified.")
        self._gaps = self._counter("gaps", "Times that sound was missing.", "reason")
        self._lost = self._counter("lost_audio_seconds", "Sound that was missing, where known.")
        self._source = self._gauge("source_up", "1 while sound comes, or may come from clients.")
        self._restarts = self._counter("source_restarts", "Times that the source was lost.")
        self._event_queue = self._gauge("spool_ok", "1 while undelivered events are kept on disk.")
        self._swaps = self._counter("bundle_swaps", "Bundles dropped in.", "result")
        self._model = self._gauge("model_info", "The bundle that answers.", "name", "sha256")
        self._requests = self._counter("http_requests", "Answers.", "method", "route", "status")
        self._inference = Histogram(
            "sertk_inference_seconds",
            "Time from sound to prediction, per window.",
            buckets=SECONDS,
            registry=self.registry,
        )
        self._up = False
        self._event_queue.set(1)
        ProcessCollector(registry=self.registry)
        self.registry.register(_Sinks(sinks))

    def audio(self, audio_s: float, windows: int, utterances: int, work_s: float) -> None:
        """Count audio that was taken in, and the windows and utterances that it completed."""
        self._audio.inc(audio_s)
        self._work.inc(work_s)
        self._windows.inc(windows)
        self._utterances.inc(utterances)
        for _ in range(windows):
            self._inference.observe(work_s / windows)

    def event(self, event: Event) -> None:
        """Count a change of the emotion."""
        self._events.labels(event.kind, event.label).inc()

    def lag(self, seconds: float) -> None:
        """Set how much audio waits."""
        self._lag.set(seconds)

    def gap(self, reason: Literal["overflow", "lost"], lost_s: float) -> None:
        """Count missing audio."""
        self._gaps.labels(reason).inc()
        self._lost.inc(lost_s)

    def source(self, state: str, is_up: bool) -> None:
        """Set the state of the source; count one that goes after it was there."""
        if self._up and state not in (*LISTENING, "ended"):
            self._restarts.inc()
        self._up = is_up or (self._up and state in LISTENING)
        self._source.set(is_up)

    def event_queue(self, is_ok: bool) -> None:
        """Set whether events are kept on disk."""
        self._event_queue.set(is_ok)

    def swap(self, is_taken: bool) -> None:
        """Count a bundle that was dropped in."""
        self._swaps.labels("taken" if is_taken else "rejected").inc()

    def model(self, name: str, sha256: str) -> None:
        """Set the bundle that answers from now on."""
        self._model.clear()
        self._model.labels(name, sha256).set(1)

    def request(self, method: str, route: str, status: int) -> None:
        """Count an answer."""
        self._requests.labels(method, route, str(status)).inc()

    def text(self) -> bytes:
        """Return everything, as Prometheus reads it."""
        return generate_latest(self.registry)

    def _counter(self, name: str, about: str, *labels: str) -> Counter:
        return Counter(f"sertk_{name}_total", about, labels, registry=self.registry)

    def _gauge(self, name: str, about: str, *labels: str) -> Gauge:
        return Gauge(f"sertk_{name}", about, labels, registry=self.registry)


class _Sinks(Collector):
    """Metrics that the sinks keep themselves."""

    def __init__(self, sinks: Callable[[], Iterable[SinkCounts]]) -> None:
        self._sinks = sinks

    def collect(self) -> Iterator[Metric]:
        """Yield one sample per sink in each family."""
        delivered = _counter("delivered", "Events that the sink has taken.")
        failures = _counter("failures", "Attempts to deliver that failed.")
        dropped = _counter("dropped", "Events lost because too many waited.")
        expired = _counter("expired", "Events that were too old for the sink.")
        pending = _gauge("pending", "Events that wait for the sink.")
        up = _gauge("up", "1 while the sink takes events.")
        for sink in self._sinks():
            delivered.add_metric([sink.name], sink.delivered)
            failures.add_metric([sink.name], sink.failures)
            dropped.add_metric([sink.name], sink.dropped)
            expired.add_metric([sink.name], sink.expired)
            pending.add_metric([sink.name], sink.pending)
            up.add_metric([sink.name], float(sink.state == "ok"))
        yield from (delivered, failures, dropped, expired, pending, up)


def _counter(name: str, about: str) -> CounterMetricFamily:
    return CounterMetricFamily(f"sertk_sink_{name}_total", about, labels=["sink"])


def _gauge(name: str, about: str) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"sertk_sink_{name}", about, labels=["sink"])
