"""Compute features by TensorFlow operators, for `.tflite` graphs that take raw audio.

The one exception to "one implementation of every feature": builtin operators have no numpy. Tests
hold both forms side by side.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..runtime.errors import SertkError
from ..runtime.features.base import Extractor, FrameExtractor, Stack
from ..runtime.features.dsp import MelParams, dct_matrix, hann, mel_weights
from ..runtime.features.normalizer import Normalizer
from ..runtime.features.spectral import ZERO_BAND, LogMel, Mfcc, Rms, Zcr
from .tflite_graph import Operator

KINDS = (LogMel, Mfcc, Rms, Zcr)
SPECTRAL = (LogMel, Mfcc)
INPUT = "samples"
FRONT, BACK = "frontend", "network"
BORDER = f"{FRONT}/standardised"
DB_PER_NEPER = 10 / math.log(10)


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


def graph_form(extractor: Extractor) -> GraphForm:
    """Return `extractor` in a form that builtin operators of a `.tflite` file can compute.

    log_mel, mfcc, rms, zcr and stacks of these have one; a spectrum needs a frame whose length is
    a power of two. Raises SertkError that names the part that has none, and what to use instead.
    """
    if not isinstance(extractor, FrameExtractor):
        raise _refused(extractor, "gives features of a whole window")
    return GraphForm(extractor, tuple(_placed(extractor, 0)))


def _placed(extractor: FrameExtractor, offset: int) -> Iterator[GraphPart]:
    """Yield the parts at any depth. Frames of a stack end at the same sample: short ones later."""
    if type(extractor) is Stack:
        for part in extractor.parts:
            yield from _placed(part, offset + extractor.frame_length - part.frame_length)
        return
    # A subclass may compute something else.
    if type(extractor) not in KINDS:
        has_state = extractor.warmup_frames > 0
        raise _refused(extractor, "remembers earlier windows" if has_state else "has no such form")
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


def standardised(form: GraphForm, normalizer: Normalizer, samples: Any, length: int) -> Any:
    """Return the standardised frames of samples (N,), the network's input (1, T, F) float32.

    The converter would fold the scale into a first dense layer, whose int8 input would then have
    to span columns of very different ranges. It does not see through a maximum.

    Args:
        form: The front end.
        normalizer: Its standardisation.
        samples: A tensor, as long as `length` frames need it.
        length: The number of frames.
    """
    import tensorflow as tf

    columns = tf.concat([frames(part, samples, length) for part in form.parts], axis=1)
    scaled = (columns - normalizer.mean) * (np.float32(1) / normalizer.std)
    batch = tf.reshape(scaled, (1, length, len(normalizer.mean)))
    return tf.maximum(batch, np.finfo(np.float32).min, name=BORDER.partition("/")[2])


def frames(part: GraphPart, samples: Any, length: int) -> Any:
    """Return the frames of one part, a float32 tensor (T, F).

    Args:
        part: The extractor and where its first frame begins.
        samples: A tensor (N,).
        length: The number of frames T.
    """
    import tensorflow as tf

    extractor = part.extractor
    own = samples[part.offset : part.offset + extractor.sample_count(length)]
    framed = tf.signal.frame(own, extractor.frame_length, extractor.hop_length)
    if isinstance(extractor, Zcr):
        return _crossing_rate(framed)
    if isinstance(extractor, Rms):
        return tf.sqrt(tf.reduce_mean(tf.square(framed), axis=1, keepdims=True))
    power = _mel_power(extractor, framed)
    if isinstance(extractor, Mfcc):
        weights = dct_matrix(extractor.n_mfcc, extractor.n_mels).T
        return tf.matmul(_level_db(power, extractor.amin), weights)
    if extractor.log == "db":
        return _level_db(power, extractor.floor)
    return tf.math.log(power + np.float32(extractor.floor))


def _crossing_rate(framed: Any) -> Any:
    """Return the share of samples that differ in sign from the one before."""
    import tensorflow as tf

    negative = tf.cast(framed < np.float32(-ZERO_BAND), tf.float32)
    changes = tf.abs(negative[:, 1:] - negative[:, :-1])
    return tf.reduce_sum(changes, axis=1, keepdims=True) / np.float32(framed.shape[1])


def _mel_power(extractor: LogMel | Mfcc, framed: Any) -> Any:
    """Return the mel spectrum (T, n_mels) of windowed frames."""
    import tensorflow as tf

    params = MelParams(
        extractor.rate_hz,
        extractor.frame_length,
        extractor.n_mels,
        extractor.fmin_hz,
        extractor.fmax_hz,
        extractor.mel_scale,
        extractor.norm,
    )
    magnitude = tf.abs(tf.signal.rfft(framed * hann(extractor.frame_length)))
    return tf.matmul(tf.square(magnitude), mel_weights(params).T)


def _level_db(power: Any, floor: float) -> Any:
    """Return 10 log10(max(power, floor))."""
    import tensorflow as tf

    return tf.math.log(tf.maximum(power, np.float32(floor))) * np.float32(DB_PER_NEPER)


def check_border(graph: Sequence[Operator]) -> None:
    """Refuse a graph in which the converter merged operators of front end and network.

    A name may be that of several operators that became one, the last of them first.
    """
    names = [operator.outputs[0].name for operator in graph]
    border = [index for index, name in enumerate(names) if name.startswith(BORDER)]
    if not border or not all(name.startswith(f"{FRONT}/") for name in names[: border[0]]):
        raise SertkError(
            "the converter merged the front end with the first layer of the network",
            "Export without the front end, or begin the network with another layer",
        )
