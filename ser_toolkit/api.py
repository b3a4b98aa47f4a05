"""The Python API, which the command line calls: functions with keyword arguments."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Any, TypeVar

from . import cross_validation, pipeline
from .contracts.recipe import Recipe
from .export import quantize as quantization
from .inference import extract as extraction
from .inference import model
from .inference import predict as prediction
from .inference.model import Model
from .inference.predict import Errors
from .inference.run import Run
from .inspection import overview as inspection
from .plugins.registry import load_plugins
from .plugins.settings import SettingsInput, settings_of
from .runtime.audio.channels import MIX, Channel
from .runtime.bundle.modes import MODES
from .runtime.bundle.signing import read_key
from .runtime.errors import SertkError
from .runtime.inference.prediction import FailedPrediction, Prediction
from .training import run_file
from .training.options import Data, TrainOptions, paths_of
from .training.run_dir import RunDirectory
from .training.run_file import Kind, RunFile
from .utils.files import check_file
from .utils.progress import CallbackInput, receiver
from .utils.tables import Result

F = TypeVar("F", bound=Callable[..., Any])


def _takes_options(**defaults: Any) -> Callable[[F], F]:
    """Give a function of `data` and `**options` the signature that it has in fact."""

    def decorate(function: F) -> F:
        own = [one for one in signature(function).parameters.values() if one.name != "options"]
        shared = [
            Parameter(
                one.name,
                Parameter.KEYWORD_ONLY,
                default=defaults.get(one.name, one.default),
                annotation=one.type,
            )
            for one in fields(TrainOptions)[1:]
        ]
        whole = [own[0], *shared, *own[1:]]
        returned = signature(function).return_annotation
        set_signature: Any = function
        set_signature.__signature__ = Signature(whole, return_annotation=returned)
        return function

    return decorate


def _arguments(
    function: Callable[..., Any], kind: Kind, chosen: Mapping[str, Any]
) -> tuple[dict[str, Any], RunFile | None]:
    """Return the arguments, those of a run.toml with the chosen ones in their place, and that run.

    An unknown keyword is refused with the list of those that exist.
    """
    known = signature(function).parameters
    for name in chosen:
        if name not in known:
            raise TypeError(
                f"{function.__name__}() has no argument '{name}'; choose from {', '.join(known)}"
            )
    given = {key: value for key, value in chosen.items() if value is not None}
    if not paths_of(given["data"]):
        del given["data"]
    if not run_file.is_run_file(given.get("recipe")):
        protocol = known["protocol"].default
        return {"data": (), "protocol": protocol, **given}, None
    earlier = run_file.read_run_file(Path(given.pop("recipe")), kind)
    return earlier.arguments(given), earlier


@_takes_options()
def train(
    data: Data = (), *, fold: int | None = None, callback: CallbackInput = "auto", **options: Any
) -> Run:
    """Train one fold of a protocol and test it on speakers that took no part.

    Args:
        data: A folder, a table, `"synthetic"`, or several of these. Of a run that is repeated, its
            own if left out.
        fold: Which fold of the protocol, from 1 on; the first by default.
        callback: Receives messages, warnings and progress; `"auto"` prints them in a terminal or a
            notebook, None is silent.
        **options: `plugin`, `recipe`, `settings`, `epochs` and more: the fields of `TrainOptions`.
            With the run.toml of a run as `recipe`, that run is repeated.

    Returns:
        The run: its directory, its metrics and its model.

    Raises:
        OutputError: Where some of the results could not be written; it has the metrics.
        SertkError: For what a user can fix.
    """
    chosen, earlier = _arguments(train, "train", {"data": data, "fold": fold, **options})
    return _train(chosen, earlier, callback)


@_takes_options(protocol="kfold:5")
def crossval(
    data: Data = (),
    *,
    quantize: str | None = None,
    callback: CallbackInput = "auto",
    **options: Any,
) -> Run:
    """Train and test every fold of a protocol; metrics are pooled and per fold.

    Args:
        data: As for `train`.
        quantize: A mode such as "int8", in which every fold is scored as well.
        callback: As for `train`.
        **options: As for `train`; `protocol` is `"kfold:5"` unless chosen.
    """
    chosen, earlier = _arguments(
        crossval, "crossval", {"data": data, "quantize": quantize, **options}
    )
    return _crossval(chosen, earlier, callback)


def resume(path: str | Path, *, data: Data = (), callback: CallbackInput = "auto") -> Run:
    """Go on where a run of `train` or `crossval` stopped; return a finished one as it is.

    Args:
        path: The run directory.
        data: Where its data are now, if they were moved.
        callback: As for `train`.

    Raises:
        SertkError: For a folder without a run.toml, or with components of other versions.
    """
    run = Run(Path(path))
    if run.finished:
        receiver(callback).note(f"'{run.path}' is finished; nothing is left to do")
        return run
    earlier = run_file.read_run_file(run.path)
    moved = {"data": data} if paths_of(data) else {}
    chosen = earlier.arguments({**moved, "out": run.path, "resume": True})
    return (_train if earlier.kind == "train" else _crossval)(chosen, earlier, callback)


def _train(chosen: dict[str, Any], earlier: RunFile | None, callback: CallbackInput) -> Run:
    fold = chosen.pop("fold", 1)
    done = pipeline.train(TrainOptions(**chosen), fold, receiver(callback), earlier)
    return Run(done.path)


def _crossval(chosen: dict[str, Any], earlier: RunFile | None, callback: CallbackInput) -> Run:
    mode = chosen.pop("quantize", None)
    options = TrainOptions(**chosen)
    return Run(cross_validation.crossval(options, receiver(callback), mode, earlier).path)


def quantize(
    run: str | Path | RunDirectory,
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
    callback: CallbackInput = "auto",
) -> Result:
    """Turn a run into a bundle (`out`, by default in the run), and say what that costs.

    `mode` is one of float32, float16, dynamic, int8, int16x8, or `"all"`. `data` is needed only
    where the features of the run's clips are no longer in the cache, and by `with_frontend`, which
    also writes a `.tflite` that takes raw audio; `workers` processes compute the features that the
    cache lacks. The result has the metrics of each mode, and `bundles` and `tflite`, the files
    written.
    """
    opened = _run(run)
    modes = MODES if mode == "all" else (mode,)
    options = quantization.Options(
        modes, paths_of(data), reader, max_drop, force, tuple(float_layers), with_frontend, workers
    )
    found = quantization.quantize(opened, options, _bundle(opened, out), receiver(callback))
    return Result(found)


def load(
    path: str | Path | RunDirectory,
    *,
    require_signature: str | Path | None = None,
    threads: int | None = None,
) -> Model:
    """Open a run directory or a bundle: `load("x.sertk").predict("a.wav").label`.

    Args:
        path: Where it is.
        require_signature: A file with a public key: only a bundle that it has signed is opened.
        threads: Of a bundle's interpreter, by default one. A run takes all cores and refuses it.
    """
    return model.load(_path(path), _key(require_signature), threads)


def evaluate(
    run: str | Path | RunDirectory,
    data: Data,
    *,
    reader: str | None = None,
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    include_training: bool = False,
    channel: Channel | None = None,
    require_signature: str | Path | None = None,
    callback: CallbackInput = "auto",
) -> Result:
    """Score a run or a bundle on clips that took no part in its training.

    Args:
        run: A run or a bundle.
        data: A folder, a table, or several of these: clips of its test subset and new ones count.
        reader: Who reads `data`, where it is not to be found out.
        emotions: Those that count; all, if empty.
        mapping: Renames emotions.
        include_training: Score what it was trained on as well, and mark the metrics as such.
        channel: As for `Model.predict`.
        require_signature: A file with a public key: only a bundle that it has signed is opened.
        callback: Receives warnings and progress.
    """
    # All plugins, since any of them may read the data: each that is broken is named before.
    opened = model.load(_path(run), _key(require_signature), plugins=load_plugins())
    return opened.evaluate(
        data,
        reader=reader,
        emotions=emotions,
        mapping=mapping,
        include_training=include_training,
        channel=channel,
        callback=callback,
    )


def predict(
    run: str | Path | RunDirectory,
    files: Data,
    *,
    errors: Errors = "raise",
    workers: int = 0,
    channel: Channel | None = None,
    require_signature: str | Path | None = None,
    callback: CallbackInput = "auto",
) -> list[Prediction | FailedPrediction]:
    """Return one prediction per file of a run or a bundle.

    Args:
        run: A run or a bundle.
        files: Audio files; folders stand for the audio files in them.
        errors: `"raise"`; or `"return"`, a `FailedPrediction` in the place of a prediction.
        workers: As for `Model.predict`.
        channel: As for `Model.predict`.
        require_signature: A file with a public key: only a bundle that it has signed is opened.
        callback: Receives warnings and progress.
    """
    opened = load(run, require_signature=require_signature)
    paths = prediction.listed([Path(path) for path in paths_of(files)])
    found = opened.predict(
        paths, errors=errors, workers=workers, channel=channel, callback=callback
    )
    return [*found]


def extract(
    recipe: str | Path | Recipe,
    *,
    files: Data = (),
    data: Data = (),
    out: str | Path,
    reader: str | None = None,
    settings: SettingsInput = (),
    workers: int = 0,
    channel: Channel = MIX,
    whole_clip: bool = False,
    callback: CallbackInput = "auto",
) -> Result:
    """Extract features of files (`.npy`, `.npz`) or of a corpus (`.npz`, `.csv`); return a summary.

    `recipe` names the extractors, the ending of `out` chooses the form, nothing is standardised.
    With `whole_clip` a window extractor gets each clip whole, in place of its windows.
    `channel` of files with several is `mix` (their mean), `left`, `right`, or a number from 1 on.
    """
    check_file(out)
    return extraction.extract(
        _recipe(recipe),
        [Path(path) for path in paths_of(files)],
        paths_of(data),
        Path(out),
        reader,
        settings_of(settings),
        workers,
        receiver(callback),
        channel,
        whole_clip,
    )


def inspect(
    file: str | Path,
    *,
    recipe: str | Path | Recipe | None = None,
    out: str | Path | None = None,
    play_dir: str | Path | None = None,
    settings: SettingsInput = (),
    seed: int = 0,
    callback: CallbackInput = "auto",
) -> Result:
    """Draw one recording as a picture (`out`, PNG), and return its measurements.

    With `play_dir` its augmented sounds are written there. Without a recipe, every installed
    augmenter is shown with its defaults.
    """
    check_file(out)
    found = inspection.inspect(
        Path(file),
        None if recipe is None else _recipe(recipe),
        Path(out) if out else None,
        Path(play_dir) if play_dir else None,
        settings_of(settings),
        seed,
        receiver(callback),
    )
    return Result(found)


def _recipe(recipe: str | Path | Recipe) -> str | Recipe:
    return str(recipe) if isinstance(recipe, Path) else recipe


def _path(run: str | Path | RunDirectory) -> Path:
    return run.path if isinstance(run, RunDirectory) else Path(run)


def _bundle(run: RunDirectory, out: str | Path | None) -> Path:
    if out is None:
        return run.path / f"{run.metrics['recipe']}.sertk"
    if Path(out).suffix != ".sertk":
        raise SertkError(f"a bundle's name ends in .sertk, received '{out}'", "Fix --out")
    check_file(out)
    return Path(out)


def _key(path: str | Path | None) -> bytes | None:
    return None if path is None else read_key(Path(path))


def _run(run: str | Path | RunDirectory) -> RunDirectory:
    return run if isinstance(run, RunDirectory) else RunDirectory(Path(run))
