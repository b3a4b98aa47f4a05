"""LiteRT or tflite-runtime behind one small class: quantize in, invoke, dequantize out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import MissingExtra, SertkError
from ..features.base import F32
from ..process import ProcessError, output_lines
from ..validate import bounds
from .greeting import without_greeting

MODULES = {"ai-edge-litert": "ai_edge_litert", "tflite-runtime": "tflite_runtime"}
SIGNATURE = "serving_default"
NOT_INSTALLED = "is not installed"
PROBE_TIMEOUT_S = 60
LINE = (1, 200)
DISTRIBUTION = bounds(
    characters=LINE, pattern=re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?")
)
VERSION = bounds(characters=LINE, pattern=re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]*"))


@dataclass(frozen=True)
class TfliteRuntime:
    """What runs a network: the distribution's name and its version."""

    name: str = field(metadata=DISTRIBUTION)
    version: str = field(metadata=VERSION)


@dataclass(frozen=True)
class TfliteTensor:
    """An input or output of a network: float32, or int8/int16 with (q - zero_point) * scale."""

    index: int
    shape: tuple[int, ...]
    dtype: Any
    scale: float
    zero_point: int

    def encode(self, values: F32) -> NDArray[Any]:
        """Return `values` as the tensor stores them: half is rounded away from zero, as TFLite
        does.
        """
        if self.dtype is np.float32:
            return np.asarray(values, np.float32)
        scaled = (values / np.float32(self.scale)).astype(np.float64)
        rounded = np.trunc(scaled + np.copysign(0.5, scaled)) + self.zero_point
        limits = np.iinfo(self.dtype)
        stored: NDArray[Any] = np.clip(rounded, limits.min, limits.max).astype(self.dtype)
        return stored

    def decode(self, stored: NDArray[Any]) -> F32:
        """Return the values that the stored ones stand for."""
        if self.dtype is np.float32:
            return np.array(stored)
        values: F32 = (stored.astype(np.float32) - np.float32(self.zero_point)) * np.float32(
            self.scale
        )
        return values


class TfliteModel:
    """A `.tflite` network that runs from memory. One thread at a time may call it.

    `inputs` maps the names of its SavedModel signature to shapes without the batch. `allowed`
    limits the runtimes to these names. Raises SertkError for bytes that are no such network.
    """

    def __init__(
        self, content: bytes, threads: int = 1, allowed: Sequence[str] | None = None
    ) -> None:
        self.runtime = find_runtime(allowed)
        self._content, self._threads = content, threads
        self._embedder: TfliteModel | None = None
        try:
            self._interpreter = self._opened(content, threads)
            self._inputs, self._output = self._found()
        except (ValueError, RuntimeError, KeyError, TypeError, MemoryError) as error:
            raise _refused(self.runtime, error) from error
        self.inputs = {name: tensor.shape[1:] for name, tensor in self._inputs.items()}
        self.n_classes = self._output.shape[1]

    def __call__(self, inputs: Mapping[str, F32]) -> F32:
        """Return probabilities (W, n) float32 of W windows: `inputs` has (W, …) float32 per
        name.
        """
        outputs = self.outputs(inputs)
        is_float = self._output.dtype is np.float32
        return outputs if is_float else normalized(outputs, self._output.scale)

    def outputs(self, inputs: Mapping[str, F32]) -> F32:
        """Return what the network gives (W, n) float32, as it was stored: of int8 in steps."""
        count = self._count(inputs)
        outputs = np.empty((count, self.n_classes), np.float32)
        for row in range(count):
            outputs[row] = self._one({name: array[row] for name, array in inputs.items()})
        if not np.isfinite(outputs).all():
            raise SertkError("the network returned values that are not numbers", "Export it again")
        return outputs

    def embed(self, inputs: Mapping[str, F32]) -> F32:
        """Return the input of the last fully connected layer for each window: (W, D) float32.

        Raises SertkError for a network without such a layer.
        """
        if self._embedder is None:
            self._embedder = TfliteEmbedder(self._content, self._threads, [self.runtime.name])
        return self._embedder(inputs)

    def _opened(self, content: bytes, threads: int) -> Any:
        return load_interpreter(self.runtime.name, content, threads)

    def _found(self) -> tuple[dict[str, TfliteTensor], TfliteTensor]:
        return _tensors(self._interpreter)

    def _count(self, inputs: Mapping[str, F32]) -> int:
        """Return how many windows `inputs` has, all of the right shape."""
        given = {name: array.shape[1:] for name, array in inputs.items()}
        counts = {len(array) for array in inputs.values()}
        if given != self.inputs or len(counts) != 1:
            shapes = {name: array.shape for name, array in inputs.items()}
            raise SertkError(f"the network expects W x {self.inputs}, received {shapes}")
        if not all(np.isfinite(array).all() for array in inputs.values()):
            raise SertkError("the features hold values that are not numbers", "Check the audio")
        return counts.pop()

    def _one(self, window: Mapping[str, F32]) -> F32:
        for name, tensor in self._inputs.items():
            self._interpreter.set_tensor(tensor.index, tensor.encode(window[name][None]))
        try:
            self._interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise _refused(self.runtime, error) from error
        row: F32 = self._output.decode(self._interpreter.get_tensor(self._output.index))[0]
        return row


