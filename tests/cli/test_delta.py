"""The tables of what quantization costs."""

from __future__ import annotations

from typing import Any

from rich.console import Console

from ser_toolkit.cli import show
from ser_toolkit.cli.delta import delta

NAN = float("nan")


def side(uar: float, lost: float, interval: list[float]) -> dict[str, Any]:
    pair = {"uar": -lost, "wa": -lost, "calibration_error": 0.01}
    recall = {"anger": uar, "fear": NAN}
    return {
        "uar": uar,
        "wa": uar,
        "calibration_error": 0.05,
        "recall": recall,
        "clips": 40,
        "agreement": 0.975,
        "difference": {**pair, "recall": {"anger": -lost, "fear": NAN}},
        "ci95": {
            **dict.fromkeys(pair, interval),
            "recall": {"anger": interval, "fear": [NAN, NAN]},
        },
    }


def report(**row: Any) -> dict[str, Any]:
    proof = {"proven": True, "reason": "", "median_ms": 0.1, "p95_ms": 0.2, "load_ms": 3.0}
    refused = {
        "runtime": "tflite-runtime",
        "proven": False,
        "reason": "it lacks an operator",
        **dict.fromkeys(("median_ms", "p95_ms", "load_ms", "rss_mb")),
    }
    mode = {
        "mode": "int8",
        "bytes": 104_000,
        "validation": side(0.70, 0.02, [-0.05, 0.01]),
        "test": side(0.65, 0.01, [-0.02, 0.0]),
        "runtimes": [{"runtime": "ai-edge-litert", "rss_mb": 80.0, **proof}, refused],
    }
    keras = {name: side(0.7, 0, [0, 0]) for name in ("validation", "test")}
    return {
        "keras": keras,
        "labels": ["anger", "fear"],
        "modes": [{**mode, **row}, {"mode": "int16x8", "reason": "it crashed"}],
        "parameters": {"total": 1234, "trainable": 1200},
        "frontend": [],
        "synthetic": True,
        "protocol": {"caveats": ["a caveat"], "comparable": True},
    }


def shown(found: dict[str, Any], monkeypatch: Any) -> str:
    out = Console(width=110, record=True, highlight=False, markup=False)
    monkeypatch.setattr(show, "console", lambda: out)
    delta(found)
    return out.export_text()


def test_every_figure_stands_beside_its_paired_interval(monkeypatch: Any) -> None:
    text = shown(report(), monkeypatch)
    first, second, *_ = text.splitlines()
    assert first.startswith("! synthetic speech") and second == "! a caveat"
    assert "Validation clips (40), these decide" in text
    assert "Test clips (40), these are only reported" in text
    for name in ("UAR", "WA", "calibration error", "recall anger"):
        line = next(line for line in text.splitlines() if line.startswith(name) and "[" in line)
        assert line.count("[") == 2
    assert "-2.0  [-5.0, +1.0]" in text and "97.5" in text


def test_a_class_that_does_not_occur_is_a_dash(monkeypatch: Any) -> None:
    line = next(
        line for line in shown(report(), monkeypatch).splitlines() if line.startswith("recall fear")
    )
    assert line.split()[2:] == ["–"] * 6


def test_runtimes_say_why_they_do_not_run_it(monkeypatch: Any) -> None:
    text = shown(report(), monkeypatch)
    assert "int8 on tflite-runtime: it lacks an operator" in text
    assert "parameters: 1,234, 1,200 of them trained" in text


def test_the_file_with_a_front_end_has_its_lines(monkeypatch: Any) -> None:
    found = report()
    found["frontend"] = [{**found["modes"][0], "file": "x.tflite"}]
    assert shown(found, monkeypatch).count("raw audio") == 3
