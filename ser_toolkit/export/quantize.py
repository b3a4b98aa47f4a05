"""Turn a trained run into bundles: convert, measure on real clips, verify on runtimes, write."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..data.feature_store import processes
from ..metrics.calibration import chow_threshold
from ..metrics.paired import compare, headline_metrics
from ..metrics.scores import Scores
from ..plugins.registry import Plugins, load_plugins
from ..runtime.errors import SertkError
from ..runtime.inference.tflite import TfliteModel
from ..training.outputs import OutputError, refuse_incomplete, write_all
from ..training.report import prediction_rows, write_csv, write_json
from ..training.run_dir import NETWORK, RunDirectory
from ..utils.files import write_bytes
from ..utils.progress import Callback
from . import bundle_writer
from .converter import Converted, Converter, check_mode, convert
from .mixed_precision import select_float_layers
from .plots import plot_modes
from .raw_audio import check_audio, measured_raw_audio
from .raw_audio_graph import graph_form
from .run_data import RunData, RunSource, open_run
from .verify import RuntimeCheck, verify

AUTO = "auto"
VERIFIED_WINDOWS = 64
REPORT = "quantization.json"
MEASURED = ("validation", "test")

Reference = Mapping[str, Scores]


@dataclass(frozen=True)
class Options:
    """Options of `quantize`; `max_drop` is in UAR points on validation clips.

    `workers` processes compute the features that are no longer in the cache; 0 means one per core.
    """

    modes: tuple[str, ...] = ("int8",)
    data: tuple[str, ...] = ()
    reader: str | None = None
    max_drop: float = 2.0
    force: bool = False
    float_layers: tuple[str, ...] = ()
    with_frontend: bool = False
    workers: int = 0


@dataclass(frozen=True)
class Candidate:
    """One mode, measured in the runtime; `error` says why there is no file."""

    mode: str
    converted: Converted | None = None
    scores: Mapping[str, Scores] | None = None
    checks: tuple[RuntimeCheck, ...] = ()
    error: str = ""


def _not_bundled(report: Mapping[str, Any]) -> OutputError:
    rows = (f"{row['mode']}: {row['reason']}" for row in report["modes"])
    return OutputError(
        f"nothing was bundled: {'; '.join(rows)}",
        "Choose another --mode, --float-layers auto, or --force",
        report,
    )


def quantize(run: RunDirectory, options: Options, out: Path, callback: Callback) -> dict[str, Any]:
    """Measure every mode on validation clips (which decide) and test clips, and write bundles.

    The report lies in the run directory. A mode that loses more than `max_drop` is left out unless
    `force`. Raises OutputError, which has the report, where no bundle is left to write, or where
    something cannot be written.

    Args:
        run: A finished run.
        options: Modes, data and limits.
        out: Path of the bundle; with several modes, each appends its name to the stem.
        callback: Receiver of messages and progress.
    """
    data = _open(run, options, callback)
    reference = {subset: data.keras_scores(subset) for subset in MEASURED}
    candidates = _candidates(data, reference, options)
    rows = [_row(candidate, reference, options) for candidate in candidates]
    report = _report(data, reference, rows)
    written: list[Path] = []
    picture = run.path / "plots" / "quantization.png"
    failures = write_all(
        [
            (REPORT, lambda: write_json(run.path / REPORT, report)),
            (out.name, lambda: written.extend(_bundles(out, candidates, report, data))),
            (picture.name, lambda: plot_modes(picture, report)),
        ]
    )
    refuse_incomplete(failures, report, run.path)
    if not written:
        raise _not_bundled(report)
    for row in rows:
        if not row["bundled"]:
            callback.warn(f"no bundle for {row['mode']}: {row['reason']}")
    raw_audio = _raw_audio(out, options, data, reference)
    write_json(run.path / REPORT, {**report, "frontend": raw_audio})
    return {
        **report,
        "frontend": raw_audio,
        "bundles": [str(path) for path in written],
        "tflite": [str(out.with_name(row["file"])) for row in raw_audio],
    }


def _open(run: RunDirectory, options: Options, callback: Callback) -> RunData:
    """Check the options before time is spent, then open the run."""
    for mode in options.modes:
        check_mode(mode, " or all")
    run.check()
    workers = processes(options.workers)
    source = RunSource(load_plugins(), options.data, options.reader, workers, callback)
    if options.with_frontend:
        check_audio(source.data)
    data = open_run(run, source)
    if options.with_frontend:
        graph_form(data.classifier.assembly.extractor)
    return data


def predictions_name(mode: str) -> str:
    """Return the name of the file with a mode's predictions for the test clips of a run."""
    return f"predictions-{mode}.csv"


def facts_name(mode: str) -> str:
    """Return the name of the file with the size of a mode's network, and the network's hash."""
    return f"quantized-{mode}.json"


def quantize_fold(run: RunDirectory, mode: str, plugins: Plugins) -> None:
    """Score a finished fold's test clips in `mode`, unless that has been done for this network.

    Args:
        run: The run of the fold.
        mode: Mode of the network.
        plugins: Where its components come from.
    """
    network = hashlib.sha256(run.file(NETWORK).read_bytes()).hexdigest()
    facts = run.path / facts_name(mode)
    if facts.is_file() and run.json(facts.name).get("network") == network:
        return
    data = open_run(run, RunSource(plugins))
    converted = convert(run.file(NETWORK), mode, data.calibration())
    scores = data.tflite_scores(converted.content, "test")
    write_csv(run.path / predictions_name(mode), prediction_rows(scores))
    write_json(facts, {"mode": mode, "bytes": len(converted.content), "network": network})


