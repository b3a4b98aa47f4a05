"""Events to an MQTT broker, where Home Assistant finds the device by itself."""

from __future__ import annotations

import contextlib
import json
import logging
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, DeviceStatus, Event, Outlet

from ..events import age_s
from ..service.error_text import error_text
from ..service.secret_file import warn_if_exposed
from .base import InspectableSink, check_age, read_secret, trusting
from .home_assistant import OFFLINE, ONLINE, Topics, discovery, state_of
from .mqtt_connection import Login, NotTakenError, connect

if TYPE_CHECKING:
    from ssl import SSLContext

PLAIN_PORT, TLS_PORT = 1883, 8883
FAREWELL_S = 1.0
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mqtt(InspectableSink):
    """Publishes `event`, and retained `state`, `availability` and `problem`, below `topic`/DEVICE.

    All with QoS 1. `availability` is `online` while sound arrives; the broker says `offline` for
    us when the connection breaks. An event older than `max_age_s` is not published; 0: every one
    is. `discovery_prefix` is Home
    Assistant's; empty: no discovery. `port` 0 is 1883, or 8883 with `tls`. `ca_file` replaces the
    system's certificates; `cert_file` and `key_file` are our own. `password_file` is read at each
    connection.
    """

    name = "mqtt"
    identified_by: ClassVar[tuple[str, ...]] = ("host", "port", "topic")

    host: str = "localhost"
    port: int = 0
    username: str = ""
    password_file: str = ""
    tls: bool = False
    ca_file: str = ""
    cert_file: str = ""
    key_file: str = ""
    client_id: str = ""
    topic: str = "sertk"
    discovery_prefix: str = "homeassistant"
    keepalive_s: int = 10
    timeout_s: float = 10.0
    max_age_s: float = 30.0

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port expects 0 to 65535, received {self.port}")
        if not 5 <= self.keepalive_s <= 65535 or self.timeout_s <= 0:
            raise ValueError("keepalive_s expects 5 to 65535, timeout_s more than 0")
        check_age(self.max_age_s)
        for key, text in (("topic", self.topic), ("discovery_prefix", self.discovery_prefix)):
            if any(char in "+#\0" for char in text) or text != text.strip("/ "):
                raise ValueError(f"{key} expects names between slashes, received {text!r}")
        if not self.topic or self.topic.startswith("$"):
            raise ValueError(f"topic expects a name, received {self.topic!r}")
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            raise ValueError("ca_file, cert_file and key_file need tls=true")
        if bool(self.password_file) > bool(self.username):
            raise ValueError("password_file needs username")

    def inspect(self) -> None:
        """Raise SertkError or OSError where password or certificates cannot be used."""
        if self.password_file:
            read_secret(self.password_file)
        if self.tls:
            _secured(self)

    def open(self, device: Device) -> Outlet:
        """Connect, and introduce the device."""
        return _MqttOutlet(self, device)


class _MqttOutlet(Outlet):
    """A connection, and what the broker was told on it last."""

    def __init__(self, sink: Mqtt, device: Device) -> None:
        self._sink = sink
        self._topics = Topics(sink.topic, device.id)
        self._introduction = json.dumps(discovery(device, self._topics))
        self._config = f"{sink.discovery_prefix}/device/{device.id}/config"
        self._shown: DeviceStatus | None = None
        self._connection = connect(_login(sink, device, self._topics))
        if sink.discovery_prefix:
            self._connection.subscribe(f"{sink.discovery_prefix}/status")

    def refresh(self, status: DeviceStatus) -> None:
        self._connection.check()
        # Home Assistant has started; if its broker kept nothing, it has forgotten us.
        if ONLINE.encode() in self._connection.received():
            self._shown = None
        shown = self._shown
        if shown is None:
            self._introduce()
        # What is shown as available must be the state of now, not what a dead daemon left.
        if shown is None or shown.newest != status.newest:
            self._keep(self._topics.state, json.dumps(state_of(status.newest)))
        if shown is None or shown.problem != status.problem:
            self._keep(self._topics.problem, json.dumps({"detail": status.problem}))
            self._keep(self._topics.availability, OFFLINE if status.problem else ONLINE)
        self._shown = status

    def deliver(self, event: Event) -> None:
        age, most = age_s(event), self._sink.max_age_s
        payload = json.dumps({**asdict(event), "age_s": round(age, 3)})
        expires_s = max(1, math.ceil(most - age)) if most else 0
        self._connection.publish(self._topics.event, payload, expires_s=expires_s)

    def close(self) -> None:
        with contextlib.suppress(OSError, SertkError):
            self._connection.check()
            self._connection.publish(
                self._topics.availability, OFFLINE, retain=True, timeout_s=FAREWELL_S
            )
        self._connection.close()

    def _introduce(self) -> None:
        if not self._sink.discovery_prefix:
            return
        try:
            self._keep(self._config, self._introduction)
        except NotTakenError as error:
            # Who reads events without Home Assistant loses nothing by it.
            LOG.warning("Home Assistant cannot find the device: %s", error)

    def _keep(self, topic: str, payload: str) -> None:
        self._connection.publish(topic, payload, retain=True)


def _login(sink: Mqtt, device: Device, topics: Topics) -> Login:
    return Login(
        sink.host,
        sink.port or (TLS_PORT if sink.tls else PLAIN_PORT),
        sink.client_id or f"sertk-{device.id}",
        sink.username,
        read_secret(sink.password_file) if sink.password_file else None,
        _secured(sink) if sink.tls else None,
        topics.availability,
        OFFLINE,
        sink.keepalive_s,
        sink.timeout_s,
    )


def _secured(sink: Mqtt) -> SSLContext:
    context = trusting(sink.ca_file)
    if sink.cert_file:
        try:
            # Without a password of ours, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(sink.cert_file, sink.key_file or None, password="")
            warn_if_exposed(Path(sink.key_file or sink.cert_file))
        except (OSError, ValueError) as error:
            files = f"'{sink.cert_file}'" + (f" and '{sink.key_file}'" if sink.key_file else "")
            todo = "Give a certificate and its unencrypted key, both as PEM"
            problem = f"{files} cannot be used as our certificate: {error_text(error)}"
            raise SertkError(problem, todo) from error
    return context
