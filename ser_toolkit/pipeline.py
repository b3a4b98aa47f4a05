"""Train one fold, from clips to metrics of its test clips: the story of the toolkit."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .contracts.components import Utterance
from .contracts.recipe import Recipe
from .data.batches import Dataset, fit_normalizers
from .data.corpus import Corpus, load_corpus
from .data.feature_store import Features, Store
from .data.leakage import audit, audit_caveats, audit_summary, refuse_overlapping
from .data.levels import speech_level_range
from .data.split import Split, make_splits, parse_protocol
from .metrics.calibration import chow_threshold, fit_temperature
from .metrics.caveats import caveats_of
from .metrics.scores import (
    Scores,
    compute_metrics,
    network_probabilities,
    network_scores,
)
from .plugins.assemble import Assembly, assemble, open_recipe
from .plugins.assets import Assets
from .plugins.errors import one_line
from .plugins.registry import Plugins, load_plugins
from .plugins.settings import settings_of
from .runtime.component import fields_of
from .runtime.errors import SertkError
from .runtime.features.normalizer import Normalizer, normalizers_to_bytes
from .training import plots, report
from .training.backend import check_installed, prepare_backend, save_network
from .training.checkpoint import Checkpoint
from .training.loop import Trained, fit
from .training.options import TrainOptions
from .training.run_dir import NETWORK, RunDirectory, check_folder, default_folder, open_folder
from .utils.files import cache_dir, writable_cache, write_bytes, write_text
from .utils.progress import BufferedCallback, Callback, FileLogger

CHECKPOINT = "checkpoint.npz"


@dataclass(frozen=True)
class Prepared:
    """Recipe, clips, splits and feature store that all folds share."""

    options: TrainOptions
    assembly: Assembly
    corpus: Corpus
    splits: tuple[Split, ...]
    store: Store
    features: Features
    assets: Assets
    messages: tuple[str, ...]


def plugins_of(options: TrainOptions) -> Plugins:
    """Load the plugins, where there are the libraries to train with and such a protocol."""
    check_installed()
    parse_protocol(options.protocol)
    return load_plugins(requested=[options.plugin] if options.plugin else ())


def prepare(options: TrainOptions, plugins: Plugins, callback: Callback) -> Prepared:
    """Open the recipe, read the clips, and split them before anything is fitted or augmented.

    Args:
        options: What to train on, with which recipe and protocol.
        plugins: Those of `plugins_of`.
        callback: Receiver of messages and progress.
    """
    callback = BufferedCallback(callback)
    chosen = options.recipe_or_name
    assets = Assets((cache_dir() / "assets", *_assets_beside(chosen)))
    settings = settings_of(options.settings)
    if options.epochs is not None:
        settings = settings.also(f"training.epochs={options.epochs}")
    recipe = settings.apply(open_recipe(chosen, plugins, options.plugin), plugins, assets)
    assembly = assemble(recipe, plugins)
    store = Store(writable_cache("features"))
    description = assembly.recipe.description
    callback.note(f"recipe: {assembly.recipe.name}" + (f" ({description})" if description else ""))
    for line in assembly.licences:
        callback.note(line)
    corpus = load_corpus(
        options.paths,
        plugins,
        callback,
        assembly.extractor.span_s,
        options.reader,
        tuple(options.emotions),
        options.mapping,
        options.labels_as_they_are,
        str(options.channel),
    )
    splits = make_splits(corpus.utterances, options.protocol, options.seed)
    if not options.overlapping:
        refuse_overlapping(splits)
    features = Features(
        assembly.extractor,
        assembly.recipe.window,
        assembly.augmenters,
        options.seed,
        assets.load,
        assembly.recipe.training.combine,
    )
    messages = tuple(callback.messages)
    return Prepared(options, assembly, corpus, splits, store, features, assets, messages)


def _assets_beside(recipe: str | Recipe | None) -> tuple[Path, ...]:
    is_file = isinstance(recipe, str) and recipe.endswith(".toml")
    return (Path(str(recipe)).parent / "assets",) if is_file else ()


def train(options: TrainOptions, fold: int, callback: Callback) -> RunDirectory:
    """Train one fold of the protocol and write its run directory."""
    check_folder(options.folder, options.resume)
    prepared = prepare(options, plugins_of(options), callback)
    if not 1 <= fold <= len(prepared.splits):
        raise SertkError(f"fold expects 1 to {len(prepared.splits)}, received {fold}")
    folder = options.folder or default_folder(prepared.assembly.recipe.name)
    open_folder(folder, options.resume)
    run_fold(prepared, prepared.splits[fold - 1], folder, callback, options.processes)
    return RunDirectory(folder)


def run_fold(
    prepared: Prepared,
    split: Split,
    folder: Path,
    callback: Callback,
    workers: int,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train and test one fold, write its results into `folder`, and return its metrics.

    The order is features, normalizer, network, calibration, scores.

    Args:
        prepared: What all folds share.
        split: The fold.
        folder: Its run directory, which may hold an unfinished run.
        callback: Receiver of messages and progress.
        workers: Processes that compute features.
        threads: Threads of TensorFlow; None leaves the choice to it.
    """
    began = time.perf_counter()
    log = FileLogger(folder, callback, prepared.messages)
    _write_plan(prepared, split, folder)
    if RunDirectory(folder).finished:
        log.note("this run is finished; nothing is trained again")
        return RunDirectory(folder).metrics
    # A damaged checkpoint is refused before hours of work and not after them.
    Checkpoint.read(folder / CHECKPOINT)
    leakage = audit(split)
    protocol = _protocol(prepared, split, audit_caveats(leakage))
    for line in (*protocol["caveats"], f"{split.name}: {split.summary}", audit_summary(leakage)):
        log.note(line)
    dataset = _dataset(prepared, split, log, workers)
    prepare_backend(prepared.options.seed, threads)
    network = _network(prepared, split, dataset)
    trained = fit(
        network,
        dataset,
        split.train,
        split.validation,
        prepared.assembly.recipe.training,
        prepared.options.seed,
        folder / CHECKPOINT,
        log,
    )
    temperature = _calibrate(network, dataset, split.validation)
    validation = score(network, dataset, split.validation, log)
    scores = score(network, dataset, split.test, log)
    metrics = {
        "recipe": prepared.assembly.recipe.name,
        "synthetic": prepared.corpus.synthetic,
        **compute_metrics(scores, prepared.options.seed),
        "protocol": protocol,
        "audit": leakage,
        "parameters": report.parameters(network),
        "layers": report.layers(network),
        "temperature": temperature,
        "uncertain_below": chow_threshold(validation.probabilities, validation.truth),
        "speech_level": speech_level_range(
            prepared.features, split.train, prepared.assembly.augmented_copies
        ),
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "interrupted": trained.interrupted,
        "sides": {name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        "data": list(prepared.corpus.sources),
        "channel": prepared.options.channel,
        "seed": prepared.options.seed,
        "seconds": round(time.perf_counter() - began, 1),
    }
    _write_results(folder, network, dataset.normalizers, trained, scores, metrics)
    note = report.label_of(metrics)
    log.note(f"UAR {100 * metrics['uar']:.1f} on {len(split.test)} test clips{note}")
    log.note(report.weakest(scores))
    return metrics


def _write_plan(prepared: Prepared, split: Split, folder: Path) -> None:
    """Write recipe.toml and split.json; a resumed run must have the same."""
    write_recipe(prepared, folder)
    plan = folder / "split.json"
    if plan.exists() and not _same_plan(prepared, split, folder):
        raise SertkError(
            f"'{folder}' was started with other clips or another split",
            "Resume with the same data, protocol and seed, or choose another --out",
        )
    report.write_split(plan, split, prepared.options.protocol, prepared.options.seed)
    for asset in prepared.assembly.assets:
        prepared.assets.copy_to(asset, folder / "assets")


def write_recipe(prepared: Prepared, folder: Path) -> None:
    """Write recipe.toml; refuse a folder that was started with another one."""
    content = prepared.assembly.recipe.to_toml()
    path = folder / "recipe.toml"
    if path.exists() and path.read_bytes() != content.encode():
        raise SertkError(
            f"'{folder}' was started with another recipe",
            "Resume with the same options, or choose another --out",
        )
    write_text(path, content)


def _same_plan(prepared: Prepared, split: Split, folder: Path) -> bool:
    stored = RunDirectory(folder).json("split.json")
    return (stored.get("hash"), stored.get("seed")) == (split.hash, prepared.options.seed)


def _dataset(prepared: Prepared, split: Split, callback: Callback, workers: int) -> Dataset:
    """Compute all features, those of augmented copies for training clips alone, and normalizers."""
    augmented_copies = prepared.assembly.augmented_copies
    copies = [(item, 0) for _, item in split.subsets()]
    copies += [(item, copy) for item in split.train for copy in range(1, augmented_copies + 1)]
    prepared.store.fill(prepared.features, copies, workers, callback)
    standardise = prepared.assembly.recipe.training.standardise
    normalizers = fit_normalizers(prepared.store, prepared.features, split.train, standardise)
    return Dataset(
        prepared.store,
        prepared.features,
        normalizers,
        split.labels,
        prepared.assembly.frame_augmenters,
        augmented_copies,
    )


def _network(prepared: Prepared, split: Split, dataset: Dataset) -> Any:
    shapes = {name: array.shape[1:] for name, array in dataset.windows(split.train[0]).items()}
    model = prepared.assembly.model
    try:
        network = model.build(shapes, len(split.labels))
    except (ValueError, TypeError) as error:
        raise SertkError(
            f"model '{model.name}' cannot be built: {one_line(error)}",
            f"Its parameters: {fields_of(model)}",
        ) from error
    last = network.layers[-1]
    is_softmax = getattr(getattr(last, "activation", None), "__name__", "") == "softmax"
    if not (is_softmax and getattr(last, "units", 0) == len(split.labels)):
        raise SertkError(
            f"model '{model.name}' must end in Dense({len(split.labels)}, activation='softmax'), "
            f"it ends in {type(last).__name__}",
            "Fix the model builder: the calibrated temperature is folded into that layer",
        )
    return network


def _calibrate(network: Any, dataset: Dataset, validation: Sequence[Utterance]) -> float:
    """Fit the temperature on validation clips and fold it into the last layer."""
    inputs = [dataset.windows(item) for item in validation]
    temperature = fit_temperature(network_probabilities(network, inputs), dataset.index(validation))
    last = network.layers[-1]
    last.set_weights([weights / temperature for weights in last.get_weights()])
    return temperature


def score(
    network: Any, dataset: Dataset, utterances: Sequence[Utterance], callback: Callback
) -> Scores:
    """Score unaltered utterances by the mean over all their windows, with a progress bar.

    Args:
        network: A Keras network.
        dataset: Source of the windows.
        utterances: Clips to score.
        callback: Receiver of the progress.
    """
    tracked = callback.track(utterances, "Scoring", len(utterances))
    inputs = (dataset.windows(item) for item in tracked)
    return network_scores(network, inputs, utterances, dataset.labels)


def _protocol(prepared: Prepared, split: Split, tied: Sequence[str]) -> dict[str, Any]:
    return {
        "name": prepared.options.protocol,
        "fold": split.name,
        "hash": split.hash,
        "caveats": [*split.caveats, *caveats_of(split.test, split.labels), *tied],
        "comparable": prepared.options.protocol != "random",
    }


def _write_results(
    folder: Path,
    network: Any,
    normalizers: Mapping[str, Normalizer],
    trained: Trained,
    scores: Scores,
    metrics: dict[str, Any],
) -> None:
    write_bytes(folder / "adapter.npz", normalizers_to_bytes(normalizers))
    write_text(folder / "model.txt", report.model_text(network))
    save_network(network, folder / NETWORK)
    report.write_csv(folder / "history.csv", trained.history)
    report.write_csv(folder / "predictions.csv", report.prediction_rows(scores))
    about = plots.heading(metrics)
    plots.plot_curves(folder / "plots", trained.history, trained.best_epoch, about)
    plots.plot_confusion(folder / "plots", metrics["confusion"], scores.labels, about)
    plots.plot_classes(folder / "plots", metrics, about)
    report.write_json(folder / "metrics.json", metrics)
    if not trained.interrupted:
        (folder / CHECKPOINT).unlink(missing_ok=True)
