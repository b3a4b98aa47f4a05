"""Write a bundle: manifest, self-test, split and card beside the network."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..data.split import speaker_hash
from ..plugins.bundles import describe_parts
from ..runtime.bundle.file import ASSETS, write_bundle
from ..runtime.bundle.manifest import Manifest, Quantization, SpeechLevel
from ..runtime.bundle.selftest import make_selftest, tolerances
from ..runtime.component import assets_of, to_spec
from ..runtime.features.normalizer import normalizers_to_bytes
from ..runtime.inference.tflite import TfliteModel, TfliteRuntime
from ..runtime.json_reader import to_json
from ..runtime.npz import to_npz
from ..runtime.text import plural
from ..training.report import plain
from .converter import Converted
from .model_card import model_card
from .run_data import RunData

PROVENANCE = (
    "recipe",
    "synthetic",
    "data",
    "protocol",
    "audit",
    "sides",
    "parameters",
    "seed",
    "epochs",
    "best_epoch",
    "temperature",
)


def write(
    path: Path,
    converted: Converted,
    row: Mapping[str, Any],
    report: Mapping[str, Any],
    data: RunData,
) -> None:
    """Write one bundle, after its own self-test has been computed from the bytes in it.

    Args:
        path: The file.
        converted: The converted network.
        row: Its line of the quantization report.
        report: The quantization report of all modes.
        data: The run it was converted from.
    """
    network = TfliteModel(converted.content)
    manifest = _manifest(converted, row, data, network)
    classifier = data.classifier
    window = classifier.assembly.recipe.window
    selftest = make_selftest(
        classifier.extractor, classifier.normalizers, window, network, classifier.extractor.rate_hz
    )
    assets = assets_of(classifier.assembly.extractor)
    write_bundle(
        path,
        manifest,
        {
            "model.tflite": converted.content,
            "adapter.npz": normalizers_to_bytes(classifier.normalizers),
            "selftest.npz": to_npz(selftest),
            "split.json": to_json(_split(data), indent=None),
            "card.md": model_card(data.run, report, row, manifest).encode(),
            **{f"{ASSETS}{asset.sha256}": data.dataset.features.load(asset) for asset in assets},
        },
    )


def _manifest(
    converted: Converted, row: Mapping[str, Any], data: RunData, network: TfliteModel
) -> Manifest:
    from .. import __version__

    classifier, metrics = data.classifier, data.run.metrics
    extractor = classifier.assembly.extractor
    details = {key: row[key] for key in ("operators", "float_layers", "unrolled", "max_difference")}
    training = {key: metrics[key] for key in PROVENANCE}
    training |= {"protocol": nameless(metrics), "channel": data.run.channel}
    proven = [check for check in row["runtimes"] if check["proven"]]
    return Manifest(
        name=f"{metrics['recipe']} {converted.mode}",
        created_by=__version__,
        labels=classifier.labels,
        rate_hz=extractor.rate_hz,
        window=classifier.assembly.recipe.window,
        extractor=to_spec(extractor),
        parts=describe_parts(extractor, data.source.plugins),
        inputs=network.inputs,
        quantization=Quantization(converted.mode, plain(details)),
        runtimes=tuple(TfliteRuntime(check["runtime"], str(check["version"])) for check in proven),
        thresholds={"uncertain": row["uncertain_below"]},
        tolerances=tolerances(converted.mode),
        # Runs of before have not measured it.
        speech_level=SpeechLevel(**level) if (level := metrics.get("speech_level")) else None,
        training=plain(training),
        figures=plain(
            {
                "test": row["test"],
                "validation": row["validation"],
                "keras": {"uar": metrics["uar"], "ci95": metrics["ci95"]},
            }
        ),
    )


def _split(data: RunData) -> dict[str, Any]:
    """Return the subset of every clip by content; no path, and of a speaker only a hash."""
    plan = data.run.json("split.json")
    clips = [
        {
            "hash": clip["hash"],
            "side": clip["side"],
            "emotion": clip["emotion"],
            "speaker": speaker_hash(clip["speaker"]),
        }
        for clip in plan["clips"]
    ]
    head = {key: plan[key] for key in ("protocol", "hash", "seed", "labels")}
    return {**head, "clips": clips}


def nameless(metrics: Mapping[str, Any]) -> dict[str, Any]:
    """Return a run's protocol without the names of its test speakers, which may be people's."""
    speakers = plural(len(metrics["per_speaker"]), "test speaker")
    return {**metrics["protocol"], "fold": speakers}
