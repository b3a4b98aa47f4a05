"""Write into a `.tflite` file the metadata that Android's and MediaPipe's libraries read.

The tables are those of the published schema `metadata_schema.fbs` (identifier M001, version 1.3.0,
the first with audio) of tensorflow/tflite-support. The label file lies in a zip archive behind the
model, which a runtime never looks at.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..runtime.errors import SertkError

ENTRY = "TFLITE_METADATA"
IDENTIFIER = b"M001"
PARSER_VERSION = "1.3.0"
LABELS_FILE = "labels.txt"
FEATURE_PROPERTIES, AUDIO_PROPERTIES = 1, 4
TENSOR_AXIS_LABELS = 2
# The schema of the model asks for it, and Python's FlatBuffers do not.
ALIGNMENT = 16
EPOCH = (1980, 1, 1, 0, 0, 0)

Slots = Mapping[int, tuple[str, int]]


@dataclass(frozen=True)
class FileDescription:
    """Description of a file that takes mono audio (1, N) and gives probabilities (1, n)."""

    name: str
    description: str
    input_text: str
    output_text: str
    rate_hz: int
    labels: tuple[str, ...]


def with_metadata(content: bytes, description: FileDescription) -> bytes:
    """Return the same network with metadata in it and `labels.txt` behind it, one label per line.

    Metadata and archives that are already there are replaced. Raises SertkError for other bytes
    and for labels that are no lines.
    """
    for label in description.labels:
        if not label.strip() or label != " ".join(label.splitlines()):
            raise SertkError(f"a label expects one line of text, received {label!r}")
    return _with_labels(_with_entry(content, _metadata(description)), description.labels)


def _with_entry(content: bytes, metadata: bytes) -> bytes:
    """Pack the model again with one more buffer and one more entry."""
    import numpy as np
    from ai_edge_litert import schema_py_generated as schema

    if not schema.Model.ModelBufferHasIdentifier(content, 0):
        raise SertkError("a .tflite file expected, received other bytes", "Convert again")
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    _embed_weights(model, content)
    buffer, entry = schema.BufferT(), schema.MetadataT()
    buffer.data = np.frombuffer(metadata, np.uint8)
    entry.name, entry.buffer = ENTRY, len(model.buffers)
    model.buffers.append(buffer)
    others = [old for old in model.metadata or [] if _text(old.name) != ENTRY]
    model.metadata = [*others, entry]
    builder = _aligned_builder(len(content) + len(metadata))
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _embed_weights(model: Any, content: bytes) -> None:
    """Move weights from behind the tables into them: only new runtimes look behind."""
    import numpy as np

    for buffer in model.buffers:
        if buffer.size:
            buffer.data = np.frombuffer(content, np.uint8, buffer.size, buffer.offset)
        buffer.offset = buffer.size = 0


def _text(name: Any) -> str:
    return name.decode() if isinstance(name, bytes) else str(name)


def _aligned_builder(size: int) -> Any:
    """Return a builder that puts bytes (the weights, in a model) where the schema wants them."""
    import flatbuffers

    class Builder(flatbuffers.Builder):  # type: ignore[misc]
        def StartVector(self, elem_size: int, count: int, alignment: int) -> Any:  # noqa: N802
            required = ALIGNMENT if elem_size == 1 else alignment
            return super().StartVector(elem_size, count, required)

    return Builder(size)


def _with_labels(content: bytes, labels: Sequence[str]) -> bytes:
    """Put an archive behind the model; uncompressed, because readers on devices map it."""
    file = io.BytesIO(content)
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(LABELS_FILE, EPOCH), "\n".join(labels))
    return file.getvalue()


def _metadata(description: FileDescription) -> bytes:
    """Build ModelMetadata with one subgraph; the numbers are the slots of the schema."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    graph = _table(
        builder,
        {
            2: _vector(builder, [_audio_tensor(builder, description)]),
            3: _vector(builder, [_label_tensor(builder, description)]),
        },
    )
    root = _table(
        builder,
        {
            0: _string(builder, description.name),
            1: _string(builder, description.description),
            3: _vector(builder, [graph]),
            7: _string(builder, PARSER_VERSION),
        },
    )
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _audio_tensor(builder: Any, description: FileDescription) -> int:
    rate, channels = ("Uint32", description.rate_hz), ("Uint32", 1)
    audio = _table(builder, {0: rate, 1: channels})
    content = _table(builder, {0: ("Uint8", AUDIO_PROPERTIES), 1: ("UOffsetTRelative", audio)})
    return _tensor(builder, "samples", description.input_text, {3: ("UOffsetTRelative", content)})


def _label_tensor(builder: Any, description: FileDescription) -> int:
    file = _table(
        builder,
        {
            0: _string(builder, LABELS_FILE),
            1: _string(builder, "The emotions, in the order of the output."),
            2: ("Int8", TENSOR_AXIS_LABELS),
        },
    )
    feature = ("UOffsetTRelative", _table(builder, {}))
    content = _table(builder, {0: ("Uint8", FEATURE_PROPERTIES), 1: feature})
    more = {3: ("UOffsetTRelative", content), 6: _vector(builder, [file])}
    return _tensor(builder, "probabilities", description.output_text, more)


def _tensor(builder: Any, name: str, text: str, more: Slots) -> int:
    return _table(builder, {0: _string(builder, name), 1: _string(builder, text), **more})


def _table(builder: Any, slots: Slots) -> int:
    """Build a table from what is in its slots: the kind of value, and the value."""
    builder.StartObject(max(slots, default=-1) + 1)
    for slot, (kind, value) in slots.items():
        getattr(builder, f"Prepend{kind}Slot")(slot, value, 0)
    offset: int = builder.EndObject()
    return offset


def _string(builder: Any, text: str) -> tuple[str, int]:
    return "UOffsetTRelative", builder.CreateString(text)


def _vector(builder: Any, offsets: Sequence[int]) -> tuple[str, int]:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return "UOffsetTRelative", builder.EndVector()
