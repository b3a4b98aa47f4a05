"""Metadata is read back by table access alone, and by a zip reader, as a device would."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import Any

import flatbuffers
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter
from flatbuffers.table import Table

from ser_toolkit.export.tflite_graph import operators
from ser_toolkit.export.tflite_metadata import FileDescription, with_metadata
from ser_toolkit.runtime.errors import SertkError

ABOUT = FileDescription(
    "a name",
    "what it does",
    "48384 samples",
    "probabilities of 3 emotions",
    16000,
    ("anger", "Überraschung", "neutral"),
)


@pytest.fixture(scope="module")
def model() -> bytes:
    """A real network with weights and a signature: 8 values in, 3 probabilities out."""
    from ser_toolkit.training.backend import import_keras

    keras = import_keras()
    import tensorflow as tf

    keras.utils.set_random_seed(2)
    layers = [keras.layers.Dense(5, "relu"), keras.layers.Dense(3, "softmax")]
    network = keras.Sequential([keras.Input((8,), name="samples"), *layers])
    return bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())


@pytest.fixture(scope="module")
def described(model: bytes) -> bytes:
    return with_metadata(model, ABOUT)


# An independent reader: vtable entry -> position -> value.


def position(table: Any, slot: int) -> int:
    found = table.Offset(4 + 2 * slot)
    assert found, f"slot {slot} is empty"
    return int(table.Pos + found)


def text(table: Any, slot: int) -> str:
    return str(table.String(position(table, slot)).decode())


def child(table: Any, slot: int) -> Any:
    return Table(table.Bytes, table.Indirect(position(table, slot)))


def rows(table: Any, slot: int) -> list[Any]:
    relative = position(table, slot) - table.Pos
    start = table.Vector(relative)
    places = [start + 4 * index for index in range(table.VectorLen(relative))]
    return [Table(table.Bytes, table.Indirect(place)) for place in places]


def number(table: Any, slot: int, form: str) -> int:
    (value,) = struct.unpack_from(form, table.Bytes, position(table, slot))
    return int(value)


def entries(content: bytes) -> dict[str, bytes]:
    found = schema.Model.GetRootAs(content, 0)
    metadata = [found.Metadata(index) for index in range(found.MetadataLength())]
    return {
        one.Name().decode(): found.Buffers(one.Buffer()).DataAsNumpy().tobytes() for one in metadata
    }


def root_of(content: bytes) -> Any:
    packed = bytearray(entries(content)["TFLITE_METADATA"])
    assert packed[4:8] == b"M001"
    return Table(packed, struct.unpack_from("<I", packed)[0])


def test_model_tables(described: bytes) -> None:
    root = root_of(described)
    assert text(root, 0) == "a name"
    assert text(root, 1) == "what it does"
    assert text(root, 7) == "1.3.0"
    assert len(rows(root, 3)) == 1


def test_audio_input(described: bytes) -> None:
    (graph,) = rows(root_of(described), 3)
    (tensor,) = rows(graph, 2)
    assert text(tensor, 0) == "samples"
    assert text(tensor, 1) == "48384 samples"
    content = child(tensor, 3)
    assert number(content, 0, "<B") == 4  # AudioProperties, fourth of the union
    audio = child(content, 1)
    assert number(audio, 0, "<I") == 16000
    assert number(audio, 1, "<I") == 1


def test_labels_of_the_output(described: bytes) -> None:
    (graph,) = rows(root_of(described), 3)
    (tensor,) = rows(graph, 3)
    assert text(tensor, 0) == "probabilities"
    assert number(child(tensor, 3), 0, "<B") == 1  # FeatureProperties
    (file,) = rows(tensor, 6)
    assert text(file, 0) == "labels.txt"
    assert number(file, 2, "<b") == 2  # TENSOR_AXIS_LABELS


def test_label_file(described: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(described)) as archive:
        (info,) = archive.infolist()
        assert info.filename == "labels.txt"
        # Readers on devices map the file into memory.
        assert info.compress_type == zipfile.ZIP_STORED
        assert archive.testzip() is None
        assert archive.read(info).decode() == "anger\nÜberraschung\nneutral"


def answers(content: bytes, inputs: Any) -> Any:
    runner = Interpreter(model_content=content).get_signature_runner("serving_default")
    return np.concatenate([next(iter(runner(samples=row[None]).values())) for row in inputs])


def test_runs_as_before(model: bytes, described: bytes) -> None:
    inputs = np.random.default_rng(1).standard_normal((20, 8)).astype(np.float32)
    np.testing.assert_array_equal(answers(described, inputs), answers(model, inputs))
    assert operators(described) == operators(model)


def test_what_was_there_stays(model: bytes, described: bytes) -> None:
    before, after = entries(model), entries(described)
    assert before and set(after) == {*before, "TFLITE_METADATA"}
    assert {name: after[name] for name in before} == before


def test_every_buffer_is_aligned(described: bytes) -> None:
    start = np.frombuffer(described, np.uint8).__array_interface__["data"][0]
    model = schema.Model.GetRootAs(described, 0)
    held = [model.Buffers(index).DataAsNumpy() for index in range(model.BuffersLength())]
    places = [a.__array_interface__["data"][0] - start for a in held if isinstance(a, np.ndarray)]
    assert len(places) > 4
    assert all(place % 16 == 0 for place in places)


def behind(model: bytes) -> bytes:
    """The same network, its largest buffer behind the tables, as for files above 2 GB."""
    packed = schema.ModelT.InitFromPackedBuf(model, 0)
    largest = max(packed.buffers, key=lambda held: 0 if held.data is None else len(held.data))
    data, largest.data = largest.data.tobytes(), None
    # The tables are far smaller than this; what is between is not looked at.
    largest.offset, largest.size = 16384, len(data)
    builder = flatbuffers.Builder(1024)
    builder.Finish(packed.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output()).ljust(largest.offset, b"\0") + data


def test_weights_behind_the_tables(model: bytes) -> None:
    inputs = np.random.default_rng(1).standard_normal((5, 8)).astype(np.float32)
    moved = behind(model)
    np.testing.assert_array_equal(answers(moved, inputs), answers(model, inputs))
    described = with_metadata(moved, ABOUT)
    np.testing.assert_array_equal(answers(described, inputs), answers(model, inputs))
    found = schema.Model.GetRootAs(described, 0)
    assert not any(found.Buffers(index).Offset() for index in range(found.BuffersLength()))


def test_same_bytes_each_time(model: bytes, described: bytes) -> None:
    assert with_metadata(model, ABOUT) == described


def test_described_again(model: bytes, described: bytes) -> None:
    other = FileDescription("b", "c", "d", "e", 8000, ("joy", "fear", "calm"))
    again = with_metadata(described, other)
    assert text(root_of(again), 0) == "b"
    with zipfile.ZipFile(io.BytesIO(again)) as archive:
        assert archive.namelist() == ["labels.txt"]
        assert archive.read("labels.txt") == b"joy\nfear\ncalm"
    model_entries = schema.Model.GetRootAs(again, 0).MetadataLength()
    assert model_entries == schema.Model.GetRootAs(described, 0).MetadataLength()


def test_other_bytes_are_refused() -> None:
    builder = flatbuffers.Builder(8)
    builder.StartObject(0)
    builder.Finish(builder.EndObject(), file_identifier=b"XXXX")
    for content in (b"", b"RIFF" + bytes(40), bytes(builder.Output())):
        with pytest.raises(SertkError, match=r"a \.tflite file expected"):
            with_metadata(content, ABOUT)


def test_labels_are_lines(model: bytes) -> None:
    for label in ("", " ", "two\nlines", "two\u2028lines", "end\n"):
        about = FileDescription("a", "b", "c", "d", 16000, ("joy", label, "calm"))
        with pytest.raises(SertkError, match="one line of text"):
            with_metadata(model, about)
