"""From files and arrays to predictions and embeddings, in this process or in several."""

from __future__ import annotations

import base64
import json
import os
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Literal, TypeGuard

import numpy as np
from numpy.typing import NDArray

from ..plugins.bundles import open_bundle
from ..runtime.audio.decode import RATES_HZ, Audio, audio_files, check_speech, read_audio
from ..runtime.errors import AudioError, SertkError
from ..runtime.features.base import F32
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.prediction import (
    FailedPrediction,
    Prediction,
    TimedPrediction,
    predict_clip,
)
from ..utils.worker import Worker, WorkerError

AudioInput = str | Path | Audio | NDArray[Any]
"""What can be predicted: a file, samples in memory, or an array with `rate_hz` beside it."""
Errors = Literal["raise", "return"]

LOUDEST = 16.0
"""No float recording is 24 dB above full scale; integers that became floats are."""
MANY_FILES = 64
MOST_CHANNELS = 64
IN_MEMORY = "the audio"
TIMEOUT_S = 3600.0
WORKER = (
    "from ser_toolkit.inference.predict import _work; "
    "from ser_toolkit.utils.worker import serve; serve(_work)"
)


def check_errors(errors: str) -> None:
    """Refuse another value of `errors=` than these two."""
    if errors not in ("raise", "return"):
        raise SertkError(f"errors expects 'raise' or 'return', received {errors!r}")


def is_single(audio: object) -> TypeGuard[AudioInput]:
    """Say whether this is one clip and not a sequence of clips."""
    return isinstance(audio, (str, os.PathLike, Audio)) or hasattr(audio, "__array__")


def checked(clips: Any) -> list[AudioInput]:
    """Return a sequence of clips as a list; refuse anything else."""
    found = list(clips)
    for item in found:
        if not is_single(item):
            raise SertkError(
                f"a file or an array expected, received {type(item).__name__}",
                "Give samples as a numpy array, with rate_hz",
            )
    return found


def opened(audio: AudioInput, rate_hz: int | None) -> tuple[Audio, str]:
    """Return speech, and how errors name it. Raises AudioError."""
    if isinstance(audio, (str, os.PathLike)):
        shown = Path(audio).name
        found = read_audio(audio, shown=shown)
    else:
        shown = IN_MEMORY
        found = audio if isinstance(audio, Audio) else from_array(audio, rate_hz)
    check_speech(found, shown)
    return found, shown


def from_array(samples: Any, rate_hz: int | None) -> Audio:
    """Return samples (N,) or (N, channels) as audio: channels averaged, integers scaled to 1."""
    array = np.asarray(samples)
    if rate_hz is None:
        raise SertkError("an array needs its sample rate", "Add rate_hz=16_000, or what it is")
    if rate_hz not in RATES_HZ:
        raise SertkError(f"rate_hz expects {RATES_HZ.start} to {RATES_HZ[-1]}, received {rate_hz}")
    if array.ndim not in (1, 2) or (array.ndim == 2 and not 0 < array.shape[1] <= MOST_CHANNELS):
        raise SertkError(
            f"samples (N,) or (N, channels) expected, received {array.shape}",
            "Transpose them" if array.ndim == 2 else "",
        )
    if array.dtype.kind not in "fiu" or array.dtype.kind == "u":
        raise SertkError(f"float or signed integer samples expected, received {array.dtype}")
    scale = 1.0 if array.dtype.kind == "f" else 1.0 / (1 << (8 * array.dtype.itemsize - 1))
    with np.errstate(over="ignore", invalid="ignore"):
        values = array.astype(np.float32) * np.float32(scale)
        mono: F32 = values if values.ndim == 1 else values.mean(axis=1, dtype=np.float32)
        peak = float(np.abs(mono).max(initial=0.0))
    if LOUDEST < peak < np.inf:
        raise SertkError(
            f"float samples of full scale 1 expected, received samples up to {peak:.6g}",
            "Divide them by their full scale: 32768, where they were int16",
        )
    return Audio(mono, int(rate_hz))


def predict_one(
    classifier: Classifier, audio: AudioInput, rate_hz: int | None, errors: Errors = "raise"
) -> Prediction | FailedPrediction:
    """Predict one clip.

    Args:
        classifier: What predicts.
        audio: A file or samples.
        rate_hz: Of an array.
        errors: Whether an AudioError is raised, or returned as a FailedPrediction.
    """
    file = str(audio) if isinstance(audio, (str, os.PathLike)) else None
    try:
        sound, shown = opened(audio, rate_hz)
        return predict_clip(classifier, sound, shown, file)
    except AudioError as error:
        if errors == "raise":
            raise
        return FailedPrediction(file, error.problem, error.todo)


def embed_one(classifier: Classifier, audio: AudioInput, rate_hz: int | None) -> F32:
    """Return the embedding (D,) of one clip."""
    sound, shown = opened(audio, rate_hz)
    return classifier.embed(sound, shown)


def embed_many(classifier: Classifier, clips: Sequence[AudioInput], rate_hz: int | None) -> F32:
    """Return the embeddings (N, D) of several clips."""
    if not clips:
        raise SertkError("at least one clip expected, received none")
    return np.stack([embed_one(classifier, clip, rate_hz) for clip in clips])


