"""MQTT discovery for Home Assistant: one retained message for all entities of the device.

It is MQTT *device* discovery, which Home Assistant has since 2024.11:
https://www.home-assistant.io/integrations/mqtt/#device-discovery-payload
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

from ser_toolkit.runtime.events import Device, Event, Kind

UNCERTAIN = "uncertain"
# Nobody speaks. An option of its own, so that an automation can wait for it: `unknown` is what
# Home Assistant shows before it has received of us.
NOBODY = "none"
ONLINE, OFFLINE = "online", "offline"


@dataclass(frozen=True)
class Topics:
    """Where a device publishes, below `base`."""

    base: str
    device_id: str

    @property
    def availability(self) -> str:
        """Return the topic of `online` while sound arrives, else `offline`, retained."""
        return f"{self.base}/{self.device_id}/availability"

    @property
    def problem(self) -> str:
        """Return the topic of why no sound arrives, retained."""
        return f"{self.base}/{self.device_id}/problem"

    @property
    def state(self) -> str:
        """Return the topic of the current emotion, retained."""
        return f"{self.base}/{self.device_id}/state"

    @property
    def event(self) -> str:
        """Return the topic of each event, as it comes."""
        return f"{self.base}/{self.device_id}/event"


def state_of(newest: Event | None) -> dict[str, Any]:
    """Return the state since `since_time_s`, that of the newest event.

    Most of it is null when an emotion has ended, all but `speech` before the first event.
    """
    event = None if newest is None or newest.kind == "ended" else newest
    probabilities = event.probabilities if event else {}
    sure = max(probabilities.values(), default=None)
    return {
        "speech": event is not None,
        "label": event.label if event else None,
        "reason": event.reason if event else "",
        "confidence": probabilities.get(event.label, sure) if event else None,
        "probabilities": dict(probabilities) if event else None,
        "since_time_s": newest.time_s if newest else None,
        "sequence": newest.sequence if newest else None,
    }


def discovery(device: Device, topics: Topics) -> dict[str, Any]:
    """Return the message for `{prefix}/device/{id}/config`."""
    return {
        "device": {
            "identifiers": [f"sertk_{device.id}"],
            "name": device.name,
            "manufacturer": "SER Toolkit",
            "model": device.model,
            "sw_version": device.version,
        },
        "origin": {"name": "sertk-edge", "sw_version": device.version},
        "qos": 1,
        "components": {
            key: {**component, "unique_id": f"sertk_{device.id}_{key}"}
            for key, component in _components(device, topics).items()
        },
    }


def _components(device: Device, topics: Topics) -> Mapping[str, dict[str, Any]]:
    available = {"availability": [{"topic": topics.availability}]}
    measured = {key: {**one, **available} for key, one in _measured(device, topics).items()}
    return {
        **measured,
        # Always available: it is there to be seen when the others are not.
        "problem": {
            "platform": "binary_sensor",
            "name": "Problem",
            "device_class": "problem",
            "entity_category": "diagnostic",
            "state_topic": topics.availability,
            "payload_on": OFFLINE,
            "payload_off": ONLINE,
            "json_attributes_topic": topics.problem,
        },
    }


def _measured(device: Device, topics: Topics) -> Mapping[str, dict[str, Any]]:
    options = dict.fromkeys((*device.labels, UNCERTAIN, NOBODY))
    return {
        "emotion": {
            "platform": "sensor",
            "name": "Emotion",
            "icon": "mdi:emoticon-outline",
            "device_class": "enum",
            "options": list(options),
            "state_topic": topics.state,
            "value_template": "{{ value_json.label or '%s' }}" % NOBODY,  # noqa: UP031
        },
        # The probabilities are attributes here and not of the emotion: state and attributes from
        # one topic are two updates, and an automation on the emotion would run twice.
        "confidence": {
            "platform": "sensor",
            "name": "Confidence",
            "icon": "mdi:percent-outline",
            "unit_of_measurement": "%",
            "state_class": "measurement",
            "suggested_display_precision": 0,
            "state_topic": topics.state,
            # Home Assistant takes the text None for: unknown.
            "value_template": "{{ None if value_json.confidence is none"
            " else (value_json.confidence * 100) | round(1) }}",
            "json_attributes_topic": topics.state,
            "json_attributes_template": "{{ (value_json.probabilities or {}) | tojson }}",
        },
        "speech": {
            "platform": "binary_sensor",
            "name": "Speech",
            "icon": "mdi:account-voice",
            "device_class": "sound",
            "state_topic": topics.state,
            "value_template": "{{ 'ON' if value_json.speech else 'OFF' }}",
        },
        "event": {
            "platform": "event",
            "name": "Emotion event",
            "icon": "mdi:emoticon-outline",
            "event_types": list(get_args(Kind)),
            "state_topic": topics.event,
            "value_template": "{{ dict(value_json, event_type=value_json.kind) | tojson }}",
        },
    }
