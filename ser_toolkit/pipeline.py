"""Train one fold, from clips to metrics of its test clips: the story of the toolkit."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .contracts.components import Utterance
from .data.batches import Dataset, fit_normalizers
from .data.leakage import audit, audit_caveats, audit_summary
from .data.levels import speech_level_range
from .data.split import Split
from .metrics.calibration import chow_threshold, fit_temperature
from .metrics.caveats import caveats_of
from .metrics.scores import (
    Scores,
    compute_metrics,
    network_probabilities,
    network_scores,
)
from .training import report
from .training.backend import prepare_backend
from .training.checkpoint import Checkpoint
from .training.loop import fit
from .training.network import build_network
from .training.options import TrainOptions
from .training.prepared import Prepared, plugins_of, prepare, write_plan, write_run_file
from .training.results import CHECKPOINT, write_results
from .training.run_dir import RunDirectory, check_folder, open_folder
from .training.run_file import RunFile
from .utils.progress import Callback, FileLogger


def train(
    options: TrainOptions, fold: int, callback: Callback, earlier: RunFile | None = None
) -> RunDirectory:
    """Train one fold of the protocol and write its run directory.

    Args:
        options: What to train on, with which recipe and protocol.
        fold: The fold, from 1.
        callback: Receiver of messages and progress.
        earlier: The run that is repeated or resumed.
    """
    check_folder(options.folder, options.resume)
    prepared = prepare(options, plugins_of(options), callback, fold, earlier=earlier)
    split = prepared.splits[fold - 1]
    folder = open_folder(options.folder, prepared.assembly.recipe.name, options.resume)
    log = FileLogger(folder, callback, prepared.messages)
    write_plan(prepared, split, folder)
    write_run_file(prepared, folder, "train", {"fold": fold})
    run_fold(prepared, split, folder, log, options.processes)
    return RunDirectory(folder)


def run_fold(
    prepared: Prepared,
    split: Split,
    folder: Path,
    log: Callback,
    workers: int,
    threads: int | None = None,
) -> dict[str, Any]:
    """Train and test one fold, write its results into `folder`, and return its metrics.

    The order is features, normalizer, network, calibration, scores.

    Args:
        prepared: What all folds share.
        split: The fold.
        folder: Its run directory, which has the plan of the fold and may hold an unfinished run.
        log: Receiver of messages and progress.
        workers: Processes that compute features.
        threads: Threads of TensorFlow; None leaves the choice to it.

    Raises:
        OutputError: Where the fold was scored and some of its results could not be written.
    """
    began = time.perf_counter()
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
    levels = speech_level_range(prepared.features, split.train, dataset.augmented_copies)
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
        "speech_level": levels,
        "best_epoch": trained.best_epoch,
        "epochs": len(trained.history),
        "interrupted": trained.interrupted,
        "sides": {name: len(getattr(split, name)) for name in ("train", "validation", "test")},
        **prepared.provenance,
        "seconds": round(time.perf_counter() - began, 1),
    }
    write_results(folder, network, dataset.normalizers, trained, scores, metrics, log)
    return metrics


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
    return build_network(prepared.assembly.model, shapes, len(split.labels))


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
