"""The automation in the guide fires with what the sink publishes, and with nothing else."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from ser_toolkit.runtime.events import Device, DeviceStatus, Event, Kind
from sertk_edge.sinks.mqtt import Mqtt

GUIDE = Path(__file__).resolve().parents[3] / "README.md"
Broker = Listener = Any


@pytest.fixture(scope="module")
def automation() -> Any:
    yaml = pytest.importorskip("yaml")
    (text,) = re.findall(r"^```yaml\n(.*?)^```$", GUIDE.read_text("utf-8"), re.M | re.S)
    return yaml.safe_load(text)


def event(kind: Kind, label: str, age_s: float = 0.0) -> Event:
    probabilities = {label: 1.0}
    return Event("a", 1, kind, time.time() - age_s, 0.5, label, probabilities, -20.0)


def test_the_automation_of_the_guide_fires(
    automation: Any,
    broker: Broker,
    listener: Listener,
    sink: Callable[..., Mqtt],
    device: Device,
    soon: Callable[[Callable[[], bool]], None],
) -> None:
    jinja2 = pytest.importorskip("jinja2")
    environment = jinja2.Environment()
    environment.filters["tojson"] = json.dumps
    given = [
        (event("started", "sadness"), True),
        (event("changed", "sadness", 5.0), True),
        (event("ended", "sadness"), False),
        (event("started", "anger"), False),
        (event("started", "sadness", 20.0), False),
    ]
    with closing(sink(broker).open(device)) as outlet:
        outlet.refresh(DeviceStatus())
        for one, _ in given:
            outlet.deliver(one)
        soon(lambda: len(listener.events) == len(given))
    config = json.loads(listener.of("homeassistant/device/pi-1/config")[0])
    entity = config["components"]["event"]
    # Home Assistant makes an entity's id of the names of the device and of the entity.
    names = f"{config['device']['name']} {entity['name']}".lower().replace(" ", "_")
    (trigger,) = automation["triggers"]
    assert trigger["entity_id"] == f"{entity['platform']}.{names}"
    (condition,) = automation["conditions"]
    seen = environment.from_string(entity["value_template"])
    fires = environment.from_string(condition["value_template"])
    found = []
    for payload in listener.events:
        attributes = json.loads(seen.render(value_json=payload))
        assert attributes["event_type"] in entity["event_types"]
        state = SimpleNamespace(attributes=attributes)
        found.append(fires.render(trigger=SimpleNamespace(to_state=state)) == "True")
    assert found == [expected for _, expected in given]
