"""docs/edge.md and the guide are true: every setting, parameter, metric and path is in them."""

from __future__ import annotations

import ast
import dataclasses
import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.component import fields_of
from ser_toolkit.runtime.events import Event
from sertk_edge.cli import serve_edge
from sertk_edge.delivery.sink_worker import SinkStatus
from sertk_edge.http.app import OPENAPI
from sertk_edge.http.metrics import Metrics
from sertk_edge.options import variables_of
from sertk_edge.plugin import sertk_sinks
from sertk_edge.settings import SECTIONS, HttpSettings, Settings
from sertk_edge.settings_loader import defaults_of, settings_of
from sertk_edge.sinks.home_assistant import state_of

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/edge.md").read_text("utf-8")
GUIDE = (ROOT / "edge/README.md").read_text("utf-8")
DOCUMENT = json.loads(OPENAPI.read_text("utf-8"))
SCHEMAS = DOCUMENT["components"]["schemas"]
SINK_OF = {sink.name: sink for sink in sertk_sinks()}


def blocks(text: str, language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    return found


def section(heading: str) -> str:
    level = heading.split(" ")[0]
    body = PAGE.partition(f"\n{heading}\n")[2]
    assert body, f"no {heading!r}"
    return re.split(rf"\n#{{1,{len(level)}}} ", body)[0]


def rows(text: str) -> dict[str, list[str]]:
    """What stands in backticks in the first cell of tables, and the other cells."""
    lines = (line for line in text.splitlines() if line.startswith("| "))
    cells = ([cell.strip() for cell in line.strip("|").split(" |")] for line in lines)
    return {key: rest for first, *rest in cells for key in re.findall(r"`([^`]+)`", first)}


# Settings ----------------------------------------------------------------------------------------


def example() -> str:
    (found,) = blocks(PAGE, "toml")
    return found


def loaded(text: str, folder: Path) -> Settings:
    file = folder / "edge.toml"
    file.write_text(text, "utf-8")
    return settings_of(defaults_of(file))


def test_the_example_is_the_defaults(tmp_path: Path) -> None:
    settings = loaded(example(), tmp_path)
    for name, kind in SECTIONS.items():
        found = getattr(settings, name)
        expected = kind(file=found.file) if name == "bundle" else kind()
        assert found == expected, name
    assert [name for name, _ in settings.sinks] == ["mqtt", "json_lines"]


def test_every_setting_is_in_the_example(tmp_path: Path) -> None:
    # What has no default is commented out there.
    whole = re.sub(r"^# (\w+ = )", r"\1", example(), flags=re.MULTILINE)
    tables = tomllib.loads(whole)
    for name, kind in SECTIONS.items():
        assert set(tables[name]) == {field.name for field in dataclasses.fields(kind)}, name
    loaded(whole, tmp_path)
    for name, params in loaded(whole, tmp_path).sinks:
        assert set(params) <= set(fields_of(SINK_OF[name]))


def test_every_number_of_the_smoothing_is_explained() -> None:
    meaning = rows(section("## From sound to events"))
    assert set(meaning) == {field.name for field in dataclasses.fields(SECTIONS["smoothing"])}
    for field in dataclasses.fields(SECTIONS["stream"]):
        if field.name != "gate":
            assert f"`{field.name}`" in section("## From sound to events"), field.name


@pytest.mark.parametrize("text", blocks(GUIDE, "toml"))
def test_settings_of_the_guide_load(text: str, tmp_path: Path) -> None:
    settings = loaded(text, tmp_path)
    assert settings.http.token_file is not None
    for name, params in settings.sinks:
        assert set(params) <= set(fields_of(SINK_OF[name]))


def test_variables_exist() -> None:
    named = set(re.findall(r"\bSERTK_EDGE_[A-Z_]+\b", PAGE + GUIDE))
    assert named and named <= variables_of(serve_edge)


# Sinks -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", list(SINK_OF))
def test_every_parameter_of_a_sink_is_documented_with_its_default(name: str) -> None:
    text = section(f"### {name}").partition("\n| topic |")[0]
    table, fields = rows(text), fields_of(SINK_OF[name])
    assert set(table) == set(fields)
    for key, value in fields.items():
        shown = table[key][0].strip("`")
        assert shown == ("" if value == "" else str(value).lower().removesuffix(".0")), key


def test_every_topic_is_documented() -> None:
    topics = rows(section("### mqtt").partition("\n| topic |")[2])
    ours = {"sertk/DEVICE/event", "sertk/DEVICE/state", "sertk/DEVICE/availability"}
    assert ours | {"homeassistant/device/DEVICE/config"} <= set(topics)


# HTTP and metrics --------------------------------------------------------------------------------


def test_every_path_is_documented() -> None:
    paths: Any = DOCUMENT["paths"]
    ours = {f"{method.upper()} {path}" for path, methods in paths.items() for method in methods}
    assert set(rows(section("## The page and the interface for programs"))) == ours


def test_addresses_that_are_asked_exist() -> None:
    paths = set(DOCUMENT["paths"]) | {""}
    asked = re.findall(r"http://127\.0\.0\.1:8642([\w/.]*)", "\n".join([PAGE, GUIDE]))
    assert asked and set(asked) <= paths


def test_every_metric_is_documented() -> None:
    sinks = [SinkStatus("x", "ok", 0, 0, 0, 0, 0, "")]
    text = Metrics(lambda: sinks).text().decode()
    names = set(re.findall(r"^# TYPE (sertk_\w+) \w+$", text, re.MULTILINE))
    ours = {name for name in names if not name.endswith("_created")}
    assert len(ours) > 15
    documented = rows(section("## Metrics"))
    assert set(documented) - {"process_…"} == ours
    assert set(re.findall(r"\bsertk_[a-z_]+\b", PAGE)) - {"sertk_edge"} <= ours


def test_the_numbers_in_the_text_are_those_of_the_code() -> None:
    from sertk_edge import daemon, main
    from sertk_edge.audio import audio_queue, segments, vad
    from sertk_edge.delivery import sink_worker
    from sertk_edge.http import backend, security, websocket

    text = " ".join(PAGE.split())
    message = {
        f"at most {audio_queue.HELD_S:g} s": "audio queue",
        f"every {1000 * vad.FRAME_S:g} ms": "frames",
        f"{vad.ABOVE_NOISE_DB:g} dB above the noise": "energy gate",
        f"{vad.QUIETEST_SPEECH_DBFS:g} dBFS": "energy gate",
        f"{1000 * segments.ONSET_FRAMES * vad.FRAME_S:g} ms of speech": "onset",
        f"{sink_worker.FIRST_PAUSE_S:g} s, then twice as long each time up to "
        f"{sink_worker.LONGEST_PAUSE_S:g} s": "sink worker",
        f"within {main.DRAIN_STOPPED_S:g} s": "drain",
        f"last {backend.RECENT} since": "recent",
        f"at most {websocket.MOST_BYTES >> 10} KiB": "socket",
        f"for {security.COOKIE_DAYS} days": "cookie",
        f"after {daemon.STUCK_S:g} s: systemd": "watchdog",
    }
    assert [where for words, where in message.items() if words not in text] == []


# Examples ----------------------------------------------------------------------------------------


def test_json_examples_have_the_keys_of_the_code() -> None:
    event, state, answer, refusal = map(json.loads, blocks(PAGE, "json"))
    assert Event(**event).kind == "started"
    assert set(event) == set(rows(section("## Events"))) == set(SCHEMAS["Event"]["properties"])
    assert set(state) == set(state_of(Event(**event)))
    assert set(answer) == set(SCHEMAS["Classification"]["properties"])
    assert set(answer["windows"][0]) == set(SCHEMAS["Window"]["properties"])
    assert set(refusal) == set(SCHEMAS["Error"]["properties"])
    for probabilities in (event["probabilities"], answer["probabilities"]):
        assert sum(probabilities.values()) == pytest.approx(1, abs=0.01)


def test_code_parses() -> None:
    for page in (PAGE, GUIDE):
        for code in blocks(page, "python"):
            ast.parse(code)


def test_every_module_is_in_the_architecture() -> None:
    tree = (ROOT / "docs/architecture.md").read_text("utf-8").partition("edge/sertk_edge/\n")[2]
    tree = tree.partition("```")[0]
    package = ROOT / "edge/sertk_edge"
    files = {path.name for path in package.glob("*.py")} - {"__init__.py"}
    folders = {f"{path.name}/" for path in package.iterdir() if path.is_dir()} - {"__pycache__/"}
    assert {name for name in files | folders if name not in tree} == set()


def test_the_port_is_the_default() -> None:
    assert HttpSettings().port == -1
    assert set(re.findall(r"127\.0\.0\.1:(\d+)", PAGE + GUIDE)) <= {"8642", "10300"}
