"""The shapes of what is answered, as JSON Schema (OpenAPI 3.1)."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

PROBABILITY: Schema = {"type": "number", "minimum": 0, "maximum": 1}
PROBABILITIES: Schema = {
    "type": "object",
    "description": "One per emotion of the model; they sum to 1.",
    "additionalProperties": PROBABILITY,
}
TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "number"}
SECONDS: Schema = {"type": "number", "minimum": 0}
COUNT: Schema = {"type": "integer", "minimum": 0}
YES_NO: Schema = {"type": "boolean"}
DECIBELS: Schema = {
    "type": ["number", "null"],
    "description": "Decibels of full scale; null for digital silence.",
}


def fields(about: str = "", optional: tuple[str, ...] = (), /, **properties: Schema) -> Schema:
    """An object that has these properties; it may get more in later versions."""
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": [name for name in properties if name not in optional],
    }
    return {"description": about, **schema} if about else schema


def listed(items: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": items}


def or_null(schema: Schema) -> Schema:
    """This, or nothing."""
    return {"oneOf": [schema, {"type": "null"}]}


def ref(name: str) -> Schema:
    """The schema of this name."""
    return {"$ref": f"#/components/schemas/{name}"}


def named(about: str, *values: str) -> Schema:
    """One of these words."""
    return {"type": "string", "description": about, "enum": list(values)}


JUDGED = {
    "label": {"type": "string", "description": "The most probable emotion."},
    "probabilities": PROBABILITIES,
    "uncertain": {
        "type": "boolean",
        "description": "Whether even that is too improbable to name it.",
    },
}
WINDOW = fields("A stretch of the recording.", start_s=SECONDS, end_s=SECONDS, **JUDGED)
CLASSIFICATION = fields(
    "What is heard in a recording.", **JUDGED, duration_s=SECONDS, windows=listed(ref("Window"))
)
EVENT = fields(
    "A change in the emotion heard.",
    id={"type": "string", "description": "The same whenever this event is told again."},
    sequence={"type": "integer", "minimum": 1, "description": "Counts up, over restarts too."},
    kind=named("What happened to the emotion.", "started", "changed", "ended"),
    time_s={"type": "number", "description": "Unix time."},
    offset_s={"type": "number", "description": "Seconds of sound since the source was opened."},
    label={"type": "string", "description": "An emotion or `uncertain`; of `ended` the last."},
    probabilities=PROBABILITIES,
    level_dbfs=DECIBELS,
)
PART = {"state": TEXT, "detail": TEXT}
SHA256: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{64}$",
    "description": "Of the file of the bundle that answers.",
}
STATE = fields(
    "What goes on at the moment.",
    ("recording",),
    time_s=NUMBER,
    offset_s=NUMBER,
    level_dbfs=DECIBELS,
    peak_dbfs=DECIBELS,
    clipping=YES_NO,
    speech=YES_NO,
    label={"type": ["string", "null"]},
    probabilities=or_null(PROBABILITIES),
    since_s={"type": ["number", "null"], "description": "How long the label has lasted."},
    model=fields(name=TEXT, sha256=SHA256, **PART),
    source=fields(kind=TEXT, name=TEXT, **PART),
    sinks=listed(fields(name=TEXT, pending=COUNT, dropped=COUNT, **PART)),
    spool=fields(**PART),
    recording={"type": "boolean", "description": "Whether sound is written to disk."},
)
MODEL = fields(
    "The bundle that answers.",
    name=TEXT,
    sha256=SHA256,
    labels=listed(TEXT),
    rate_hz={"type": "integer", "minimum": 1},
    window_s=NUMBER,
    hop_s=NUMBER,
    quantization=TEXT,
    runtime=fields(name=TEXT, version=TEXT),
    signed=YES_NO,
    loaded_time_s=NUMBER,
    figures={"type": "object", "description": "How well it did when it was evaluated."},
    training={"type": "object", "description": "What it learned from."},
    rejected=or_null(
        fields("The last file that was not taken.", file=TEXT, reason=TEXT, time_s=NUMBER)
    ),
)
READY = fields(
    "Whether sound is heard and events can be told.",
    ready=YES_NO,
    model=TEXT,
    source=TEXT,
    spool=TEXT,
)
ERROR = fields(
    "Why a request was refused.",
    error=fields(
        "",
        ("expected",),
        expected={"type": "string", "description": "What would have been taken."},
        message={"type": "string", "description": "One line."},
    ),
)
HEALTH = fields(status={"type": "string", "const": "ok"})
TOKEN = {**fields(token=TEXT), "additionalProperties": False}

SCHEMAS: Schema = {
    "Classification": CLASSIFICATION,
    "Error": ERROR,
    "Event": EVENT,
    "Health": HEALTH,
    "Model": MODEL,
    "Ready": READY,
    "State": STATE,
    "Token": TOKEN,
    "Window": WINDOW,
}
