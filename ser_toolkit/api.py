"""The Python API, which the command line calls: functions with keyword arguments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from . import cross_validation as folds
from . import pipeline
from .export import quantize as quantization
from .inference import evaluate as evaluation
from .inference import extract as extraction
from .inference import predict as prediction
from .inspection import overview as inspection
from .runtime.bundle.modes import MODES
from .runtime.bundle.signing import read_key
from .runtime.errors import SertkError
from .training.run_dir import Run
from .utils.progress import Callback

Data = str | Path | Sequence[str | Path]


def _paths(data: Data) -> tuple[str, ...]:
    return tuple(map(str, [data] if isinstance(data, (str, Path)) else data))


def train(
    data: Data,
    *,
    plugin: str | None = None,
    recipe: str | None = None,
    reader: str | None = None,
    protocol: str = "holdout",
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int = 0,
    workers: int = 0,
    out: str | Path | None = None,
    resume: bool = False,
    fold: int = 1,
    callback: Callback | None = None,
) -> Run:
    """Train one fold of a protocol and test it on speakers that it never heard.

    Args:
        data: A folder, a table, `"synthetic"`, or several of these.
        plugin: The plugin whose recipe, or whose component in the default recipe, is trained.
        recipe: A recipe's name, or a `.toml` file.
        reader: Who reads `data`, where it is not to be found out.
        protocol: What is the test side: `holdout`, `kfold:5`, `loso`, `official`, …
        emotions: Those that count; all, if empty.
        mapping: Renames emotions.
        settings: Strings `"stage.field=value"`, as for `--set`.
        epochs: In place of the recipe's.
        seed: Of everything that is drawn.
        workers: Processes that compute features; 0 means one per core.
        out: The run directory, by default `runs/RECIPE-TIME`; new, or with `resume` an old one.
        resume: Go on where a run in `out` stopped.
        fold: Which fold of the protocol, from 1 on.
        callback: Receives messages, warnings and progress.

    Returns:
        The run: its directory and its figures.

    Raises:
        SertkError: For what a user can mend.
    """
    options = pipeline.Options(
        _paths(data), plugin, recipe, reader, protocol, tuple(emotions), mapping, tuple(settings),
        epochs, seed, workers,
    )  # fmt: skip
    return pipeline.train(options, Path(out) if out else None, resume, fold, callback)


def crossval(
    data: Data,
    *,
    plugin: str | None = None,
    recipe: str | None = None,
    reader: str | None = None,
    protocol: str = "kfold:5",
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    settings: Sequence[str] = (),
    epochs: int | None = None,
    seed: int = 0,
    workers: int = 0,
    quantize: str | None = None,
    out: str | Path | None = None,
    resume: bool = False,
    callback: Callback | None = None,
) -> Run:
    """Train and test every fold of a protocol; figures are pooled and per fold.

    Arguments are those of `train`. With `quantize`, a mode such as "int8", every fold is scored in
    that form as well.
    """
    options = pipeline.Options(
        _paths(data), plugin, recipe, reader, protocol, tuple(emotions), mapping, tuple(settings),
        epochs, seed, workers,
    )  # fmt: skip
    return folds.crossval(options, Path(out) if out else None, resume, callback, quantize)


def quantize(
    run: str | Path | Run,
    *,
    mode: str = "int8",
    out: str | Path | None = None,
    data: Data = (),
    reader: str | None = None,
    max_drop: float = 2.0,
    force: bool = False,
    float_layers: Sequence[str] = (),
    with_frontend: bool = False,
    workers: int = 0,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Turn a run into a bundle (`out`, by default in the run), and say what that costs.

    `mode` is one of float32, float16, dynamic, int8, int16x8, or `"all"`. `data` is needed only
    where the features of the run's clips are no longer in the cache, and by `with_frontend`, which
    also writes a `.tflite` that takes raw audio; `workers` processes compute the features that the
    cache lacks. The result has the figures of each mode, and `bundles` and `tflite`, the files
    written.
    """
    opened = _run(run)
    modes = MODES if mode == "all" else (mode,)
    options = quantization.Options(
        modes, _paths(data), reader, max_drop, force, tuple(float_layers), with_frontend, workers
    )
    return quantization.quantize(opened, options, _bundle(opened, out), callback or Callback())


def load(
    path: str | Path | Run, *, require_signature: str | Path | None = None, threads: int = 1
) -> prediction.Model:
    """Open a run directory or a bundle: `load("x.sertk").predict("a.wav")`.

    With `require_signature`, a file with a public key, only a bundle that its owner signed is
    opened.
    """
    return prediction.load(_path(path), _key(require_signature), threads)


def evaluate(
    run: str | Path | Run,
    data: Data,
    *,
    reader: str | None = None,
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    include_training: bool = False,
    require_signature: str | Path | None = None,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Score a run or a bundle on clips that took no part in its training.

    These are its test side and new clips; `include_training` adds those that it has learnt, and
    labels the figure.
    """
    return evaluation.evaluate(
        _path(run), _paths(data), reader, tuple(emotions), mapping, callback or Callback(),
        include_training, _key(require_signature),
    )  # fmt: skip


def predict(
    run: str | Path | Run,
    files: Data,
    *,
    windows: bool = False,
    workers: int = 1,
    require_signature: str | Path | None = None,
    callback: Callback | None = None,
) -> list[dict[str, Any]]:
    """Return one dict per file of a run or a bundle; folders stand for the audio files in them.

    It has `file`, `emotion`, `probabilities`, `uncertain`, and `windows` if asked for; or `file`
    and `error`, for a file that cannot be used.
    """
    model = load(run, require_signature=require_signature)
    paths = prediction.listed([Path(path) for path in _paths(files)])
    answers: list[dict[str, Any]] = model.predict(paths, windows, workers, callback)
    return answers


def extract(
    recipe: str,
    *,
    files: Data = (),
    data: Data = (),
    out: str | Path,
    reader: str | None = None,
    settings: Sequence[str] = (),
    workers: int = 0,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Extract features of files (`.npy`, `.npz`) or of a corpus (`.npz`, `.csv`); return a summary.

    `recipe` names the extractors, the ending of `out` chooses the form, nothing is standardised.
    """
    return extraction.extract(
        recipe, [Path(path) for path in _paths(files)], _paths(data), Path(out), reader,
        tuple(settings), workers, callback or Callback(),
    )  # fmt: skip


def inspect(
    file: str | Path,
    *,
    recipe: str | None = None,
    out: str | Path | None = None,
    play_dir: str | Path | None = None,
    settings: Sequence[str] = (),
    seed: int = 0,
    callback: Callback | None = None,
) -> dict[str, Any]:
    """Draw one recording in one picture (`out`, PNG), its augmented sounds in `play_dir`; its
    figures.

    Without a recipe, every installed augmenter is shown with its defaults.
    """
    return inspection.inspect(
        Path(file), recipe, Path(out) if out else None, Path(play_dir) if play_dir else None,
        tuple(settings), seed, callback or Callback(),
    )  # fmt: skip


def _path(run: str | Path | Run) -> Path:
    return run.path if isinstance(run, Run) else Path(run)


def _bundle(run: Run, out: str | Path | None) -> Path:
    if out is None:
        return run.path / f"{run.metrics['recipe']}.sertk"
    if Path(out).suffix != ".sertk":
        raise SertkError(f"a bundle's name ends in .sertk, received '{out}'", "Fix --out")
    return Path(out)


def _key(path: str | Path | None) -> bytes | None:
    return None if path is None else read_key(Path(path))


def _run(run: str | Path | Run) -> Run:
    return run if isinstance(run, Run) else Run(Path(run))
