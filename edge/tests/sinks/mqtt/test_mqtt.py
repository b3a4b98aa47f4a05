"""Events on a real broker: what is published, kept, asked for and refused."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, Event, Outlet
from sertk_edge.sinks.mqtt import Mqtt

Broker = Listener = Any
Sinks = Callable[..., Mqtt]
Soon = Callable[[Callable[[], bool]], None]
Retained = Callable[[Broker], dict[str, str]]


def event(number: int, kind: Any = "started", label: str = "anger") -> Event:
    probabilities = {"anger": 0.75, "joy": 0.25}
    return Event(f"id{number}", number, kind, 1.5, 0.5, label, probabilities, -20.0)


def test_an_event_and_the_state(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon, retained: Retained
) -> None:
    with closing(sink(broker).open(device)) as outlet:
        outlet.deliver(event(1))
        outlet.deliver(event(2, "changed", "uncertain"))
        soon(lambda: len(listener.of("sertk/pi-1/state")) == 2)
        assert listener.events == [asdict(event(1)), asdict(event(2, "changed", "uncertain"))]
        first, second = [json.loads(state) for state in listener.of("sertk/pi-1/state")]
        assert first == {
            "speech": True,
            "label": "anger",
            "reason": "",
            "confidence": 0.75,
            "probabilities": {"anger": 0.75, "joy": 0.25},
            "since_time_s": 1.5,
            "sequence": 1,
        }
        assert (second["label"], second["confidence"]) == ("uncertain", 0.75)
        outlet.deliver(event(3, "ended"))
        kept = retained(broker)
        assert kept["sertk/pi-1/availability"] == "online"
        state = json.loads(kept["sertk/pi-1/state"])
        assert (state["speech"], state["label"], state["confidence"]) == (False, None, None)
        assert "sertk/pi-1/event" not in kept
    assert retained(broker)["sertk/pi-1/availability"] == "offline"
    assert all(message.qos == 1 for message in listener.messages)


def test_what_home_assistant_is_told(
    broker: Broker, sink: Sinks, device: Device, retained: Retained
) -> None:
    with closing(sink(broker).open(device)):
        config = json.loads(retained(broker)["homeassistant/device/pi-1/config"])
    assert config["device"] == {
        "identifiers": ["sertk_pi-1"],
        "name": "Kitchen",
        "manufacturer": "SER Toolkit",
        "model": "msf",
        "sw_version": "0.1",
    }
    assert config["origin"] == {"name": "sertk-edge", "sw_version": "0.1"}
    assert config["availability"] == [{"topic": "sertk/pi-1/availability"}]
    parts = config["components"]
    assert {key: part["platform"] for key, part in parts.items()} == {
        "emotion": "sensor",
        "confidence": "sensor",
        "speech": "binary_sensor",
        "event": "event",
    }
    assert {part["unique_id"] for part in parts.values()} == {f"sertk_pi-1_{key}" for key in parts}
    emotion = parts["emotion"]
    assert emotion["device_class"] == "enum"
    assert emotion["options"] == ["anger", "joy", "uncertain", "none"]
    # Home Assistant takes no unit and no state class with options.
    assert not {"unit_of_measurement", "state_class"} & set(emotion)
    assert parts["event"]["event_types"] == ["started", "changed", "ended"]
    assert parts["event"]["state_topic"] == "sertk/pi-1/event"
    for key in ("emotion", "confidence", "speech"):
        assert parts[key]["state_topic"] == "sertk/pi-1/state"


def test_without_home_assistant(
    broker: Broker, sink: Sinks, device: Device, retained: Retained
) -> None:
    with closing(sink(broker, discovery_prefix="", topic="house/ears").open(device)):
        assert retained(broker) == {"house/ears/pi-1/availability": "online"}


def test_home_assistant_starts_anew(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon
) -> None:
    topic = "homeassistant/device/pi-1/config"
    with closing(sink(broker).open(device)) as outlet:
        outlet.deliver(event(1))
        listener.client.publish("homeassistant/status", "online", qos=1)
        soon(lambda: len(listener.of("sertk/pi-1/state")) == 2)
    states = listener.of("sertk/pi-1/state")
    assert states[0] == states[1]
    assert len(listener.of(topic)) == 2
    expected = ["online", "online", "offline"]
    soon(lambda: listener.of("sertk/pi-1/availability") == expected)


DIES = """
import os, signal, sys
from ser_toolkit.runtime.events import Device
from sertk_edge.sinks.mqtt import Mqtt
device = Device("pi-1", "Kitchen", ("anger", "joy"), "msf", "0.1")
Mqtt(host="127.0.0.1", port=int(sys.argv[1])).open(device)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_last_will(broker: Broker, listener: Listener, soon: Soon, retained: Retained) -> None:
    command = [sys.executable, "-c", DIES, str(broker.port)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    soon(lambda: listener.of("sertk/pi-1/availability")[-1:] == ["offline"])
    assert retained(broker)["sertk/pi-1/availability"] == "offline"


SECURE = """
allow_anonymous false
password_file {0}/passwords
cafile {0}/ca.pem
certfile {0}/server.pem
keyfile {0}/server.key
"""


@pytest.fixture
def certificates(tmp_path: Path) -> Path:
    """An authority, a server that it knows by `localhost`, and the password of a user."""
    folder = tmp_path / "secrets"
    folder.mkdir(mode=0o755)
    (folder / "san").write_text("subjectAltName=DNS:localhost\n")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ours -keyout ca.key -out ca.pem",
        "req -newkey rsa:2048 -nodes -subj /CN=localhost -keyout server.key -out server.csr",
        "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2"
        " -extfile san -out server.pem",
        "req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=theirs -keyout x.key -out other.pem",
    ):
        subprocess.run(["openssl", *command.split()], cwd=folder, check=True, capture_output=True)
    (folder / "password").write_text("s3cret\n")
    (folder / "wrong").write_text("guess\n")
    return folder


