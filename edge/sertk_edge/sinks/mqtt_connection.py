"""A connection to an MQTT broker: what the broker does not take, and why it ended, are raised."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ser_toolkit.runtime.errors import SertkError

from ..service.error_text import error_text
from .base import ContendedError

if TYPE_CHECKING:
    from ssl import SSLContext, SSLSocket

    from paho.mqtt.client import Client
    from paho.mqtt.enums import MQTTProtocolVersion
    from paho.mqtt.properties import Properties
    from paho.mqtt.reasoncodes import ReasonCode

UNKNOWN_VERSION = "Unsupported protocol version"
UNKNOWN_REASON = "Unspecified error"
TAKEN_OVER = 0x8E
OWN_NAME = "give each device its own --device-id"


class NotTakenError(SertkError):
    """The broker has answered that it does not take a message."""


class OldBrokerError(SertkError):
    """The broker does not speak this version of MQTT."""


@dataclass(frozen=True)
class Login:
    """Where to connect to, and as whom.

    Attributes:
        host: Name or address of the broker.
        port: Its port.
        client_id: What the broker tells clients apart by.
        username: Empty: none.
        password: That of the user; None: none.
        tls: How to encrypt; None: not.
        will: The topic on which the broker says `farewell` when the connection breaks.
        farewell: What it says.
        keepalive_s: After so long without a message the broker is asked whether it is there.
        timeout_s: An answer later than this counts as none.
    """

    host: str
    port: int
    client_id: str
    username: str
    password: str | None
    tls: SSLContext | None
    will: str
    farewell: str
    keepalive_s: int
    timeout_s: float


def connect(login: Login) -> MqttConnection:
    """Connect with MQTT 5, or with 3.1.1 where the broker has no other.

    Raises OSError or SertkError where the broker is not there, does not answer, or refuses us.
    """
    from paho.mqtt.enums import MQTTProtocolVersion

    try:
        return MqttConnection(login, MQTTProtocolVersion.MQTTv5)
    except OldBrokerError:
        return MqttConnection(login, MQTTProtocolVersion.MQTTv311)


class MqttConnection:
    """One connection, which is not made anew. One thread uses it, beside that of paho."""

    def __init__(self, login: Login, version: MQTTProtocolVersion) -> None:
        self.where = f"{login.host}:{login.port}"
        self._login, self._version = login, version
        self._changed = threading.Condition()
        self._open = False
        self._ended: Exception | None = None
        self._answers: dict[int, ReasonCode] = {}
        self._received: list[bytes] = []
        self._client = self._made()
        self._connect()

    def check(self) -> None:
        """Raise why the connection has ended, where it has."""
        if self._ended is not None:
            raise self._ended

    def publish(
        self,
        topic: str,
        payload: str,
        retain: bool = False,
        expires_s: int = 0,
        timeout_s: float | None = None,
    ) -> None:
        """Publish with QoS 1, and wait until the broker has taken it.

        Args:
            topic: Where to.
            payload: What.
            retain: Whether the broker keeps it for those who come later.
            expires_s: After so many seconds the broker passes it on to nobody; 0: it always does.
            timeout_s: How long to wait; None: as long as for every answer.

        Raises:
            NotTakenError: Where the broker refuses it.
            OSError: Where there is no answer, or the connection ends.
        """
        limit_s = self._login.timeout_s if timeout_s is None else timeout_s
        about = self._expiry(expires_s)
        number = self._client.publish(topic, payload, qos=1, retain=retain, properties=about).mid
        with self._changed:
            self._changed.wait_for(lambda: self._ended or number in self._answers, limit_s)
            answer = self._answers.pop(number, None)
        if answer is None:
            self.check()
            raise TimeoutError(f"{self.where}: no acknowledgement within {limit_s:g} s")
        if answer.is_failure:
            raise NotTakenError(
                f"{self.where}: the broker does not take '{topic}': {answer}",
                "Let this user publish there, in the broker's access list",
            )

    def subscribe(self, topic: str) -> None:
        """Ask for messages of a topic."""
        self._client.subscribe(topic, qos=1)

    def received(self) -> list[bytes]:
        """Return what has come since the last call, without what the broker had kept."""
        with self._changed:
            found, self._received = self._received, []
        return found

    def close(self) -> None:
        """End the connection."""
        self._client.disconnect()
        self._client.loop_stop()

    def _made(self) -> Client:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        login = self._login
        client = Client(
            CallbackAPIVersion.VERSION2,
            login.client_id,
            protocol=self._version,
            # The sink's worker connects anew: it logs that, and knows how long to wait.
            reconnect_on_failure=False,
        )
        client.connect_timeout = login.timeout_s
        if login.username:
            client.username_pw_set(login.username, login.password)
        if login.tls is not None:
            login.tls.sslsocket_class = _closing_socket()
            client.tls_set_context(login.tls)
        client.will_set(login.will, login.farewell, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_publish = self._on_publish
        client.on_message = self._on_message
        return client

    def _connect(self) -> None:
        login = self._login
        try:
            self._client.connect(login.host, login.port, login.keepalive_s)
        except OSError as error:
            raise OSError(f"{self.where}: {error_text(error)}") from error
        self._client.loop_start()
        with self._changed:
            self._changed.wait_for(lambda: self._open or self._ended, login.timeout_s)
        if not self._open:
            late = SertkError(f"{self.where}: no answer within {login.timeout_s:g} s")
            # Closing is an end too, but not the cause.
            self._end(late)
            self.close()
            self.check()

    def _expiry(self, seconds: int) -> Properties | None:
        from paho.mqtt.enums import MQTTProtocolVersion
        from paho.mqtt.packettypes import PacketTypes
        from paho.mqtt.properties import Properties

        if not seconds or self._version != MQTTProtocolVersion.MQTTv5:
            return None
        properties = Properties(PacketTypes.PUBLISH)  # type: ignore[no-untyped-call]
        properties.MessageExpiryInterval = seconds
        return properties

    def _on_connect(self, _client: Client, _data: Any, _flags: Any, code: Any, _more: Any) -> None:
        if str(code) == UNKNOWN_VERSION:
            self._end(OldBrokerError(f"{self.where}: the broker speaks no MQTT that we speak"))
        elif code.is_failure:
            self._end(SertkError(f"{self.where}: the broker refuses the connection: {code}"))
        else:
            with self._changed:
                self._open = True
                self._changed.notify_all()

    def _on_disconnect(self, _client: Client, _data: Any, flags: Any, code: Any, _m: Any) -> None:
        named = flags.is_disconnect_packet_from_server or str(code) != UNKNOWN_REASON
        other = f"another client connects as '{self._login.client_id}'"
        if not self._open:
            # So do brokers of before MQTT 5 that do not answer what they cannot read.
            self._end(OldBrokerError(f"{self.where}: the broker ends the connection: {code}"))
        elif code.value == TAKEN_OVER:
            self._end(ContendedError(f"{self.where}: {other}, and takes our place", OWN_NAME))
        elif named:
            self._end(ConnectionError(f"{self.where}: the connection is lost ({code})"))
        else:
            # Many brokers do not say why.
            lost = f"{self.where}: the connection is lost"
            self._end(SertkError(lost, f"If it is again and again, {other}: {OWN_NAME}"))

    def _on_publish(self, _client: Client, _data: Any, number: int, code: Any, _m: Any) -> None:
        with self._changed:
            self._answers[number] = code
            self._changed.notify_all()

    def _on_message(self, _client: Client, _data: Any, message: Any) -> None:
        if not message.retain:
            with self._changed:
                self._received.append(message.payload)

    def _end(self, why: Exception) -> None:
        with self._changed:
            # The first reason is the cause.
            self._ended = self._ended or why
            self._changed.notify_all()


def _closing_socket() -> type[SSLSocket]:
    """Return a socket that closes where its handshake fails: paho forgets it, and they add up."""
    from ssl import SSLSocket

    class Closing(SSLSocket):
        def do_handshake(self, block: bool = False) -> None:
            try:
                super().do_handshake(block)
            except OSError:
                self.close()
                raise

    return Closing
