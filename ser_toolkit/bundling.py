"""What goes into a bundle besides the network: manifest, self-test, split, card, picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .bundles import describe_parts
from .card import model_card
from .convert import Converted
from .material import Material
from .pipeline import label_of
from .plugins import Plugins
from .prove import Proof
from .report import new_figure, plain, save_figure
from .runtime.adapter import adapters_to_bytes
from .runtime.bundle import ASSETS, write_bundle
from .runtime.component import assets_of, to_spec
from .runtime.interpreter import Network, Runtime
from .runtime.json_reader import to_json
from .runtime.manifest import Manifest, Quantization
from .runtime.npz import to_npz
from .runtime.selftest import make_selftest, tolerances
from .runtime.text import plural
from .split import speaker_hash

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
    proofs: Sequence[Proof],
    row: Mapping[str, Any],
    found: Mapping[str, Any],
    material: Material,
    plugins: Plugins,
) -> None:
    """Write one bundle, after its own self-test has been computed from the bytes in it."""
    network = Network(converted.content)
    manifest = _manifest(converted, proofs, row, found, material, plugins, network)
    predictor = material.predictor
    window = predictor.assembly.recipe.window
    selftest = make_selftest(
        predictor.extractor, predictor.adapters, window, network, predictor.extractor.rate_hz
    )
    assets = assets_of(predictor.assembly.extractor)
    write_bundle(
        path,
        manifest,
        {
            "model.tflite": converted.content,
            "adapter.npz": adapters_to_bytes(predictor.adapters),
            "selftest.npz": to_npz(selftest),
            "split.json": to_json(_split(material), indent=None),
            "card.md": model_card(material.run, found, row, manifest).encode(),
            **{
                f"{ASSETS}{asset.sha256}": material.dataset.features.load(asset) for asset in assets
            },
        },
    )


def _manifest(
    converted: Converted,
    proofs: Sequence[Proof],
    row: Mapping[str, Any],
    found: Mapping[str, Any],
    material: Material,
    plugins: Plugins,
    network: Network,
) -> Manifest:
    from . import __version__

    predictor, metrics = material.predictor, material.run.metrics
    extractor = predictor.assembly.extractor
    details = {
        "operators": list(converted.ops),
        "float_layers": list(converted.float_layers),
        "unrolled": converted.unrolled,
        "max_difference": converted.max_difference,
    }
    training = {key: metrics[key] for key in PROVENANCE} | {"protocol": nameless(metrics)}
    return Manifest(
        name=f"{metrics['recipe']} {converted.mode}",
        created_by=__version__,
        labels=predictor.labels,
        rate_hz=extractor.rate_hz,
        window=predictor.assembly.recipe.window,
        extractor=to_spec(extractor),
        parts=describe_parts(extractor, plugins),
        inputs=network.inputs,
        quantization=Quantization(converted.mode, plain(details)),
        runtimes=tuple(Runtime(proof.runtime, str(proof.version)) for proof in proofs),
        thresholds={"uncertain": row["uncertain_below"]},
        tolerances=tolerances(converted.mode),
        training=plain(training),
        figures=plain(
            {
                "test": row["test"],
                "validation": row["validation"],
                "keras": {"uar": metrics["uar"], "ci95": metrics["ci95"]},
            }
        ),
    )


def _split(material: Material) -> dict[str, Any]:
    """Side of every clip by content; no path, and of a speaker only a hash."""
    plan = material.run.json("split.json")
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
    """The protocol of a run without the names of its test speakers, which may be people's."""
    speakers = plural(len(metrics["per_speaker"]), "test speaker")
    return {**metrics["protocol"], "fold": speakers}


def plot_delta(path: Path, found: Mapping[str, Any]) -> None:
    """UAR of each mode on validation and test clips beside Keras, size and latency."""
    rows = [row for row in found["modes"] if "bytes" in row]
    if not rows:
        return
    picture = new_figure(6 + 1.2 * len(rows), 10)
    top, middle, bottom, recalls = picture.subplots(4, 1)
    names = ["keras", *(row["mode"] for row in rows)]
    for offset, side in ((-0.18, "validation"), (0.18, "test")):
        values = [100 * entry[side]["uar"] for entry in (found["keras"], *rows)]
        top.bar(np.arange(len(names)) + offset, values, 0.34, label=side)
        differences = [100 * row[side]["difference"]["uar"] for row in rows]
        low, high = np.array([row[side]["ci95"]["uar"] for row in rows]).T * 100
        places = np.arange(1, len(names)) + offset
        bars = np.abs(
            np.stack([np.minimum(low - differences, 0), np.maximum(high - differences, 0)])
        )
        middle.errorbar(places, differences, bars, fmt="o", capsize=4, label=side)
    title = f"What each form of the network reaches{label_of(found)}"
    top.set(ylabel="UAR in %", ylim=(0, 115), title=title)
    top.legend(loc="upper right", ncols=2)
    middle.axhline(0, color="0.5", linewidth=1)
    middle.set(ylabel="points", title="UAR minus that of Keras, 95 % paired interval")
    bottom.bar(np.arange(1, len(names)), [row["bytes"] / 1000 for row in rows], 0.5, color="0.55")
    bottom.set(ylabel="kB", title="Size of the network")
    _plot_recalls(recalls, rows, found["labels"])
    for axes in (top, middle, bottom):
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.6, len(names) - 0.4)
    save_figure(picture, path)


def _plot_recalls(axes: Any, rows: Sequence[Mapping[str, Any]], labels: Sequence[str]) -> None:
    """Recall of each class minus that of Keras, on test clips, with paired intervals."""
    for index, row in enumerate(rows):
        figures = row["test"]
        values = np.array([figures["difference"]["recall"][label] for label in labels]) * 100
        low, high = np.array([figures["ci95"]["recall"][label] for label in labels]).T * 100
        bars = np.abs(np.stack([np.minimum(low - values, 0), np.maximum(high - values, 0)]))
        places = np.arange(len(labels)) + 0.12 * (index - (len(rows) - 1) / 2)
        axes.errorbar(places, values, bars, fmt="o", capsize=3, label=row["mode"])
    axes.axhline(0, color="0.5", linewidth=1)
    axes.set_xticks(range(len(labels)), labels, rotation=20, parse_math=False)
    axes.set(ylabel="points", title="Recall minus that of Keras, test clips")
    axes.legend(loc="best", fontsize="small")
