"""The document that describes the interface, and a fuzzer that holds the server to it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from sertk_edge import __version__
from sertk_edge.http.app import OPENAPI
from sertk_edge.http.classify import AUDIO_TYPES
from sertk_edge.http.event_stream import EVENT_STREAM, MOST_SEQUENCE
from sertk_edge.http.metrics import CONTENT_TYPE
from sertk_edge.http.security import COOKIE
from sertk_edge.http.websocket import CHANNELS, RATES_HZ

TOKEN = "a-token-for-the-tests"
# Any bytes are a body as far as a schema can say; what is no audio is refused all the same.
CONFIG = """
[[operations]]
include-operation-id = "classify"
[operations.checks]
positive_data_acceptance.expected-statuses = [200, 422]
"""
FUZZ = (
    # Answers without end, and a handshake that is no plain request.
    "--exclude-path=/v1/events",
    "--exclude-path=/v1/listen",
    "--max-examples=150",
    "--generation-deterministic",
    "--suppress-health-check=all",
    "--no-color",
)


def resolved(described: dict[str, Any], part: Any) -> Any:
    """A part of the document, its reference followed."""
    while isinstance(part, dict) and "$ref" in part:
        found: Any = described
        for name in part["$ref"].removeprefix("#/").split("/"):
            found = found[name]
        part = found
    return part


def schema_of(described: dict[str, Any], name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}", "components": described["components"]}


def fuzz(site: Any, folder: Path, *more: str) -> str:
    """What the fuzzer says; it must find nothing."""
    (folder / "schemathesis.toml").write_text(CONFIG)
    command = [sys.executable, "-m", "schemathesis.cli", "run", *FUZZ, *more]
    command.append(f"http://127.0.0.1:{site.port}/v1/openapi.json")
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def passed(output: str) -> int:
    """How many requests it has made, none of which was answered wrongly."""
    counts = re.search(r"(\d+) generated, (\d+) passed", output)
    assert counts is not None and counts[1] == counts[2], output
    return int(counts[1])


def test_a_fuzzer_finds_nothing(serving: Any, tmp_path: Path) -> None:
    site = serving(requests_per_minute=1_000_000)
    assert passed(fuzz(site, tmp_path, "--phases=coverage,fuzzing")) > 200


def test_a_fuzzer_finds_nothing_where_a_token_is_needed(serving: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    site = serving(requests_per_minute=1_000_000, token_file=token)
    # After ten wrong tokens nothing else would be said for a while.
    more = (
        "--phases=fuzzing",
        "--exclude-path=/v1/session",
        "--generation-with-security-parameters=false",
    )
    output = fuzz(site, tmp_path, f"--header=Authorization: Bearer {TOKEN}", *more)
    assert passed(output) > 100
    assert "Rate limited" not in output


def test_everything_that_is_served_is_described_and_nothing_else(site: Any) -> None:
    described = site.get("/v1/openapi.json").json
    for path, methods in described["paths"].items():
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            if path in ("/v1/events", "/v1/listen") and method == "GET":
                continue
            status = site.ask(method, path, b"", {"Content-Type": "audio/wav"}).status
            assert (status == 405) == (method.lower() not in methods), (method, path)
    served = {route.resource.canonical for route in site.server._runner.app.router.routes()}
    files = {path for path in served if path.count("/") == 1 and "." in path}
    assert served - files == set(described["paths"])


def test_every_refusal_has_its_reason_and_the_shape_of_one() -> None:
    described = json.loads(OPENAPI.read_text("utf-8"))
    names = []
    for methods in described["paths"].values():
        for operation in methods.values():
            names.append(operation["operationId"])
            for status, given in operation["responses"].items():
                answer = resolved(described, given)
                assert answer["description"]
                if int(status) >= 400 and operation["operationId"] != "ready":
                    content = answer["content"]["application/json"]
                    assert content["schema"]["$ref"].endswith("/Error")
    assert len(names) == len(set(names)) == 11


def test_the_token_is_asked_for_only_where_there_is_one(serving: Any, tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text(TOKEN)
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    described = serving(token_file=token).ask("GET", "/v1/openapi.json", headers=bearer).json
    assert described == serving().get("/v1/openapi.json").json
    # One document for all: the empty alternative stands for a device without a token file.
    assert described["security"] == [{"bearer": []}, {"cookie": []}, {}]
    for path in ("/healthz", "/readyz", "/v1/session", "/"):
        assert all(each["security"] == [] for each in described["paths"][path].values())


def test_the_document_has_the_constants_of_the_code() -> None:
    described = json.loads(OPENAPI.read_text("utf-8"))
    paths = described["paths"]
    assert described["info"]["version"] == __version__
    assert set(paths["/v1/classify"]["post"]["requestBody"]["content"]) == AUDIO_TYPES
    assert set(paths["/metrics"]["get"]["responses"]["200"]["content"]) == {
        CONTENT_TYPE.partition(";")[0]
    }
    events = paths["/v1/events"]["get"]
    assert set(events["responses"]["200"]["content"]) == {EVENT_STREAM}
    assert events["parameters"][0]["schema"]["maximum"] == MOST_SEQUENCE
    asked = {each["name"]: each["schema"] for each in paths["/v1/listen"]["get"]["parameters"]}
    for name, allowed in (("rate_hz", RATES_HZ), ("channels", CHANNELS)):
        assert asked[name]["minimum"] == allowed[0] and asked[name]["maximum"] == allowed[-1]
    assert described["components"]["securitySchemes"]["cookie"]["name"] == COOKIE


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/v1/state", "State"),
        ("/v1/model", "Model"),
        ("/readyz", "Ready"),
        ("/healthz", "Health"),
        ("/nothing", "Error"),
    ],
)
def test_answers_have_the_shape_that_is_described(site: Any, path: str, name: str) -> None:
    described = site.get("/v1/openapi.json").json
    jsonschema.validate(site.get(path).json, schema_of(described, name))


def test_predictions_and_events_have_the_shape_that_is_described(site: Any, wav: bytes) -> None:
    described = site.get("/v1/openapi.json").json
    jsonschema.validate(site.classify(wav).json, schema_of(described, "Classification"))
    jsonschema.validate(asdict(site.tell(1)), schema_of(described, "Event"))
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"label": "joy"}, schema_of(described, "Event"))
