"""One `.tflite` file from audio samples to probabilities: front end, standardisation, network.

Who has the file needs none of this package: the front end is a part of the graph.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from .assemble import Assembly, assemble
from .child import ChildFailed, run_module, write_arrays
from .convert import TIMEOUT_S
from .metadata import About
from .plugins import load_plugins
from .recipe import Recipe
from .run import NETWORK, Run
from .runtime.adapter import Adapter, adapters_from_bytes
from .runtime.component import to_spec
from .runtime.errors import SertkError
from .runtime.extractor import F32, Extractor, FrameExtractor, Signal, Stack
from .runtime.features import LogMel, Mfcc, Rms, Zcr
from .runtime.window import Window

MODES = ("float32", "int8")
KINDS = (LogMel, Mfcc, Rms, Zcr)
SPECTRAL = (LogMel, Mfcc)


@dataclass(frozen=True)
class GraphPart:
    """An extractor that a graph can compute, from sample `offset` of a window on."""

    extractor: LogMel | Mfcc | Rms | Zcr
    offset: int


@dataclass(frozen=True)
class GraphForm:
    """A front end whose frames builtin operators compute: its parts, column after column."""

    extractor: FrameExtractor
    parts: tuple[GraphPart, ...]

    @classmethod
    def of(cls, parts: Sequence[LogMel | Mfcc | Rms | Zcr]) -> GraphForm:
        """The form of these parts side by side."""
        return graph_form(parts[0] if len(parts) == 1 else Stack(tuple(parts)))


def graph_form(extractor: Extractor) -> GraphForm:
    """The form of `extractor` that can stand in a `.tflite` file.

    log_mel, mfcc, rms, zcr and stacks of these have one; a spectrum needs a frame whose length is
    a power of two. Raises SertkError that names the part that has none, and what to use instead.
    """
    if not isinstance(extractor, FrameExtractor):
        raise _refused(extractor, "gives features of a whole window")
    return GraphForm(extractor, tuple(_placed(extractor, 0)))


def _placed(extractor: FrameExtractor, offset: int) -> Iterator[GraphPart]:
    """The parts at any depth. Frames of a stack end at the same sample: short ones begin later."""
    if type(extractor) is Stack:
        for part in extractor.parts:
            yield from _placed(part, offset + extractor.frame_length - part.frame_length)
        return
    # A subclass may compute something else.
    if type(extractor) not in KINDS:
        remembers = extractor.warmup_frames > 0
        raise _refused(extractor, "remembers earlier windows" if remembers else "has no such form")
    length = extractor.frame_length
    if type(extractor) in SPECTRAL and length & (length - 1):
        raise SertkError(
            f"'{extractor.name}.frame_length' expects a power of two in a .tflite file, "
            f"received {length}",
            f"Train with --set extractor.{extractor.name}.frame_length={1 << length.bit_length()}",
        )
    yield GraphPart(extractor, offset)  # type: ignore[arg-type]


def _refused(extractor: Extractor, why: str) -> SertkError:
    names = ", ".join(kind.name for kind in KINDS)
    return SertkError(
        f"'{extractor.name}' {why}, so it cannot be a part of a .tflite file",
        f"Train a recipe whose extractors are among {names}, or export without the front end",
    )


@dataclass(frozen=True)
class Fronted:
    """A `.tflite` file: samples (1, `samples`) float32 in, probabilities (1, n) float32 out.

    The samples are mono at `rate_hz`, full scale ±1; windows of training began every
    `hop_samples`. `max_difference` is the largest difference of a probability to our own front
    end and Keras on the calibration windows (or noise, without any), `agreement` the share of
    equal decisions. `ops` are the operators with their versions.
    """

    content: bytes
    samples: int
    rate_hz: int
    labels: tuple[str, ...]
    hop_samples: int
    mode: str
    max_difference: float
    agreement: float
    ops: tuple[str, ...]


def sample_windows(extractor: FrameExtractor, window: Window, signal: Signal) -> F32:
    """The samples (W, N) behind each window of a clip; a clip that fills none is repeated."""
    length = extractor.sample_count(window.length_frames)
    samples = signal.samples if len(signal) >= length else np.resize(signal.samples, length)
    starts = window.starts(extractor.frame_count(len(samples)))
    firsts = [start * extractor.hop_length for start in starts]
    return np.stack([samples[first : first + length] for first in firsts])


def with_frontend(
    run_path: Path, calibration: Sequence[F32], mode: str, timeout_s: float = TIMEOUT_S
) -> Fronted:
    """The network of a finished run, from samples on, in float32 or with an int8 network.

    `calibration` has windows of samples (N,) float32 of training clips; an int8 network needs
    them, and its front end stays float32 even so. Raises SertkError for a run whose extractor has
    no graph form, and for what the converter cannot do.
    """
    run = Run(run_path)
    assembly, adapter = _read(run)
    form = graph_form(assembly.extractor)
    window = assembly.recipe.window
    samples = form.extractor.sample_count(window.length_frames)
    hop_samples = window.hop_frames * form.extractor.hop_length
    windows = _checked(calibration, samples, mode)
    about = _about(assembly, samples, hop_samples, run.labels)
    job = {
        "network": str(run.file(NETWORK).resolve()),
        "mode": mode,
        "parts": [to_spec(part.extractor) for part in form.parts],
        "length_frames": window.length_frames,
        "about": asdict(about),
    }
    content, facts = _made(job, adapter, windows, timeout_s)
    return Fronted(
        content,
        samples,
        about.rate_hz,
        about.labels,
        hop_samples,
        mode,
        facts["max_difference"],
        facts["agreement"],
        tuple(facts["ops"]),
    )


def _read(run: Run) -> tuple[Assembly, Adapter]:
    """What stands before the network; the network itself is for the child."""
    run.check()
    with run.whole("recipe.toml") as path:
        recipe = Recipe.from_toml(path.read_text("utf-8"), path.name)
        assembly = assemble(replace(recipe, augmenter=()), load_plugins())
    graph_form(assembly.extractor)
    with run.whole("adapter.npz") as path:
        return assembly, adapters_from_bytes(path.read_bytes())["frames"]


def _checked(calibration: Sequence[F32], samples: int, mode: str) -> F32:
    """The calibration windows (W, N), or noise where none are needed."""
    if mode not in MODES:
        raise SertkError(f"mode expects one of {', '.join(MODES)}, received '{mode}'")
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


def _made(
    job: dict[str, Any], adapter: Adapter, windows: F32, timeout_s: float
) -> tuple[bytes, dict[str, Any]]:
    """Convert in a process of its own."""
    with tempfile.TemporaryDirectory(prefix="sertk-frontend-") as name:
        folder = Path(name)
        (folder / "job.json").write_text(json.dumps(job), "utf-8")
        arrays = {"mean": adapter.mean, "std": adapter.std, "windows": windows}
        write_arrays(folder / "arrays.npz", arrays)
        try:
            run_module(f"{__package__}.fronting", folder, timeout_s)
        except ChildFailed as failed:
            raise SertkError(
                f"a {job['mode']} file with the front end cannot be made: {failed.cause}",
                failed.todo or "Export without the front end",
            ) from failed
        facts: dict[str, Any] = json.loads((folder / "facts.json").read_text("utf-8"))
        return (folder / "model.tflite").read_bytes(), facts


def _about(assembly: Assembly, samples: int, hop_samples: int, labels: tuple[str, ...]) -> About:
    rate_hz = assembly.extractor.rate_hz
    columns = ", ".join(use.name for use in assembly.recipe.extractor)
    return About(
        name=f"Speech emotion ({assembly.recipe.name})",
        description=(
            f"Emotion in speech from {samples / rate_hz:.3f} s of mono audio at {rate_hz} Hz; "
            f"one window every {hop_samples / rate_hz:.3f} s. The features ({columns}) are "
            "computed in the graph. The answer for a recording is the mean over its windows."
        ),
        input_text=f"{samples} samples, mono, {rate_hz} Hz, float32, full scale -1 to 1.",
        output_text="Calibrated probability of each emotion; they sum to 1.",
        rate_hz=rate_hz,
        labels=labels,
    )