class TfliteEmbedder(TfliteModel):
    """The same network, with the input of its last fully connected layer as the output."""

    def __call__(self, inputs: Mapping[str, F32]) -> F32:
        """Return the output as it is."""
        return self.outputs(inputs)

    def _opened(self, content: bytes, threads: int) -> Any:
        # Without delegates, which keep what is between their ends to themselves.
        return load_interpreter(self.runtime.name, content, threads, keep_all=True)

    def _found(self) -> tuple[dict[str, TfliteTensor], TfliteTensor]:
        inputs, _ = _tensors(self._interpreter)
        details = {detail["index"]: detail for detail in self._interpreter.get_tensor_details()}
        layers = [
            operator["inputs"][0]
            for operator in self._interpreter._get_ops_details()
            if operator["op_name"] == "FULLY_CONNECTED"
        ]
        if not layers:
            raise ValueError("it has no fully connected layer to take an embedding from")
        return inputs, _tensor(details[layers[-1]])


def normalized(stored: F32, step: float) -> F32:
    """Return probabilities (W, n) that sum to 1, of some that were stored in steps.

    Zero stands for all that is less than half a step: it counts as the middle of that.
    """
    likely = np.maximum(stored, np.float32(step / 4))
    probabilities: F32 = likely / likely.sum(axis=1, keepdims=True)
    return probabilities


def find_runtime(allowed: Sequence[str] | None = None) -> TfliteRuntime:
    """Return the first TFLite runtime of `allowed` (None: any) that works here.

    Raises MissingExtra where none is installed, SertkError where what is installed is not allowed
    or does not work.
    """
    wanted = [name for name in MODULES if allowed is None or name in allowed]
    reasons = {}
    for name in wanted:
        found = probe(name)
        if isinstance(found, TfliteRuntime):
            return found
        reasons[name] = found
    broken = [name for name, why in reasons.items() if why != NOT_INSTALLED]
    if broken:
        causes = "; ".join(f"{name} {reasons[name]}" for name in broken)
        raise SertkError(f"no runtime works: {causes}", fix_for(broken[0]))
    todo = f"Run `pip install {(allowed or list(MODULES))[0]}`"
    others = [name for name in MODULES if name not in wanted and _is_installed(name)]
    if others:
        raise SertkError(
            f"this network was proven on {' and '.join(allowed or ())}, "
            f"and {' and '.join(others)} is installed",
            f"{todo}, or export it again for what is installed",
        )
    raise MissingExtra("running a network needs a TFLite runtime, none is installed", todo)


def fix_for(name: str) -> str:
    """Return what to do about a runtime that is installed and does not work."""
    if name == "tflite-runtime":
        return 'Run `pip install "numpy<2"`, which tflite-runtime needs, or use ai-edge-litert'
    return f"Run `pip install --force-reinstall {name}`"


def probe(name: str) -> TfliteRuntime | str:
    """Return the runtime if it computes 1 + 1 here, else the reason in words.

    Importing proves little: a runtime built for another numpy imports, and fails when used.
    """
    if not _is_installed(name):
        return NOT_INSTALLED
    try:
        answer = _one_and_one(name)
    except Exception as error:  # whatever a broken binary raises, SystemError among others
        cause = error.__cause__ or error
        return f"cannot run a network ({' '.join(f'{type(cause).__name__}: {cause}'.split())})"
    if answer != 2:
        return f"computes 1 + 1 as {answer:g}"
    return TfliteRuntime(name, _version(name))


