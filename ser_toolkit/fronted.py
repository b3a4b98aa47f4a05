"""The file that takes raw audio, measured as every other form is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from .contracts import Utterance
from .corpus import read_corpus
from .delta import compare
from .frontend import GraphForm, graph_form, sample_windows, with_frontend
from .material import CALIBRATION_WINDOWS, Material
from .plugins import Plugins
from .runtime.audio import read_audio
from .runtime.errors import SertkError
from .runtime.extractor import F32
from .runtime.interpreter import Network
from .runtime.predict import signal_of
from .scoring import Scores, utterance_scores
from .utils.progress import Callback


def check_sound(data: Sequence[str]) -> None:
    """Refuse to begin without what the file is calibrated on."""
    if not data:
        raise SertkError(
            "--with-frontend needs the sound of the run's clips",
            "Add --data, with the data that the run was trained on",
        )


def make_fronted(
    mode: str,
    material: Material,
    reference: Mapping[str, Scores],
    data: Sequence[str],
    reader: str | None,
    plugins: Plugins,
    callback: Callback,
) -> tuple[bytes, dict[str, Any]]:
    """Make the file and score it on validation and test clips, from their sound on.

    Calibrated on training clips. A clip that fills no window has its samples repeated, where
    training repeats its frames.
    """
    form = graph_form(material.predictor.assembly.extractor)
    clips = {item.hash: item for item in read_corpus(data, plugins, callback, reader).utterances}
    kind = "int8" if mode == "int8" else "float32"
    calibration = _calibration(material, form, clips)
    made = with_frontend(material.run.path, calibration, kind)
    network = Network(made.content)
    sides = {
        side: compare(scores, _scores(network, material, form, clips, side, callback))
        for side, scores in reference.items()
    }
    return made.content, {
        "mode": kind,
        "bytes": len(made.content),
        "samples": made.samples,
        "rate_hz": made.rate_hz,
        **sides,
    }


def _windows(
    item: Utterance, material: Material, form: GraphForm, clips: Mapping[str, Utterance]
) -> F32:
    """The samples (W, N) behind each window of a clip."""
    if item.hash not in clips:
        raise SertkError(
            f"{item.name} is not in the data", "Give the data that the run was trained on"
        )
    clip = clips[item.hash].clip
    audio = read_audio(clip.path, clip.start_s, clip.end_s, shown=clip.relative)
    window = material.predictor.assembly.recipe.window
    return sample_windows(form.extractor, window, signal_of(audio, form.extractor))


def _calibration(material: Material, form: GraphForm, clips: Mapping[str, Utterance]) -> list[F32]:
    """A random window of each of some training clips."""
    rng = np.random.default_rng(0)
    train = material.sides["train"]
    chosen = rng.permutation(len(train))[:CALIBRATION_WINDOWS]
    found = [_windows(train[index], material, form, clips) for index in chosen]
    return [windows[int(rng.integers(len(windows)))] for windows in found]


def _scores(
    network: Network,
    material: Material,
    form: GraphForm,
    clips: Mapping[str, Utterance],
    side: str,
    callback: Callback,
) -> Scores:
    items = material.sides[side]
    (name,) = network.inputs
    tracked = callback.track(items, f"Raw audio, {side}", len(items))
    windows = [network({name: _windows(item, material, form, clips)}) for item in tracked]
    return utterance_scores(windows, items, material.predictor.labels)
