"""Events to an MQTT broker, where Home Assistant finds the device by itself."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event, Outlet

from ..events import text_of
from ..service.error_text import error_text
from .base import InspectableSink, read_secret, trusting
from .home_assistant import OFFLINE, ONLINE, Topics, discovery, state_of

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSocket

    from paho.mqtt.client import Client, MQTTMessageInfo

PLAIN_PORT, TLS_PORT = 1883, 8883
FAREWELL_S = 1.0
LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mqtt(InspectableSink):
    """Publishes `event`, and retained `state` and `availability`, below `topic`/DEVICE, with QoS 1.

    The broker says `offline` for us when the connection breaks. `discovery_prefix` is Home
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
    keepalive_s: int = 30
    timeout_s: float = 10.0

    def __post_init__(self) -> None:
        if not self.host:
            raise ValueError("host must not be empty")
        if not 0 <= self.port <= 65535:
            raise ValueError(f"port expects 0 to 65535, received {self.port}")
        if not 5 <= self.keepalive_s <= 65535 or self.timeout_s <= 0:
            raise ValueError("keepalive_s expects 5 to 65535, timeout_s more than 0")
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
    """A connection that paho makes anew by itself while there is nothing to deliver."""

    def __init__(self, sink: Mqtt, device: Device) -> None:
        self._sink = sink
        self._topics = Topics(sink.topic, device.id)
        self._introduction = json.dumps(discovery(device, self._topics))
        self._config = f"{sink.discovery_prefix}/device/{device.id}/config"
        self._birth = f"{sink.discovery_prefix}/status"
        self._where = f"{sink.host}:{sink.port or (TLS_PORT if sink.tls else PLAIN_PORT)}"
        self._answered = threading.Event()
        self._refusal = ""
        self._state: str | None = None
        self._client = self._made(device)
        self._connect()

    def deliver(self, event: Event) -> None:
        state = json.dumps(state_of(event))
        end = time.monotonic() + self._sink.timeout_s
        sent = [
            self._client.publish(self._topics.event, text_of(event), qos=1),
            self._client.publish(self._topics.state, state, qos=1, retain=True),
        ]
        self._state = state
        for message in sent:
            self._await(message, end)

    def close(self) -> None:
        client = self._client
        if client.is_connected():
            gone = client.publish(self._topics.availability, OFFLINE, qos=1, retain=True)
            _settled(gone, FAREWELL_S)
        client.disconnect()
        client.loop_stop()

    def _made(self, device: Device) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        sink = self._sink
        name = sink.client_id or f"sertk-{device.id}"
        client = Client(CallbackAPIVersion.VERSION2, name, clean_session=True)
        client.connect_timeout = sink.timeout_s
        client.reconnect_delay_set(1, 30)
        if sink.username:
            password = read_secret(sink.password_file) if sink.password_file else None
            client.username_pw_set(sink.username, password)
        if sink.tls:
            client.tls_set_context(_secured(sink))
        client.will_set(self._topics.availability, OFFLINE, qos=1, retain=True)
        client.on_connect = self._connected
        client.on_disconnect = self._disconnected
        client.on_message = self._born
        return client

    def _connect(self) -> None:
        """Connect. Raises where the broker is not there, does not answer, or refuses us."""
        host, _, port = self._where.rpartition(":")
        try:
            self._client.connect(host, int(port), self._sink.keepalive_s)
        except OSError as error:
            raise OSError(f"{self._where}: {error_text(error)}") from error
        self._client.loop_start()
        if not self._answered.wait(self._sink.timeout_s):
            self._refusal = f"no answer within {self._sink.timeout_s:g} s"
        if self._refusal:
            self.close()
            raise SertkError(f"{self._where}: {self._refusal}")

    def _connected(self, client: Client, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if code.is_failure:
            self._refusal = f"the broker refuses the connection: {code}"
        else:
            if self._sink.discovery_prefix:
                client.subscribe(self._birth, qos=1)
            self._introduce()
        self._answered.set()

    def _disconnected(self, _client: Client, _data: Any, _flags: Any, code: Any, _m: Any) -> None:
        if code.is_failure:
            LOG.info("%s: the connection is lost (%s)", self._where, code)
            if not self._answered.is_set():
                self._refusal = f"the broker ends the connection: {code}"
                self._answered.set()

    def _born(self, _client: Client, _data: Any, message: Any) -> None:
        # Home Assistant has started; if its broker kept nothing, it has forgotten us.
        if message.payload == ONLINE.encode() and not message.retain:
            self._introduce()

    def _introduce(self) -> None:
        if self._sink.discovery_prefix:
            self._client.publish(self._config, self._introduction, qos=1, retain=True)
        self._client.publish(self._topics.availability, ONLINE, qos=1, retain=True)
        if self._state is not None:
            self._client.publish(self._topics.state, self._state, qos=1, retain=True)

    def _await(self, message: MQTTMessageInfo, end: float) -> None:
        late = f"no acknowledgement within {self._sink.timeout_s:g} s"
        try:
            message.wait_for_publish(max(0.1, end - time.monotonic()))
        except (RuntimeError, ValueError) as error:
            raise ConnectionError(f"{self._where}: not connected") from error
        if not message.is_published():
            raise TimeoutError(f"{self._where}: {late}")


def _secured(sink: Mqtt) -> SSLContext:
    context = trusting(sink.ca_file)
    context.sslsocket_class = _closing_socket()
    if sink.cert_file:
        try:
            # Without a password of ours, OpenSSL would ask for one on the terminal.
            context.load_cert_chain(sink.cert_file, sink.key_file or None, password="")
        except (OSError, ValueError) as error:
            files = f"'{sink.cert_file}'" + (f" and '{sink.key_file}'" if sink.key_file else "")
            todo = "Give a certificate and its unencrypted key, both as PEM"
            problem = f"{files} cannot be used as our certificate: {error_text(error)}"
            raise SertkError(problem, todo) from error
    return context


def _closing_socket() -> type[SSLSocket]:
    """Return paho forgets a socket whose handshake failed; one attempt after the other, they add
    up.
    """
    from ssl import SSLSocket

    class Closing(SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except OSError:
                self.close()
                raise

    return Closing


def _settled(message: MQTTMessageInfo, timeout_s: float) -> bool:
    try:
        message.wait_for_publish(timeout_s)
    except (RuntimeError, ValueError):
        return False
    return message.is_published()
