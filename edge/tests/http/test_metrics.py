"""What Prometheus reads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from prometheus_client import REGISTRY
from prometheus_client.parser import text_string_to_metric_families

from ser_toolkit.runtime.events import Event
from sertk_edge.http.metrics import Metrics


@dataclass(frozen=True)
class Sink:
    """What a worker says of itself."""

    name: str
    state: str = "ok"
    pending: int = 0
    delivered: int = 0
    failures: int = 0
    dropped: int = 0
    expired: int = 0


def values(metrics: Metrics) -> dict[tuple[str, ...], float]:
    """Every sample by its name and the values of its labels, as a scraper understands them."""
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(metrics.text().decode())
        for sample in family.samples
    }


def test_what_is_detected_is_counted() -> None:
    metrics = Metrics()
    metrics.audio(0.5, 0, 0, 0.001)
    metrics.audio(1.5, 2, 1, 0.020)
    event = Event("a", 1, "started", 1.0, 1.0, "joy", {"joy": 1.0}, -20.0)
    metrics.event(event)
    metrics.event(event)
    metrics.lag(0.25)
    metrics.gap("overflow", 0.3)
    metrics.gap("lost", 0.0)
    found = values(metrics)
    assert found["sertk_audio_seconds_total",] == 2.0
    assert found["sertk_windows_total",] == 2
    assert found["sertk_utterances_total",] == 1
    assert abs(found["sertk_work_seconds_total",] - 0.021) < 1e-9
    assert found["sertk_inference_seconds_count",] == 2
    assert found["sertk_inference_seconds_bucket", "0.005"] == 0
    assert found["sertk_inference_seconds_bucket", "0.01"] == 2
    assert found["sertk_events_total", "started", "joy"] == 2
    assert found["sertk_lag_seconds",] == 0.25
    assert found["sertk_gaps_total", "overflow"] == found["sertk_gaps_total", "lost"] == 1
    assert found["sertk_lost_audio_seconds_total",] == 0.3


def test_a_source_that_was_there_and_goes_is_a_restart() -> None:
    metrics = Metrics()
    for state, up, restarts in [
        ("starting", 0, 0),
        ("lost", 0, 0),
        ("ok", 1, 0),
        ("ok", 1, 0),
        ("lost", 0, 1),
        ("lost", 0, 1),
        ("starting", 0, 1),
        ("ok", 1, 1),
        ("waiting", 0, 1),
        ("lost", 0, 2),
        ("ok", 1, 2),
        ("waiting", 1, 2),
        ("ok", 1, 2),
        ("ended", 0, 2),
    ]:
        metrics.source(state, bool(up))
        found = values(metrics)
        assert (found["sertk_source_up",], found["sertk_source_restarts_total",]) == (up, restarts)


def test_bundles_and_the_spool() -> None:
    metrics = Metrics()
    metrics.model("first", "0" * 64)
    metrics.model("second", "1" * 64)
    metrics.swap(True)
    metrics.swap(False)
    metrics.event_queue(False)
    found = values(metrics)
    models = [key[1:] for key in found if key[0] == "sertk_model_info"]
    assert models == [("second", "1" * 64)]
    assert found["sertk_bundle_swaps_total", "taken"] == 1
    assert found["sertk_bundle_swaps_total", "rejected"] == 1
    assert found["sertk_spool_ok",] == 0


def test_sinks_are_asked_when_somebody_looks() -> None:
    sinks = [Sink("mqtt", "failing", 3, 10, 2, 1), Sink("webhook", delivered=5)]
    metrics = Metrics(lambda: sinks)
    found = values(metrics)
    assert found["sertk_sink_pending", "mqtt"] == 3
    assert found["sertk_sink_delivered_total", "mqtt"] == 10
    assert found["sertk_sink_failures_total", "mqtt"] == 2
    assert found["sertk_sink_dropped_total", "mqtt"] == 1
    assert (found["sertk_sink_up", "mqtt"], found["sertk_sink_up", "webhook"]) == (0, 1)
    sinks[0] = Sink("mqtt", delivered=13)
    assert values(metrics)["sertk_sink_delivered_total", "mqtt"] == 13


def test_memory_and_time_of_the_process_are_there_and_nothing_is_global() -> None:
    found = values(Metrics())
    assert found["process_resident_memory_bytes",] > 1e6
    assert found["process_cpu_seconds_total",] > 0
    Metrics()
    names = {family.name for family in REGISTRY.collect()}
    assert not [name for name in names if name.startswith("sertk")]


def test_names_from_elsewhere_cannot_break_the_text() -> None:
    metrics = Metrics(lambda: [Sink('a"\n\\b')])
    metrics.model('tiny"} 1\nevil 1', "0" * 64)
    found = values(metrics)
    assert found["sertk_sink_up", 'a"\n\\b'] == 1
    assert ("sertk_model_info", 'tiny"} 1\nevil 1', "0" * 64) in found


def test_answers_are_counted_by_route_and_never_by_what_clients_make_up(
    site: Any, until: Callable[..., None]
) -> None:
    site.get("/v1/state?x=1")
    site.get("/v1/state")
    site.get("/v1/state", Host="evil.example")
    for number in range(20):
        site.get(f"/made-up-{number}")
    site.ask("PROPFIND", "/v1/state")
    answer = site.get("/metrics")
    assert answer.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    # An answer is counted when it has been sent.
    until(lambda: ("GET", "/metrics", "200") in requests(site.metrics), "the last is counted")
    counted = requests(site.metrics)
    assert counted["GET", "/v1/state", "200"] == 2
    assert counted["GET", "/v1/state", "421"] == 1
    assert counted["GET", "other", "404"] == 20
    assert counted["other", "other", "405"] == 1
    assert len(counted) == 5


def requests(metrics: Metrics) -> dict[tuple[str, ...], float]:
    found = values(metrics)
    return {key[1:]: found[key] for key in found if key[0] == "sertk_http_requests_total"}
