"""What `with_frontend` runs in a process of its own: `python -m ser_toolkit.fronting FOLDER`."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from .child import read_arrays, serve
from .converting import converted, converter, load, one_by_one, probabilities, unroll_flags
from .flatbuffer import Operator, names_and_versions, operators
from .frontend import KINDS, GraphForm, GraphPart
from .metadata import About, with_metadata
from .runtime.adapter import Adapter
from .runtime.component import from_spec
from .runtime.dsp import MelParams, dct_matrix, hann, mel_weights
from .runtime.errors import SertkError
from .runtime.extractor import F32, Signal
from .runtime.features import ZERO_BAND, LogMel, Mfcc, Rms, Zcr
from .runtime.interpreter import SIGNATURE, Network

INPUT = "samples"
FRONT, BACK = "frontend", "network"
BORDER = f"{FRONT}/standardised"
FLOAT_LIMIT = 1e-3
# tflite-runtime 2.14 has no int8 kernel for these.
FLOAT_OPERATORS = ("DIV", "SQRT")
DB_PER_NEPER = 10 / math.log(10)


def main() -> None:
    """Do the job in the folder; leave the reason there if it fails."""
    serve(work)


def work(folder: Path) -> None:
    """Load, join front end and network, convert, quantize the network, check."""
    job = json.loads((folder / "job.json").read_text("utf-8"))
    arrays = read_arrays(folder / "arrays.npz")
    windows, adapter = arrays["windows"], Adapter(arrays["mean"], arrays["std"])
    form = GraphForm.of([part_of(spec) for spec in job["parts"]])
    network = load(job["network"])
    check_layers(network, job["mode"])
    check_input(network, (job["length_frames"], len(adapter.mean)))
    export(form, adapter, network, windows.shape[1], folder / "saved")
    content = converted(converter(folder / "saved", "float32", {}))
    check_border(operators(content))
    if job["mode"] == "int8":
        content = quantized(content, windows)
    content = with_metadata(content, about(job["about"]))
    facts = compared(Network(content)({INPUT: windows}), expected(form, adapter, network, windows))
    if job["mode"] == "float32" and facts["max_difference"] > FLOAT_LIMIT:
        raise SertkError(
            f"the file and the network differ by {facts['max_difference']:.2g}, "
            f"{FLOAT_LIMIT:g} allowed"
        )
    ops = names_and_versions(operators(content))
    (folder / "model.tflite").write_bytes(content)
    (folder / "facts.json").write_text(json.dumps({**facts, "ops": ops}), "utf-8")


def part_of(spec: dict[str, Any]) -> Any:
    """The extractor that a spec describes."""
    return from_spec(spec, {kind.name: kind() for kind in KINDS}.__getitem__)


def about(said: dict[str, Any]) -> About:
    """What the file says of itself."""
    return About(**{**said, "labels": tuple(said["labels"])})


def check_layers(network: Any, mode: str) -> None:
    """Refuse what the quantizer cannot calibrate, or what no runtime then runs."""
    if mode == "int8" and unroll_flags(network.get_config()):
        raise SertkError(
            "beside a front end, recurrent layers cannot be int8",
            "Choose float32, or export without the front end",
        )


def check_input(network: Any, shape: tuple[int, ...]) -> None:
    """Refuse a network that does not take the frames."""
    given = [tuple(tensor.shape[1:]) for tensor in network.inputs]
    if given != [shape]:
        raise SertkError(f"the network expects {given}, the front end gives {shape}")


def export(form: GraphForm, adapter: Adapter, network: Any, samples: int, folder: Path) -> None:
    """A SavedModel from samples (1, N) to probabilities (1, n)."""
    import tensorflow as tf

    length = network.inputs[0].shape[1]

    def answer(waveform: Any) -> dict[str, Any]:
        with tf.name_scope(FRONT):
            frames = standardised(form, adapter, tf.reshape(waveform, (samples,)), length)
        with tf.name_scope(BACK):
            return {"probabilities": network(frames, training=False)}

    taken = tf.TensorSpec((1, samples), tf.float32, name=INPUT)
    module = tf.Module()
    module.held = [variable.value for variable in network.variables]
    module.answer = tf.function(answer, input_signature=[taken])
    tf.saved_model.save(module, str(folder), signatures={SIGNATURE: module.answer})


def standardised(form: GraphForm, adapter: Adapter, samples: Any, length: int) -> Any:
    """What the network sees, (1, T, F).

    The converter would fold the scale into a first dense layer, whose int8 input would then have
    to span columns of very different ranges. It does not see through a maximum.
    """
    import tensorflow as tf

    columns = tf.concat([frames(part, samples, length) for part in form.parts], axis=1)
    scaled = (columns - adapter.mean) * (np.float32(1) / adapter.std)
    batch = tf.reshape(scaled, (1, length, len(adapter.mean)))
    return tf.maximum(batch, np.finfo(np.float32).min, name=BORDER.partition("/")[2])


def frames(part: GraphPart, samples: Any, length: int) -> Any:
    """The frames (T, F) of one part."""
    import tensorflow as tf

    extractor = part.extractor
    own = samples[part.offset : part.offset + extractor.sample_count(length)]
    framed = tf.signal.frame(own, extractor.frame_length, extractor.hop_length)
    if isinstance(extractor, Zcr):
        return crossing_rate(framed)
    if isinstance(extractor, Rms):
        return tf.sqrt(tf.reduce_mean(tf.square(framed), axis=1, keepdims=True))
    power = mel_power(extractor, framed)
    if isinstance(extractor, Mfcc):
        weights = dct_matrix(extractor.n_mfcc, extractor.n_mels).T
        return tf.matmul(level_db(power, extractor.amin), weights)
    if extractor.log == "db":
        return level_db(power, extractor.floor)
    return tf.math.log(power + np.float32(extractor.floor))


def crossing_rate(framed: Any) -> Any:
    """The share of samples that differ in sign from the one before."""
    import tensorflow as tf

    negative = tf.cast(framed < np.float32(-ZERO_BAND), tf.float32)
    changes = tf.abs(negative[:, 1:] - negative[:, :-1])
    return tf.reduce_sum(changes, axis=1, keepdims=True) / np.float32(framed.shape[1])


def mel_power(extractor: LogMel | Mfcc, framed: Any) -> Any:
    """The mel spectrum (T, n_mels) of windowed frames."""
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


def level_db(power: Any, floor: float) -> Any:
    """10 log10(max(power, floor))."""
    import tensorflow as tf

    return tf.math.log(tf.maximum(power, np.float32(floor))) * np.float32(DB_PER_NEPER)


def check_border(found: Sequence[Operator]) -> None:
    """Refuse a graph in which front end and network have grown together.

    A name may be that of several operators that became one, the last of them first.
    """
    names = [operator.outputs[0].name for operator in found]
    border = [index for index, name in enumerate(names) if name.startswith(BORDER)]
    if not border or not all(name.startswith(f"{FRONT}/") for name in names[: border[0]]):
        raise SertkError(
            "the converter merged the front end with the first layer of the network",
            "Export without the front end, or begin the network with another layer",
        )


def quantized(content: bytes, windows: F32) -> bytes:
    """The network in int8; its scope alone is chosen, so samples and features stay float."""
    from ai_edge_quantizer import quantizer, recipe

    scope = {"regex": f"^{BACK}/"}
    chosen = [{**entry, **scope} for entry in recipe.static_wi8_ai8()]
    kept = {**scope, "algorithm_key": "no_quantize"}
    chosen += [{**kept, "operation": name} for name in FLOAT_OPERATORS]
    made = quantizer.Quantizer(bytearray(content), chosen)
    ranges = made.calibrate({SIGNATURE: list(one_by_one({INPUT: windows}))})
    return bytes(made.quantize(ranges).quantized_model)


def expected(form: GraphForm, adapter: Adapter, network: Any, windows: F32) -> F32:
    """What our own front end and Keras answer, (W, n)."""
    extractor = form.extractor
    signals = [Signal(window, extractor.rate_hz) for window in windows]
    seen = np.stack([adapter.apply(extractor.frames(signal))[0] for signal in signals])
    return probabilities(network, {network.inputs[0].name: seen})


def compared(answers: F32, wanted: F32) -> dict[str, float]:
    """How far the file is from the network."""
    agreement = (answers.argmax(1) == wanted.argmax(1)).mean()
    return {
        "max_difference": float(np.abs(answers - wanted).max()),
        "agreement": float(agreement),
    }


if __name__ == "__main__":
    main()
