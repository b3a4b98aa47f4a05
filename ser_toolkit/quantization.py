"""From a trained run to bundles: convert, measure on real clips, prove on runtimes, write."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from . import bundling
from .contracts import Utterance
from .convert import MODES, Converted, convert
from .delta import chow_threshold, compare, figures
from .fronted import check_sound, make_fronted
from .frontend import graph_form
from .material import Material, read_material
from .plugins import Plugins, load_plugins
from .prove import Proof, prove
from .report import prediction_rows, write_csv, write_json
from .run import NETWORK, Run
from .runtime.errors import SertkError
from .runtime.extractor import F32
from .runtime.interpreter import Network
from .scoring import Scores, network_probabilities, utterance_scores
from .selective import select
from .store import processes
from .utils.files import write_bytes
from .utils.progress import Callback

AUTO = "auto"
PROVING_WINDOWS = 64
REPORT = "quantization.json"
SIDES = ("validation", "test")


@dataclass(frozen=True)
class Options:
    """What a user may choose for `quantize`; `max_drop` is in UAR points on validation clips."""

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
    """One mode, measured in the runtime; `error` in words where there is no such file."""

    mode: str
    converted: Converted | None = None
    scores: Mapping[str, Scores] | None = None
    proofs: tuple[Proof, ...] = ()
    error: str = ""


class NotBundledError(SertkError):
    """Nothing is good enough to be written; `found` is the report all the same."""

    def __init__(self, found: dict[str, Any]) -> None:
        self.found = found
        rows = (f"{row['mode']}: {row['reason']}" for row in found["modes"])
        super().__init__(
            f"nothing was bundled: {'; '.join(rows)}",
            "Choose another --mode, --float-layers auto, or --force",
        )


def quantize(run: Run, options: Options, out: Path, callback: Callback) -> dict[str, Any]:
    """Measure every mode on validation clips (which decide) and test clips, and write bundles.

    The report lies in the run directory. A mode that loses more than `max_drop` is left out unless
    `force`. Raises NotBundledError where no bundle is left to write.
    """
    plugins = load_plugins()
    for mode in options.modes:
        check_mode(mode)
    run.check()
    if options.with_frontend:
        check_sound(options.data)
    workers = processes(options.workers)
    material = read_material(run, options.data, options.reader, plugins, callback, workers)
    if options.with_frontend:
        graph_form(material.predictor.assembly.extractor)
    reference = {side: keras_scores(material, side) for side in SIDES}
    tracked = callback.track(options.modes, "Quantizing", len(options.modes))
    candidates = [_candidate(mode, material, reference, options, callback) for mode in tracked]
    rows = [_row(candidate, reference, options) for candidate in candidates]
    found = _report(run, material, reference, rows)
    write_json(run.path / REPORT, found)
    bundling.plot_delta(run.path / "plots" / "quantization.png", found)
    written = [
        _bundle(path, candidate, row, found, material, plugins)
        for candidate, row, path in zip(candidates, rows, _paths(out, options.modes), strict=True)
        if row["bundled"]
    ]
    if not written:
        raise NotBundledError(found)
    for row in rows:
        if not row["bundled"]:
            callback.warn(f"no bundle for {row['mode']}: {row['reason']}")
    fronted = _fronted(out, options, material, reference, plugins, callback)
    write_json(run.path / REPORT, {**found, "frontend": fronted})
    return {
        **found,
        "frontend": fronted,
        "bundles": [str(path) for path in written],
        "tflite": [str(out.with_name(one["file"])) for one in fronted],
    }


def _fronted(
    out: Path,
    options: Options,
    material: Material,
    reference: Mapping[str, Scores],
    plugins: Plugins,
    callback: Callback,
) -> list[dict[str, Any]]:
    """The file that takes raw audio, if it is wanted: int8 inside where int8 is."""
    if not options.with_frontend:
        return []
    mode = "int8" if "int8" in options.modes else "float32"
    path = out.with_suffix(".tflite")
    content, row = make_fronted(
        mode, material, reference, options.data, options.reader, plugins, callback
    )
    loss = _loss(row["validation"], options.max_drop)
    if loss and not options.force:
        raise SertkError(f"the file with the front end {loss}", "Choose --mode float32, or --force")
    write_bytes(path, content)
    return [{"file": path.name, **row}]


def check_mode(mode: str | None) -> None:
    """Refuse what is no mode, before time is spent."""
    if mode is not None and mode not in MODES:
        raise SertkError(f"mode expects one of {', '.join(MODES)} or all, received '{mode}'")


def predictions_name(mode: str) -> str:
    """What a quantized network said about the test clips of a run."""
    return f"predictions-{mode}.csv"


def facts_name(mode: str) -> str:
    """What was measured of a quantized network."""
    return f"quantized-{mode}.json"


def quantize_fold(run: Run, mode: str) -> None:
    """Score a finished fold's test clips in `mode`, unless that has been done for this network."""
    network = hashlib.sha256(run.file(NETWORK).read_bytes()).hexdigest()
    facts = run.path / facts_name(mode)
    if facts.is_file() and run.json(facts.name).get("network") == network:
        return
    material = read_material(run, (), None, load_plugins(), Callback(), 1)
    converted = convert(run.file(NETWORK), mode, material.calibration(seed=0))
    scores = tflite_scores(material, converted.content, material.sides["test"])
    write_csv(run.path / predictions_name(mode), prediction_rows(scores))
    write_json(facts, {"mode": mode, "bytes": len(converted.content), "network": network})


