"""What the daemon offers to the registry of plugins."""

from __future__ import annotations

from ser_toolkit import Sink, hookimpl

from .sinks.console import Console
from .sinks.json_lines import JsonLines
from .sinks.mqtt import Mqtt
from .sinks.webhook import Webhook

SERTK_HOOK_API = 1


@hookimpl
def sertk_sinks() -> list[Sink]:
    """Offer a terminal, lines of JSON, MQTT, a web server."""
    return [Console(), JsonLines(), Mqtt(), Webhook()]