def predict_many(
    classifier: Classifier,
    bundle: bytes | None,
    clips: Sequence[AudioInput],
    rate_hz: int | None,
    errors: Errors,
    workers: int,
) -> Iterator[Prediction | FailedPrediction]:
    """Yield the prediction of each clip, in order.

    Args:
        classifier: What predicts in this process.
        bundle: The bytes that other processes open; None where a run predicts.
        clips: Files and arrays.
        rate_hz: Of the arrays.
        errors: As for `predict_one`.
        workers: Processes; 0 means one per core where there are many files.
    """
    count = _processes(workers, len(clips), bundle)
    paths = [str(clip) for clip in clips if isinstance(clip, (str, os.PathLike))]
    if bundle is None or count < 2 or len(paths) < len(clips):
        return (predict_one(classifier, clip, rate_hz, errors) for clip in clips)
    return _predict_apart(bundle, paths, errors, count)


def _processes(workers: int, clips: int, bundle: bytes | None) -> int:
    if workers < 0:
        raise SertkError(f"workers expects 0 or more, received {workers}")
    if workers > 1 and bundle is None:
        raise SertkError(
            f"workers expects 0 or 1 for a run, received {workers}",
            "Leave it out: TensorFlow takes all cores; or export the run to a bundle",
        )
    chosen = workers or (os.cpu_count() or 1 if clips >= MANY_FILES else 1)
    return min(chosen, clips)


def _predict_apart(
    bundle: bytes, paths: Sequence[str], errors: Errors, count: int
) -> Iterator[Prediction | FailedPrediction]:
    """Share files out to processes. Each is asked for one file after another by a thread."""
    own = threading.local()
    content = base64.b64encode(bundle).decode()
    with ExitStack() as stack:

        def open_worker() -> None:
            worker = Worker([sys.executable, "-c", WORKER], TIMEOUT_S, {"PYTHONSAFEPATH": "1"})
            own.worker = stack.enter_context(worker)
            worker.ask(content)

        pool = stack.enter_context(ThreadPoolExecutor(count, initializer=open_worker))
        try:
            for values in pool.map(lambda path: own.worker.ask(path), paths):
                found = _from_json(values)
                if errors == "raise" and isinstance(found, FailedPrediction):
                    raise found.exception
                yield found
        except WorkerError as failed:
            raise SertkError(
                f"a process that predicts failed: {failed.cause}", failed.todo
            ) from failed
        finally:
            pool.shutdown(cancel_futures=True)


def _work() -> Iterator[Any]:
    """Answer the bundle, then each path, with what is predicted; in a process of its own."""
    content = base64.b64decode(json.loads(sys.stdin.readline()))
    classifier = open_bundle(content, check=False)  # the parent has verified these very bytes
    yield None
    for line in sys.stdin:
        path = json.loads(line)
        yield _to_json(predict_one(classifier, path, None, "return"))


def _to_json(found: Prediction | FailedPrediction) -> dict[str, Any]:
    if isinstance(found, FailedPrediction):
        return {"file": found.file, "problem": found.problem, "todo": found.todo}
    times = [(window.start_s, window.end_s) for window in found.windows]
    return {**found.to_dict(), "times": times}


def _from_json(values: dict[str, Any]) -> Prediction | FailedPrediction:
    if "problem" in values:
        return FailedPrediction(**values)
    times, windows = values.pop("times"), values.pop("windows")
    exact = [
        TimedPrediction(**{**window, "start_s": start_s, "end_s": end_s})
        for (start_s, end_s), window in zip(times, windows, strict=True)
    ]
    return Prediction(**values, windows=tuple(exact))


def listed(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are, folders as the audio files below them."""
    found: list[Path] = []
    for path in paths:
        inside = list(audio_files(path).values()) if path.is_dir() else [path]
        if not inside:
            raise SertkError(f"there is no audio file below '{path}'", "Give another folder")
        found += inside
    return found


def as_csv(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """Return one line per file (or per window where there are windows), with a header."""
    heads = ["file", "start_s", "end_s", "label", "uncertain", *labels, "error"]
    lines = [heads]
    for row in rows:
        for part in row.get("windows", [row]):
            lines.append(_cells(row, part, labels))
    return "\n".join(",".join(_quoted(cell) for cell in line) for line in lines) + "\n"


def _cells(row: dict[str, Any], part: dict[str, Any], labels: Sequence[str]) -> list[str]:
    shares = part.get("probabilities", {})
    return [
        row["file"],
        str(part.get("start_s", "")),
        str(part.get("end_s", "")),
        part.get("label", ""),
        json.dumps(part["uncertain"]) if "uncertain" in part else "",
        *(f"{shares[label]:.6f}" if label in shares else "" for label in labels),
        row.get("error", ""),
    ]


def _quoted(cell: str) -> str:
    return '"' + cell.replace('"', '""') + '"' if set(cell) & set(',"\n') else cell


def top(probabilities: dict[str, float], count: int) -> list[tuple[str, float]]:
    """Return the `count` most probable emotions, the first first."""
    order = np.argsort([-p for p in probabilities.values()], kind="stable")
    ranked = list(probabilities.items())
    return [ranked[index] for index in order[:count]]
