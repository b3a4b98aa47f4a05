"""What a run or a bundle hears in files. A bundle needs the base and a TFLite runtime alone."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..plugins.bundles import open_bundle
from ..plugins.registry import load_plugins
from ..runtime.audio.decode import Audio, audio_files, check_speech, read_audio
from ..runtime.bundle.file import read_bytes
from ..runtime.errors import AudioError, SertkError
from ..runtime.features.base import F32, Extractor
from ..runtime.features.window import Window
from ..runtime.inference.classifier import Classifier
from ..runtime.inference.inputs import signal_of, utterance_score, window_times
from ..training.run_dir import Run
from ..utils.progress import Callback

MANY_FILES = 64
CHUNK = 8


@dataclass(frozen=True, eq=False)
class Model:
    """A run or a bundle that has been opened: `predict` answers for files.

    `uncertain_below` is the confidence below which an answer counts as uncertain. `bundle` has the
    bytes of a bundle, which worker processes open again.
    """

    name: str
    labels: tuple[str, ...]
    uncertain_below: float
    extractor: Extractor
    window: Window
    hear: Callable[[Audio, str], F32] = field(repr=False)
    bundle: bytes | None = field(default=None, repr=False)

    def predict(
        self,
        files: str | Path | Sequence[str | Path],
        windows: bool = False,
        workers: int = 1,
        callback: Callback | None = None,
    ) -> Any:
        """Return one answer, or a list of them for a sequence of files; see `answer`.

        Many files are shared out to `workers` processes (0: one per core) where a bundle answers.
        A file that cannot be used has `error` in place of an answer.
        """
        if isinstance(files, (str, Path)):
            return self.answer(Path(files), windows)
        paths = [Path(path) for path in files]
        found = answers(self, paths, windows, workers)
        return list((callback or Callback()).track(found, "Predicting", len(paths)))

    def answer(self, path: Path, windows: bool = False) -> dict[str, Any]:
        """Return `file`, `emotion`, `probabilities`, `uncertain`; with `windows` also the timeline.

        The emotion is the most probable one even where the answer counts as uncertain. Or `file`
        and `error`.
        """
        try:
            audio = read_audio(path, shown=path.name)
            check_speech(audio, path.name)
            heard = self.hear(audio, path.name)
        except AudioError as error:
            return {"file": str(path), "error": str(error)}
        answer = {"file": str(path), **self._judged(utterance_score(heard))}
        if windows:
            times = window_times(self.extractor, self.window, signal_of(audio, self.extractor))
            answer["windows"] = [
                {"start_s": round(start, 3), "end_s": round(end, 3), **self._judged(row)}
                for (start, end), row in zip(times, heard, strict=True)
            ]
        return answer

    def _judged(self, probabilities: F32) -> dict[str, Any]:
        return {
            "emotion": self.labels[int(probabilities.argmax())],
            "probabilities": {
                label: float(p) for label, p in zip(self.labels, probabilities, strict=True)
            },
            "uncertain": bool(probabilities.max() < self.uncertain_below),
        }


def load(path: Path, public_key: bytes | None = None, threads: int = 1) -> Model:
    """Open a run directory or a bundle; the bundle is verified and self-tested first."""
    if path.is_dir():
        if public_key is not None:
            raise SertkError("a run directory has no signature", "Give a signed bundle")
        return _of_run(Run(path))
    if not path.exists():
        raise SertkError(f"there is no run directory or bundle '{path}'", "Check the path")
    content = read_bytes(path)
    return _of_bundle(open_bundle(content, public_key, threads), content)


def _of_run(run: Run) -> Model:
    from ..metrics.scores import network_probabilities

    predictor = run.predictor(load_plugins())

    def hear(audio: Audio, shown: str) -> F32:
        return network_probabilities(predictor.network, [predictor.inputs(audio, shown)])[0]

    metrics = run.metrics
    return Model(
        metrics["recipe"],
        predictor.labels,
        float(metrics.get("uncertain_below", 0.0)),
        predictor.extractor,
        predictor.assembly.recipe.window,
        hear,
    )


def _of_bundle(classifier: Classifier, content: bytes) -> Model:
    manifest = classifier.manifest
    return Model(
        manifest.name,
        manifest.labels,
        manifest.thresholds["uncertain"],
        classifier.extractor,
        manifest.window,
        lambda audio, _: classifier.windows(audio),
        content,
    )


def listed(paths: Sequence[Path]) -> list[Path]:
    """Return files as they are, folders as the audio files below them."""
    found: list[Path] = []
    for path in paths:
        inside = list(audio_files(path).values()) if path.is_dir() else [path]
        if not inside:
            raise SertkError(f"there is no audio file below '{path}'", "Give another folder")
        found += inside
    return found


def answers(
    model: Model, paths: Sequence[Path], windows: bool, workers: int
) -> Iterator[dict[str, Any]]:
    """Yield an answer for each file, in order."""
    processes = min(workers or os.cpu_count() or 1, len(paths) // CHUNK)
    if model.bundle is None or processes < 2 or len(paths) < MANY_FILES:
        for path in paths:
            yield model.answer(path, windows)
        return
    # Forked processes would share the interpreter's threads.
    context = multiprocessing.get_context("spawn")
    initial = (model.bundle,)
    with ProcessPoolExecutor(processes, context, _Worker.open, initial) as pool:
        yield from pool.map(_Worker.answer, paths, [windows] * len(paths), chunksize=CHUNK)


class _Worker:
    """The model of a worker process, opened once."""

    model: Model

    @classmethod
    def open(cls, content: bytes) -> None:
        """Open the bundle; the parent has verified these very bytes."""
        cls.model = _of_bundle(open_bundle(content, check=False), content)

    @classmethod
    def answer(cls, path: Path, windows: bool) -> dict[str, Any]:
        """As `Model.answer`."""
        return cls.model.answer(path, windows)


def as_csv(rows: Sequence[dict[str, Any]], labels: Sequence[str]) -> str:
    """Return one line per file (or per window where there are windows), with a header."""
    heads = ["file", "start_s", "end_s", "emotion", "uncertain", *labels, "error"]
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
        part.get("emotion", ""),
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