def examine_runtimes(timeout_s: float = PROBE_TIMEOUT_S) -> dict[str, TfliteRuntime | str]:
    """Return `probe` of every runtime, each in a process of its own, which it may crash."""
    return {name: _probe_apart(name, timeout_s) for name in MODULES}


def _probe_apart(name: str, timeout_s: float) -> TfliteRuntime | str:
    if not _is_installed(name):
        return NOT_INSTALLED
    command = [sys.executable, "-c", f"from {__name__} import _main; _main()", name]
    try:
        lines = list(output_lines(command, timeout_s))
    except ProcessError as error:
        return str(error)
    if not lines:
        return "ended without an answer"
    answer = json.loads(lines[-1])
    return answer if isinstance(answer, str) else TfliteRuntime(**answer)


def _main() -> None:
    found = probe(sys.argv[1])
    print(json.dumps(asdict(found) if isinstance(found, TfliteRuntime) else found))


def _is_installed(name: str) -> bool:
    return importlib.util.find_spec(MODULES[name]) is not None


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"


def _one_and_one(name: str) -> float:
    content = files(__package__).joinpath("probe.tflite").read_bytes()
    interpreter = load_interpreter(name, content, 1)
    inputs, output = _tensors(interpreter)
    for tensor in inputs.values():
        interpreter.set_tensor(tensor.index, np.ones(tensor.shape, np.float32))
    interpreter.invoke()
    return float(interpreter.get_tensor(output.index).mean())


def load_interpreter(name: str, content: bytes, threads: int = 1, keep_all: bool = False) -> Any:
    """Return an interpreter of the runtime `name`, its tensors allocated, without its greeting.

    Args:
        name: A key of `MODULES`.
        content: The network.
        threads: Of its operators.
        keep_all: Whether every tensor can be read after it has run, which takes more memory.
    """
    module = importlib.import_module(f"{MODULES[name]}.interpreter")
    more: dict[str, Any] = {}
    if keep_all:
        more["experimental_preserve_all_tensors"] = True
        plain = module.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
        more["experimental_op_resolver_type"] = plain
    with without_greeting():
        interpreter = module.Interpreter(model_content=content, num_threads=threads, **more)
        interpreter.allocate_tensors()
    return interpreter


def _tensors(interpreter: Any) -> tuple[dict[str, TfliteTensor], TfliteTensor]:
    """Return the inputs by the names of the signature, and the one output."""
    if SIGNATURE not in interpreter.get_signature_list():
        raise ValueError(f"it has no signature '{SIGNATURE}'")
    runner = interpreter.get_signature_runner(SIGNATURE)
    inputs = {str(name): _tensor(d) for name, d in runner.get_input_details().items()}
    outputs = [_tensor(d) for d in runner.get_output_details().values()]
    # A signature may belong to another subgraph than the one that `invoke` runs.
    known = {detail["index"] for detail in interpreter.get_input_details()}
    if not inputs or {tensor.index for tensor in inputs.values()} != known:
        raise ValueError("its signature does not name its inputs")
    ends = [detail["index"] for detail in interpreter.get_output_details()]
    if len(outputs) != 1 or len(outputs[0].shape) != 2 or [outputs[0].index] != ends:
        raise ValueError(f"one output (1, n) expected, received {[o.shape for o in outputs]}")
    return inputs, outputs[0]


def _tensor(detail: Mapping[str, Any]) -> TfliteTensor:
    shape = tuple(int(length) for length in detail["shape"])
    dtype = detail["dtype"]
    scale, zero_point = detail["quantization"]
    if dtype not in (np.float32, np.int8, np.int16):
        raise ValueError(f"float32, int8 or int16 expected, received {np.dtype(dtype)}")
    if not shape or shape[0] != 1 or min(shape) < 1:
        raise ValueError(f"a batch of 1 expected, received the shape {shape}")
    if dtype is not np.float32 and not (np.isfinite(scale) and scale > 0):
        raise ValueError(f"a quantization scale above 0 expected, received {scale}")
    return TfliteTensor(int(detail["index"]), shape, dtype, float(scale), int(zero_point))


def _refused(runtime: TfliteRuntime, error: Exception) -> SertkError:
    why = " ".join(str(error).split()) or type(error).__name__
    return SertkError(
        f"{runtime.name} {runtime.version} cannot run the network: {why}",
        "Export it again, or copy the file again",
    )