def test_tls_and_a_password(
    start_broker: Callable[[str], Broker],
    certificates: Path,
    device: Device,
    require: Callable[[str, bool, str], None],
) -> None:
    tool = shutil.which("mosquitto_passwd")
    require("mosquitto", tool is not None, "install mosquitto_passwd")
    command = [str(tool), "-b", "-c", str(certificates / "passwords"), "pi", "s3cret"]
    subprocess.run(command, check=True, capture_output=True)
    for file in certificates.iterdir():
        file.chmod(0o644)
    broker = start_broker(f"user root\n{SECURE.format(certificates)}")

    def secure(host: str = "localhost", ca: str = "ca.pem", password: str = "password") -> Outlet:
        return Mqtt(
            host=host,
            port=broker.port,
            tls=True,
            ca_file=str(certificates / ca),
            username="pi",
            password_file=str(certificates / password),
            timeout_s=5.0,
        ).open(device)

    with closing(secure()) as outlet:
        outlet.deliver(event(1))
    with pytest.raises(SertkError, match="refuses the connection: Not authorized"):
        secure(password="wrong")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        secure(ca="other.pem")
    with pytest.raises(OSError, match="CERTIFICATE_VERIFY_FAILED"):
        secure(host="127.0.0.1")
    with pytest.raises((OSError, SertkError), match=str(broker.port)):
        Mqtt(host="localhost", port=broker.port, timeout_s=2.0).open(device)


def test_a_server_that_is_no_broker(device: Device) -> None:
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(SertkError, match=r"no answer within 0\.3 s"):
            Mqtt(host="127.0.0.1", port=port, timeout_s=0.3).open(device)
    with pytest.raises(OSError, match=f"127.0.0.1:{port}: Connection refused"):
        Mqtt(host="127.0.0.1", port=port).open(device)


REFUSED = (
    ({"host": ""}, "host"),
    ({"port": 70000}, "port"),
    ({"topic": "a/+"}, "topic"),
    ({"topic": "/a"}, "topic"),
    ({"topic": ""}, "topic"),
    ({"topic": "$SYS"}, "topic"),
    ({"discovery_prefix": "x/#"}, "discovery_prefix"),
    ({"ca_file": "x"}, "tls=true"),
    ({"password_file": "x"}, "username"),
    ({"keepalive_s": 0}, "keepalive_s"),
)


def test_refused_settings() -> None:
    for params, told in REFUSED:
        with pytest.raises(SertkError, match=told):
            configure(Mqtt(), params)