def _candidates(data: RunData, reference: Reference, options: Options) -> list[Candidate]:
    modes = data.source.callback.track(options.modes, "Quantizing", len(options.modes))
    with Converter(data.run.file(NETWORK), data.calibration()) as converter:
        return [_candidate(mode, converter, data, reference, options) for mode in modes]


def _candidate(
    mode: str, converter: Converter, data: RunData, reference: Reference, options: Options
) -> Candidate:
    try:
        converted = _converted(mode, converter, data, reference, options)
    except SertkError as error:
        return Candidate(mode, error=str(error))
    content = converted.content
    scores = {subset: data.tflite_scores(content, subset) for subset in MEASURED}
    windows = data.first_windows("validation", VERIFIED_WINDOWS)
    # Predictions of the file and not of the network: the loss is measured on whole clips.
    expected = TfliteModel(content)(windows)
    return Candidate(mode, converted, scores, tuple(verify(content, windows, expected)))


def _converted(
    mode: str, converter: Converter, data: RunData, reference: Reference, options: Options
) -> Converted:
    layers = options.float_layers if mode == "int8" else ()
    if layers != (AUTO,):
        return converter.convert(mode, layers)

    def score(content: bytes) -> float:
        return float(headline_metrics(data.tflite_scores(content, "validation"))["uar"])

    enough = headline_metrics(reference["validation"])["uar"] - options.max_drop / 100
    return select_float_layers(converter, score, enough, data.source.callback)


def _row(candidate: Candidate, reference: Reference, options: Options) -> dict[str, Any]:
    """Return the line of the report for one mode, with the decision."""
    if candidate.converted is None or candidate.scores is None:
        return {"mode": candidate.mode, "bundled": False, "reason": candidate.error}
    converted, scores = candidate.converted, candidate.scores
    validation = scores["validation"]
    comparison = {subset: compare(reference[subset], scores[subset]) for subset in MEASURED}
    row = {
        "mode": candidate.mode,
        "bytes": len(converted.content),
        "operators": list(converted.ops),
        "float_layers": list(converted.float_layers),
        "unrolled": converted.unrolled,
        "max_difference": converted.max_difference,
        **comparison,
        "runtimes": [vars(check) for check in candidate.checks],
        "uncertain_below": chow_threshold(validation.probabilities, validation.truth),
    }
    reason = _reason(comparison["validation"], candidate.checks, options.max_drop)
    proven = any(check.proven for check in candidate.checks)
    return {**row, "bundled": proven and (not reason or options.force), "reason": reason}


def _reason(validation: Mapping[str, Any], checks: Sequence[RuntimeCheck], max_drop: float) -> str:
    """Return why a file should not be bundled, '' where it may."""
    if not any(check.proven for check in checks):
        return "; ".join(f"{check.runtime}: {check.reason}" for check in checks)
    loss = _loss(validation, max_drop)
    return f"it {loss}" if loss else ""


def _loss(validation: Mapping[str, Any], max_drop: float) -> str:
    """Return a loss above `max_drop` in words, '' where it is not above."""
    drop = -100 * validation["difference"]["uar"]
    if drop <= max_drop:
        return ""
    return f"loses {drop:.1f} UAR points on validation clips, {max_drop:g} allowed"


def _report(
    data: RunData, reference: Reference, rows: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    metrics = data.run.metrics
    return {
        "recipe": metrics["recipe"],
        "synthetic": metrics["synthetic"],
        "protocol": metrics["protocol"],
        "parameters": metrics["parameters"],
        "labels": list(data.classifier.labels),
        "keras": {subset: headline_metrics(reference[subset]) for subset in MEASURED},
        "modes": list(rows),
    }


def _bundles(
    out: Path, candidates: Sequence[Candidate], report: Mapping[str, Any], data: RunData
) -> list[Path]:
    """Write NAME.sertk, or NAME-MODE.sertk for each of several modes; return what was written."""
    written = []
    for candidate, row in zip(candidates, report["modes"], strict=True):
        if candidate.converted is not None and row["bundled"]:
            several = len(candidates) > 1
            name = f"{out.stem}-{candidate.mode}{out.suffix}" if several else out.name
            bundle_writer.write(out.with_name(name), candidate.converted, row, report, data)
            written.append(out.with_name(name))
    return written


def _raw_audio(
    out: Path, options: Options, data: RunData, reference: Reference
) -> list[dict[str, Any]]:
    """Write the file that takes raw audio, where it was asked for: int8 where a mode is int8."""
    if not options.with_frontend:
        return []
    mode = "int8" if "int8" in options.modes else "float32"
    path = out.with_suffix(".tflite")
    content, row = measured_raw_audio(data, mode, reference)
    loss = _loss(row["validation"], options.max_drop)
    if loss and not options.force:
        raise SertkError(f"the file with the front end {loss}", "Choose --mode float32, or --force")
    write_bytes(path, content)
    return [{"file": path.name, **row}]