def _paths(out: Path, modes: Sequence[str]) -> list[Path]:
    """NAME.sertk, or NAME-MODE.sertk for each of several modes."""
    if len(modes) == 1:
        return [out]
    return [out.with_name(f"{out.stem}-{mode}{out.suffix}") for mode in modes]


def keras_scores(material: Material, side: str) -> Scores:
    """The trained network on one side's clips."""
    clips = material.sides[side]
    inputs = (material.dataset.windows(item) for item in clips)
    windows = network_probabilities(material.predictor.network, inputs)
    return utterance_scores(windows, clips, material.predictor.labels)


def tflite_scores(material: Material, content: bytes, clips: Sequence[Utterance]) -> Scores:
    """A `.tflite` file on clips, in the runtime of this environment."""
    network = Network(content)
    windows = [network(material.dataset.windows(item)) for item in clips]
    return utterance_scores(windows, clips, material.predictor.labels)


def _candidate(
    mode: str,
    material: Material,
    reference: Mapping[str, Scores],
    options: Options,
    callback: Callback,
) -> Candidate:
    try:
        converted = _converted(mode, material, reference, options, callback)
    except SertkError as error:
        return Candidate(mode, error=str(error))
    scores = {
        side: tflite_scores(material, converted.content, material.sides[side]) for side in SIDES
    }
    windows = _proving(material)
    # What the file says here, not what the network says: the loss is measured on whole clips.
    expected = Network(converted.content)(windows)
    return Candidate(mode, converted, scores, tuple(prove(converted.content, windows, expected)))


def _converted(
    mode: str,
    material: Material,
    reference: Mapping[str, Scores],
    options: Options,
    callback: Callback,
) -> Converted:
    network = material.run.file(NETWORK)
    windows = material.calibration(seed=0)
    layers = options.float_layers if mode == "int8" else ()
    if layers != (AUTO,):
        return convert(network, mode, windows, layers)

    def score(content: bytes) -> float:
        return float(figures(tflite_scores(material, content, material.sides["validation"]))["uar"])

    target = figures(reference["validation"])["uar"]
    return select(network, windows, score, target, options.max_drop / 100, 4, callback).converted


def _proving(material: Material) -> dict[str, F32]:
    """Some windows of validation clips."""
    inputs = [material.dataset.windows(item) for item in material.sides["validation"]]
    joined = {name: np.concatenate([row[name] for row in inputs]) for name in inputs[0]}
    return {name: values[:PROVING_WINDOWS] for name, values in joined.items()}


def _row(candidate: Candidate, reference: Mapping[str, Scores], options: Options) -> dict[str, Any]:
    """One line of the report, with the decision."""
    if candidate.converted is None or candidate.scores is None:
        return {"mode": candidate.mode, "bundled": False, "reason": candidate.error}
    converted, scores = candidate.converted, candidate.scores
    sides = {side: compare(reference[side], scores[side]) for side in SIDES}
    row = {
        "mode": candidate.mode,
        "bytes": len(converted.content),
        "operators": list(converted.ops),
        "float_layers": list(converted.float_layers),
        "unrolled": converted.unrolled,
        "max_difference": converted.max_difference,
        **sides,
        "runtimes": [vars(proof) for proof in candidate.proofs],
        "uncertain_below": chow_threshold(scores["validation"]),
    }
    reason = _reason(sides["validation"], candidate.proofs, options.max_drop)
    proven = any(proof.proven for proof in candidate.proofs)
    return {**row, "bundled": proven and (not reason or options.force), "reason": reason}


def _reason(validation: Mapping[str, Any], proofs: Sequence[Proof], max_drop: float) -> str:
    """Why a file should not be bundled; empty where nothing speaks against it."""
    if not any(proof.proven for proof in proofs):
        return "; ".join(f"{proof.runtime}: {proof.reason}" for proof in proofs)
    loss = _loss(validation, max_drop)
    return f"it {loss}" if loss else ""


def _loss(validation: Mapping[str, Any], max_drop: float) -> str:
    """How much too much is lost, in words; empty where it is not."""
    drop = -100 * validation["difference"]["uar"]
    if drop <= max_drop:
        return ""
    return f"loses {drop:.1f} UAR points on validation clips, {max_drop:g} allowed"


def _report(
    run: Run,
    material: Material,
    reference: Mapping[str, Scores],
    rows: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    metrics = run.metrics
    return {
        "recipe": metrics["recipe"],
        "synthetic": metrics["synthetic"],
        "protocol": metrics["protocol"],
        "parameters": metrics["parameters"],
        "labels": list(material.predictor.labels),
        "keras": {side: figures(reference[side]) for side in SIDES},
        "modes": list(rows),
    }


def _bundle(
    path: Path,
    candidate: Candidate,
    row: Mapping[str, Any],
    found: Mapping[str, Any],
    material: Material,
    plugins: Plugins,
) -> Path:
    assert candidate.converted is not None
    proven = [proof for proof in candidate.proofs if proof.proven]
    bundling.write(path, candidate.converted, proven, row, found, material, plugins)
    return path
