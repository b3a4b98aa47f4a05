"""Read the graph of a `.tflite` file: its operators with their versions, shapes and types."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from ..runtime.errors import SertkError

CUSTOM = "CUSTOM"


@dataclass(frozen=True)
class GraphTensor:
    """One tensor of a graph."""

    name: str
    shape: tuple[int, ...]
    dtype: str


@dataclass(frozen=True)
class Operator:
    """One step of a graph. Absent optional inputs are left out."""

    name: str
    version: int
    inputs: tuple[GraphTensor, ...]
    outputs: tuple[GraphTensor, ...]


def operators(content: bytes) -> tuple[Operator, ...]:
    """Return every operator of every subgraph, in order. Raises SertkError for other bytes."""
    from ai_edge_litert import schema_py_generated as schema

    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise SertkError("a .tflite file expected, received other bytes", "Convert again")
    model = schema.Model.GetRootAs(content, 0)
    codes = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    graphs = (model.Subgraphs(index) for index in range(model.SubgraphsLength()))
    return tuple(step for graph in graphs for step in _operators(model, graph, codes, types))


def names_and_versions(graph: tuple[Operator, ...]) -> tuple[str, ...]:
    """Return each kind of operator once, as 'CONV_2D v3'."""
    return tuple(sorted({f"{operator.name} v{operator.version}" for operator in graph}))


def _names(enumeration: type) -> dict[int, str]:
    return {number: name for name, number in vars(enumeration).items() if isinstance(number, int)}


def _operators(
    model: Any, graph: Any, codes: dict[int, str], types: dict[int, str]
) -> Iterator[Operator]:
    tensors = [_tensor(graph.Tensors(i), types) for i in range(graph.TensorsLength())]
    for index in range(graph.OperatorsLength()):
        step = graph.Operators(index)
        code = model.OperatorCodes(step.OpcodeIndex())
        number = max(code.BuiltinCode(), code.DeprecatedBuiltinCode())
        name = codes[number]
        if name == CUSTOM:
            name = code.CustomCode().decode()
        ends = [step.Inputs(i) for i in range(step.InputsLength())]
        inputs = tuple(tensors[i] for i in ends if i >= 0)
        outputs = tuple(tensors[step.Outputs(i)] for i in range(step.OutputsLength()))
        yield Operator(name, code.Version(), inputs, outputs)


def _tensor(tensor: Any, types: dict[int, str]) -> GraphTensor:
    shape = tuple(tensor.Shape(i) for i in range(tensor.ShapeLength()))
    return GraphTensor(tensor.Name().decode(), shape, types[tensor.Type()].lower())
