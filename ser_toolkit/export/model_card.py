"""Write the model card of a bundle: data, protocol, metrics, intended use, limits."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..runtime.bundle.manifest import Manifest
from ..training.run_dir import RunDirectory

USE = """## Intended use

Research, teaching, and devices that react to how something is said: on the device, with the
consent of those who are recorded. It predicts a label for a stretch of speech; it recognises
neither what was said nor why.

Not for decisions about people: hiring, schooling, policing, insurance, medicine, credit. The law
of your country may forbid emotion recognition at work and in schools altogether.
"""
LIMITS = """## Limits

- **Acted speech.** Most corpora hold actors who were asked for an emotion, in a quiet room.
  Everyday speech is softer, mixed, and mostly neutral: expect less than the metrics here.
- **Language and culture.** It was trained on the speakers and languages of its data and no others.
  On other languages, ages, accents, voices, microphones and rooms it may be no better than chance.
- **It says nothing about a person.** A label predicts which acted emotion a sound is most like.
  What somebody feels cannot be measured from a voice, and one face or voice does not mean the same
  feeling in everybody (Barrett et al., Psychological Science in the Public Interest 20(1), 2019).
- **Below the threshold it should say "uncertain".** The threshold was set on validation clips.
"""


def model_card(
    run: RunDirectory, report: Mapping[str, Any], row: Mapping[str, Any], manifest: Manifest
) -> str:
    """Return Markdown: data, protocol, metrics with intervals, quantization, use, limits.

    Args:
        run: The trained run.
        report: The quantization report of all modes.
        row: The report's line of this mode.
        manifest: Manifest of the bundle.
    """
    metrics = run.metrics
    return "\n".join(
        [
            f"# {manifest.name}",
            "",
            *_caveats(metrics),
            f"Emotions: {', '.join(manifest.labels)}{_renamed(metrics)}. Made by SER Toolkit "
            f"{manifest.created_by}.",
            "",
            *_data(metrics),
            *_protocol(metrics, manifest.training["protocol"]),
            *_metrics(metrics),
            *_quantization(report, row, manifest),
            USE,
            LIMITS,
        ]
    )


def _caveats(metrics: Mapping[str, Any]) -> list[str]:
    caveats = list(metrics["protocol"].get("caveats", []))
    if metrics["synthetic"]:
        synthetic = "Trained on synthetic speech: its metrics say nothing about human voices."
        caveats.insert(0, synthetic)
    return [f"> **{line}**\n" for line in caveats]


def _renamed(metrics: Mapping[str, Any]) -> str:
    pairs = [f"{old} as {new}" for old, new in metrics.get("mapping", {}).items() if old != new]
    return f" (with {', '.join(pairs)})" if pairs else ""


def _data(metrics: Mapping[str, Any]) -> list[str]:
    rows = [
        (source["reader"], source["licence"] or "not known", source["citation"] or "not known")
        for source in metrics["data"]
    ]
    clips = metrics["sides"]
    # Runs of before have no names of corpora.
    names = ", ".join(metrics.get("corpora", ()))
    return [
        "## Data",
        "",
        *([f"Corpora: {names}.", ""] if names else []),
        *_table(("reader", "licence", "source"), rows),
        f"{clips['train']} training, {clips['validation']} validation and {clips['test']} test "
        "clips. A network learnt from data under a licence may be bound by it.",
        "",
    ]


def _protocol(metrics: Mapping[str, Any], protocol: Mapping[str, Any]) -> list[str]:
    audit = metrics["audit"]
    return [
        "## Protocol",
        "",
        f"`{protocol['name']}`, {protocol['fold']}; hash `{protocol['hash']}`: metrics are "
        "comparable where hashes agree.",
        f"Leakage audit: {'clean' if audit['clean'] else 'NOT clean'}. Seed {metrics['seed']}, "
        f"epoch {metrics['best_epoch']} of {metrics['epochs']}, "
        f"{metrics['parameters']['total']:,} parameters, temperature "
        f"{metrics['temperature']:.2f}.",
        "",
    ]


def _metrics(metrics: Mapping[str, Any]) -> list[str]:
    interval = metrics["ci95"]
    low, high = (f"{100 * edge:.1f}" for edge in interval["uar"])
    classes = [
        (label, *(_percent(value[key]) for key in ("precision", "recall", "f1")), value["support"])
        for label, value in metrics["per_class"].items()
    ]
    speakers = [
        (f"speaker {index + 1}", value["clips"], _percent(value["uar"]), _percent(value["wa"]))
        for index, value in enumerate(metrics["per_speaker"].values())
    ]
    corpora = [
        (name, value["clips"], _percent(value["uar"]), _percent(value["wa"]))
        for name, value in metrics.get("per_corpus", {}).items()
    ]
    return [
        "## Metrics of the trained network, on test clips",
        "",
        f"UAR {_percent(metrics['uar'])} % [{low}, {high}] (95 %, {interval['groups']} "
        f"{interval['clusters']}s drawn), accuracy {_percent(metrics['wa'])} %, macro-F1 "
        f"{_percent(metrics['macro_f1'])} %, calibration error "
        f"{_percent(metrics['calibration_error'])} %.",
        "",
        *_table(("emotion", "precision %", "recall %", "F1 %", "clips"), classes),
        *(_table(("corpus", "clips", "UAR %", "accuracy %"), corpora) if corpora[1:] else ()),
        *_table(("test speaker", "clips", "UAR %", "accuracy %"), speakers),
    ]


def _quantization(
    report: Mapping[str, Any], row: Mapping[str, Any], manifest: Manifest
) -> list[str]:
    measured = [entry for entry in report["modes"] if "bytes" in entry]
    rows = [_delta(entry, subset) for subset in ("validation", "test") for entry in measured]
    runtimes = ", ".join(f"{runtime.name} {runtime.version}" for runtime in manifest.runtimes)
    kept = row["float_layers"]
    return [
        "## Quantization",
        "",
        f"This file is `{row['mode']}`, {row['bytes'] / 1000:.0f} kB"
        + (f", with these layers in float: {', '.join(kept)}" if kept else "")
        + f". Proven on {runtimes}. Predictions below a confidence of {row['uncertain_below']:.2f} "
        "count as uncertain.",
        "",
        *_table(
            ("clips", "mode", "kB", "UAR %", "minus Keras", "95 % paired", "same decision %"), rows
        ),
    ]


def _delta(row: Mapping[str, Any], subset: str) -> tuple[str, ...]:
    metrics = row[subset]
    low, high = (f"{100 * edge:+.1f}" for edge in metrics["ci95"]["uar"])
    return (
        subset,
        row["mode"],
        f"{row['bytes'] / 1000:.0f}",
        _percent(metrics["uar"]),
        f"{100 * metrics['difference']['uar']:+.1f}",
        f"[{low}, {high}]",
        _percent(metrics["agreement"]),
    )


def _table(heads: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    lines = [heads, ["---"] * len(heads), *rows]
    return [*("| " + " | ".join(map(str, line)) + " |" for line in lines), ""]


def _percent(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f}"
