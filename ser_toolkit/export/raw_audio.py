"""Make one `.tflite` file from samples to probabilities: front end, standardisation, network.

Who has the file needs none of this package: the front end is a part of the graph.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import Utterance
from ..data.clip_audio import read_utterance
from ..metrics.paired import compare
from ..metrics.scores import Scores
from ..runtime.component import to_spec
from ..runtime.errors import SertkError
from ..runtime.features.base import F32, FrameExtractor, Signal
from ..runtime.features.normalizer import Normalizer
from ..runtime.features.window import Window
from ..runtime.inference.inputs import signal_of
from ..training.run_dir import NETWORK, RunClassifier, RunDirectory
from ..utils.worker import WorkerError, run_module, write_arrays
from .converter import TIMEOUT_S
from .raw_audio_graph import INPUT, GraphForm, graph_form
from .run_data import CALIBRATION_WINDOWS, RunData
from .tflite_converter import has_recurrent_layers
from .tflite_metadata import FileDescription

RAW_AUDIO_MODES = ("float32", "int8")


@dataclass(frozen=True)
class RawAudioModel:
    """A `.tflite` file: samples (1, `samples`) float32 in, probabilities (1, n) float32 out.

    The samples are mono at `rate_hz`, full scale ±1. `max_difference` is the largest difference of
    a probability to our own front end and Keras on the calibration windows (or noise, without
    any), `agreement` the share of equal decisions. `ops` are the operators with their versions.
    """

    content: bytes
    samples: int
    rate_hz: int
    labels: tuple[str, ...]
    mode: str
    max_difference: float
    agreement: float
    ops: tuple[str, ...]


def check_audio(data: Sequence[str]) -> None:
    """Refuse to begin without the audio that the file is calibrated on."""
    if not data:
        raise SertkError(
            "--with-frontend needs the sound of the run's clips",
            "Add --data, with the data that the run was trained on",
        )


def measured_raw_audio(
    data: RunData, mode: str, reference: Mapping[str, Scores]
) -> tuple[bytes, dict[str, Any]]:
    """Make the file, score it on the subsets of `reference`, and return it and its report line.

    It is calibrated on training clips. A clip shorter than a window has its samples repeated,
    where training repeats its frames.

    Args:
        data: The opened run.
        mode: float32, or int8 for the network.
        reference: Scores of the Keras network by subset.
    """
    model = make_raw_audio(data.run, data.classifier, _calibration(data), mode)
    comparison = {}
    for subset, scores in reference.items():
        title = f"Raw audio, {subset}"
        clips = data.source.callback.track(data.subsets[subset], title, len(data.subsets[subset]))
        inputs = ({INPUT: _windows(data, item)} for item in clips)
        comparison[subset] = compare(scores, data.tflite_scores(model.content, subset, inputs))
    return model.content, {
        "mode": mode,
        "bytes": len(model.content),
        "samples": model.samples,
        "rate_hz": model.rate_hz,
        **comparison,
    }


def _windows(data: RunData, item: Utterance) -> F32:
    """Return the samples, float32 (W, N), of each window of a clip."""
    assembly = data.classifier.assembly
    form = graph_form(assembly.extractor)
    audio = read_utterance(data.located(item))
    return sample_windows(form.extractor, assembly.recipe.window, signal_of(audio, form.extractor))


def _calibration(data: RunData) -> list[F32]:
    """Draw a random window of each of some training clips."""
    rng = np.random.default_rng(0)
    train = data.subsets["train"]
    chosen = rng.permutation(len(train))[:CALIBRATION_WINDOWS]
    clips = [_windows(data, train[index]) for index in chosen]
    return [windows[int(rng.integers(len(windows)))] for windows in clips]


def sample_windows(extractor: FrameExtractor, window: Window, signal: Signal) -> F32:
    """Return the samples, float32 (W, N), of each window of a clip; repeat a shorter clip.

    Args:
        extractor: Extractor whose frames the windows count.
        window: Length and hop in frames.
        signal: The clip, at the extractor's rate.
    """
    length = extractor.sample_count(window.length_frames)
    samples = signal.samples if len(signal) >= length else np.resize(signal.samples, length)
    starts = window.starts(extractor.frame_count(len(samples)))
    firsts = [start * extractor.hop_length for start in starts]
    return np.stack([samples[first : first + length] for first in firsts])


def make_raw_audio(
    run: RunDirectory, classifier: RunClassifier, calibration: Sequence[F32], mode: str
) -> RawAudioModel:
    """Make a file from the network of a finished run, from samples on.

    Args:
        run: Run whose network is converted.
        classifier: The run, opened for prediction.
        calibration: Windows of samples (N,) float32 of training clips. An int8 network needs them;
            its front end stays float32 even so.
        mode: float32, or int8 for the network.

    Raises:
        SertkError: For an extractor without a graph form, and for what the converter cannot do.
    """
    form = graph_form(classifier.assembly.extractor)
    window = classifier.assembly.recipe.window
    samples = form.extractor.sample_count(window.length_frames)
    windows = _checked(calibration, samples, mode)
    normalizer = classifier.normalizers["frames"]
    check_network(classifier.network.model, (window.length_frames, len(normalizer.mean)), mode)
    description = _description(classifier, form, samples)
    job = {
        "network": str(run.file(NETWORK).resolve()),
        "mode": mode,
        "extractors": [to_spec(part.extractor) for part in form.parts],
        "length_frames": window.length_frames,
        "metadata": asdict(description),
    }
    content, facts = _convert(job, normalizer, windows)
    return RawAudioModel(content, samples, form.extractor.rate_hz, classifier.labels, mode, **facts)


def _checked(calibration: Sequence[F32], samples: int, mode: str) -> F32:
    """Return the calibration windows (W, N), or noise where none are needed."""
    if mode not in RAW_AUDIO_MODES:
        modes = ", ".join(RAW_AUDIO_MODES)
        raise SertkError(f"mode expects one of {modes}, received '{mode}'")
    lengths = sorted({np.shape(window) for window in calibration})
    if any(shape != (samples,) for shape in lengths):
        raise SertkError(f"windows of ({samples},) samples expected, received {lengths}")
    if not len(calibration) and mode == "int8":
        raise SertkError(
            "mode 'int8' needs calibration windows, received none", "Pass windows of training clips"
        )
    rng = np.random.default_rng(0)
    noise = 0.1 * rng.standard_normal((4, samples))
    windows: F32 = np.asarray(calibration if len(calibration) else noise, np.float32)
    if not np.isfinite(windows).all():
        raise SertkError("the calibration windows hold values that are not numbers")
    return windows


def check_network(network: Any, shape: tuple[int, int], mode: str) -> None:
    """Refuse a network of another input shape, and one that no runtime could run.

    Args:
        network: A Keras network.
        shape: Frames and columns of the front end.
        mode: float32 or int8.
    """
    given = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if given != [shape]:
        raise SertkError(f"the network expects {given}, the front end gives {shape}")
    if mode == "int8" and has_recurrent_layers(network):
        raise SertkError(
            "beside a front end, recurrent layers cannot be int8",
            "Choose float32, or export without the front end",
        )


def _convert(
    job: dict[str, Any], normalizer: Normalizer, windows: F32
) -> tuple[bytes, dict[str, Any]]:
    """Convert in a process of its own; return the file and the facts about it."""
    with tempfile.TemporaryDirectory(prefix="sertk-raw-audio-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        arrays = {"mean": normalizer.mean, "std": normalizer.std, "windows": windows}
        write_arrays(folder / "arrays.npz", arrays)
        try:
            (facts,) = run_module("ser_toolkit.export.raw_audio_worker", folder, TIMEOUT_S)
        except WorkerError as failed:
            raise SertkError(
                f"a {job['mode']} file with the front end cannot be made: {failed.cause}",
                failed.todo or "Export without the front end",
            ) from failed
        return (folder / "model.tflite").read_bytes(), {**facts, "ops": tuple(facts["ops"])}


def _description(classifier: RunClassifier, form: GraphForm, samples: int) -> FileDescription:
    recipe, rate_hz = classifier.assembly.recipe, form.extractor.rate_hz
    hop_samples = recipe.window.hop_frames * form.extractor.hop_length
    columns = ", ".join(use.name for use in recipe.extractor)
    return FileDescription(
        name=f"Speech emotion ({recipe.name})",
        description=(
            f"Emotion in speech from {samples / rate_hz:.3f} s of mono audio at {rate_hz} Hz; "
            f"one window every {hop_samples / rate_hz:.3f} s. The features ({columns}) are "
            "computed in the graph. The prediction for a recording is the mean over its windows."
        ),
        input_text=f"{samples} samples, mono, {rate_hz} Hz, float32, full scale -1 to 1.",
        output_text="Calibrated probability of each emotion; they sum to 1.",
        rate_hz=rate_hz,
        labels=classifier.labels,
    )
