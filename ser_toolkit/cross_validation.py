"""Train all folds of a protocol in parallel processes, and pool their test clips."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .contracts.components import Utterance
from .data.leakage import audit_caveats
from .data.split import Split, parse_protocol, protocol_hash
from .export.converter import check_mode
from .export.quantize import facts_name, predictions_name, quantize_fold
from .metrics.caveats import caveats_of
from .metrics.paired import compare
from .metrics.scores import Scores, compute_metrics
from .pipeline import run_fold
from .runtime.errors import SertkError
from .training import plots, report
from .training.options import TrainOptions
from .training.outputs import OutputError, refuse_incomplete, write_all
from .training.prepared import (
    Prepared,
    plugins_of,
    prepare,
    write_plan,
    write_recipe,
    write_run_file,
)
from .training.run_dir import RunDirectory, check_folder, open_folder, read_scores
from .training.run_file import RunFile
from .utils.parallel import worker_processes
from .utils.progress import Callback, FileLogger

POLL_S = 0.5
NO_MEAN = "the folds have test clips of different classes: their UARs have no common mean"


def crossval(
    options: TrainOptions,
    callback: Callback,
    mode: str | None = None,
    earlier: RunFile | None = None,
) -> RunDirectory:
    """Train and test every fold, and return the run of the pooled predictions.

    Finished folds are kept, so an interrupted call can be resumed.

    Args:
        options: What to train on, with which recipe and protocol.
        callback: Receiver of messages and progress.
        mode: Mode in which every fold's network is also quantized and scored; None skips that.
        earlier: The run that is repeated or resumed.

    Raises:
        OutputError: Where the folds were scored and some results could not be written.
        SertkError: For a protocol with one fold, an unknown mode, or unusable data.
    """
    if mode is not None:
        check_mode(mode)
    check_folder(options.folder, options.resume)
    if parse_protocol(options.protocol)[0] in ("holdout", "official", "random"):
        raise SertkError(
            f"protocol '{options.protocol}' has one fold", "Use loso or kfold:K, or `sertk train`"
        )
    plugins = plugins_of(options)
    # A single fold is trained in this process, and with so many threads.
    prepared = prepare(options, plugins, callback, 1, options.processes, earlier)
    name = f"{prepared.assembly.recipe.name}-crossval"
    folder = open_folder(options.folder, name, options.resume)
    log = FileLogger(folder, callback, prepared.messages)
    write_recipe(prepared, folder)
    write_run_file(prepared, folder, "crossval", {"quantize": mode})
    _fill(prepared, log)
    waiting = [i for i, split in enumerate(prepared.splits) if not _done(folder, i, split)]
    try:
        failures = _watch(prepared, folder, waiting, log)
    except KeyboardInterrupt:
        _stop_workers()
        log.warn("stopped by Ctrl-C; `sertk resume` with its folder goes on")
        raise
    if mode:
        numbers = range(len(prepared.splits))
        for number in log.track(numbers, f"Quantizing folds to {mode}", len(numbers)):
            quantize_fold(RunDirectory(fold_folder(folder, number)), mode, plugins)
    _pool(prepared, folder, log, mode, failures)
    return RunDirectory(folder)


def _watch(
    prepared: Prepared, folder: Path, waiting: Sequence[int], log: Callback
) -> list[SertkError]:
    """Run the folds; return why pictures of some could not be drawn."""
    failures: list[SertkError] = []
    epochs = _folds(prepared, folder, waiting, failures)
    for _ in log.track(epochs, "Training folds", _total_epochs(prepared, waiting)):
        pass
    return failures


def fold_folder(folder: Path, number: int) -> Path:
    """Return the run directory of fold `number`, from 0."""
    return folder / f"fold-{number + 1:02d}"


def _done(folder: Path, number: int, split: Split) -> bool:
    run = RunDirectory(fold_folder(folder, number))
    return run.finished and run.metrics["protocol"]["hash"] == split.hash


def _fill(prepared: Prepared, log: Callback) -> None:
    """Compute all features before the folds start, which share them."""
    augmented_copies = range(1, prepared.assembly.augmented_copies + 1)
    training = {item.hash for split in prepared.splits for item in split.train}
    copies: list[tuple[Utterance, int]] = []
    for item in prepared.corpus.utterances:
        copies += [(item, 0)]
        copies += [(item, copy) for copy in augmented_copies if item.hash in training]
    prepared.store.fill(prepared.features, copies, prepared.options.processes, log)


def _total_epochs(prepared: Prepared, waiting: Sequence[int]) -> int:
    return len(waiting) * prepared.assembly.recipe.training.epochs


def _folds(
    prepared: Prepared, folder: Path, waiting: Sequence[int], failures: list[SertkError]
) -> Iterator[None]:
    """Run the folds; yield one None per epoch done, for the progress bar."""
    results: list[BaseException | None] = []
    worker = threading.Thread(target=_train_all, args=(prepared, folder, waiting, results))
    worker.daemon = True
    worker.start()
    seen, total = _finished_epochs(folder, waiting), _total_epochs(prepared, waiting)
    yield from (None,) * seen
    while worker.is_alive():
        time.sleep(POLL_S)
        now = _finished_epochs(folder, waiting)
        yield from (None,) * (now - seen)
        seen = max(seen, now)
    yield from (None,) * (total - seen)
    for result in results:
        if result is not None and not isinstance(result, OutputError):
            raise result
    failures += [result for result in results if isinstance(result, OutputError)]


def _train_all(
    prepared: Prepared,
    folder: Path,
    waiting: Sequence[int],
    results: list[BaseException | None],
) -> None:
    from joblib import delayed

    workers = max(1, min(prepared.options.processes, len(waiting)))
    threads = max(1, prepared.options.processes // workers)
    try:
        tasks = (delayed(_train_one)(prepared, folder, number, threads) for number in waiting)
        results += worker_processes(workers)(tasks)
    except BaseException as error:  # handed to the thread that waits, which raises it
        results.append(error)


def _stop_workers() -> None:
    """Stop the unfinished folds; their checkpoints stay."""
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor(reuse=True).shutdown(wait=False, kill_workers=True)


def _train_one(prepared: Prepared, folder: Path, number: int, threads: int) -> OutputError | None:
    """Run a fold; return why it lacks a picture, and raise where it lacks more."""
    if threading.current_thread() is threading.main_thread():
        # In a worker process. Ctrl-C reaches all of a terminal; the parent decides what it means.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    own_folder = fold_folder(folder, number)
    own_folder.mkdir(parents=True, exist_ok=True)
    split = prepared.splits[number]
    log = FileLogger(own_folder, Callback(), prepared.messages)
    write_plan(prepared, split, own_folder)
    try:
        run_fold(prepared, split, own_folder, log, threads, threads)
    except OutputError as incomplete:
        if RunDirectory(own_folder).finished:
            return incomplete
        raise
    return None


def _finished_epochs(folder: Path, waiting: Sequence[int]) -> int:
    """Count the epochs in the history files of the unfinished folds."""
    total = 0
    for number in waiting:
        path = fold_folder(folder, number) / "history.csv"
        if path.exists():
            total += max(0, len(path.read_text("utf-8").splitlines()) - 1)
    return total


def _pool(
    prepared: Prepared,
    folder: Path,
    log: Callback,
    mode: str | None,
    failures: Sequence[SertkError],
) -> None:
    """Score all test clips of all folds together, and each fold alone."""
    runs = [RunDirectory(fold_folder(folder, number)) for number in range(len(prepared.splits))]
    parts = [
        read_scores(run.file("predictions.csv"), split.test, split.labels)
        for run, split in zip(runs, prepared.splits, strict=True)
    ]
    scores = _joined(parts)
    folds = [_fold_row(run, split) for run, split in zip(runs, prepared.splits, strict=True)]
    uars = [row["uar"] for row in folds]
    alike = len({frozenset(part.truth.tolist()) for part in parts}) == 1
    caveats = caveats_of(scores.utterances, scores.labels)
    caveats += sorted({caveat for split in prepared.splits for caveat in split.caveats})
    first = runs[0].metrics
    caveats += dict.fromkeys(line for run in runs for line in audit_caveats(run.metrics["audit"]))
    metrics = {
        "recipe": prepared.assembly.recipe.name,
        "synthetic": prepared.corpus.synthetic,
        **compute_metrics(scores, prepared.options.seed),
        "mean_uar": float(np.mean(uars)) if alike else None,
        "sd_uar": float(np.std(uars, ddof=1)) if alike else None,
        "folds": folds,
        "protocol": {
            "name": prepared.options.protocol,
            "hash": protocol_hash(prepared.splits),
            "caveats": caveats if alike else [*caveats, NO_MEAN],
            "comparable": parse_protocol(prepared.options.protocol)[0] != "random",
        },
        "audit": {"clean": all(run.metrics["audit"]["clean"] for run in runs)},
        "parameters": first["parameters"],
        **prepared.provenance,
        "seconds": sum(run.metrics["seconds"] for run in runs),
    }
    if mode:
        metrics["quantized"] = _quantized(prepared, runs, scores, mode)
    refuse_incomplete([*failures, *_written(folder, scores, metrics, log)], metrics, folder)


def _written(
    folder: Path, scores: Scores, metrics: Mapping[str, Any], log: Callback
) -> list[SertkError]:
    """Write the pooled results; return why some could not be written."""
    note, folds, drawn = report.label_of(metrics), metrics["folds"], folder / "plots"
    about = plots.heading(metrics)
    rows = report.prediction_rows(scores)
    line = f"pooled UAR {100 * metrics['uar']:.1f} over {len(folds)} folds{note}"
    table, summary = folder / "predictions.csv", folder / "metrics.json"
    failures = write_all([(table.name, lambda: report.write_csv(table, rows))])
    if not failures:  # the metrics mark a finished run
        failures += write_all([(summary.name, lambda: report.write_json(summary, metrics))])
    counts, labels = metrics["confusion"], scores.labels
    return failures + write_all(
        [
            ("log.txt", lambda: log.note(line)),
            ("confusion", lambda: plots.plot_confusion(drawn, counts, labels, about)),
            ("classes", lambda: plots.plot_classes(drawn, metrics, about)),
            ("folds", lambda: plots.plot_folds(drawn, folds, metrics["uar"], about)),
        ]
    )


def _quantized(
    prepared: Prepared, runs: Sequence[RunDirectory], scores: Scores, mode: str
) -> dict[str, Any]:
    """Compare a mode with Keras on all test clips, each predicted by the network of its fold."""
    parts = [
        read_scores(run.file(predictions_name(mode)), split.test, split.labels)
        for run, split in zip(runs, prepared.splits, strict=True)
    ]
    sizes = [run.json(facts_name(mode))["bytes"] for run in runs]
    return {
        "mode": mode,
        "bytes": max(sizes),
        **compare(scores, _joined(parts), prepared.options.seed),
    }


def _joined(parts: Sequence[Scores]) -> Scores:
    return Scores(
        tuple(item for part in parts for item in part.utterances),
        parts[0].labels,
        np.concatenate([part.truth for part in parts]),
        np.concatenate([part.probabilities for part in parts]),
    )


def _fold_row(run: RunDirectory, split: Split) -> dict[str, Any]:
    metrics = run.metrics
    keys = ("uar", "wa", "macro_f1", "loss", "best_epoch", "seconds")
    name = split.name.partition("test ")[2] or split.name
    return {"fold": name, "clips": len(split.test), **{key: metrics[key] for key in keys}}
