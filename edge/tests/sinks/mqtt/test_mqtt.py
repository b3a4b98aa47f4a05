"""Events on a real broker: what is published, kept, asked for and refused."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.events import Device, DeviceStatus, Event, Outlet
from sertk_edge.sinks.mqtt import Mqtt

Broker = Listener = Any
Sinks = Callable[..., Mqtt]
Soon = Callable[[Callable[[], bool]], None]
Retained = Callable[[Broker], dict[str, str]]


def event(number: int, kind: Any = "started", label: str = "anger") -> Event:
    probabilities = {"anger": 0.75, "joy": 0.25}
    return Event(f"id{number}", number, kind, 1.5, 0.5, label, probabilities, -20.0)


def tell(outlet: Outlet, one: Event) -> None:
    """As a worker does."""
    outlet.refresh(DeviceStatus(one))
    outlet.deliver(one)


def test_an_event_and_the_state(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon, retained: Retained
) -> None:
    with closing(sink(broker).open(device)) as outlet:
        tell(outlet, event(1))
        tell(outlet, event(2, "changed", "uncertain"))
        soon(lambda: len(listener.events) == 2)
        ages = [one.pop("age_s") for one in listener.events]
        # The events are of 1970.
        assert all(0 < time.time() - 1.5 - age < 60 for age in ages)
        sent = [{k: v for k, v in one.items() if k != "age_s"} for one in listener.events]
        assert sent == [asdict(event(1)), asdict(event(2, "changed", "uncertain"))]
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
        tell(outlet, event(3, "ended"))
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
    with closing(sink(broker).open(device)) as outlet:
        outlet.refresh(DeviceStatus())
        config = json.loads(retained(broker)["homeassistant/device/pi-1/config"])
    assert config["device"] == {
        "identifiers": ["sertk_pi-1"],
        "name": "Kitchen",
        "manufacturer": "SER Toolkit",
        "model": "msf",
        "sw_version": "0.1",
    }
    assert config["origin"] == {"name": "sertk-edge", "sw_version": "0.1"}
    parts = config["components"]
    problem = parts.pop("problem")
    assert problem["platform"] == "binary_sensor" and problem["device_class"] == "problem"
    # What says that the others are not available is always available itself.
    assert "availability" not in problem and "availability" not in config
    assert problem["state_topic"] == "sertk/pi-1/availability"
    assert (problem["payload_on"], problem["payload_off"]) == ("offline", "online")
    for part in parts.values():
        assert part["availability"] == [{"topic": "sertk/pi-1/availability"}]
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
    with closing(sink(broker, discovery_prefix="", topic="house/ears").open(device)) as outlet:
        outlet.refresh(DeviceStatus())
        kept = retained(broker)
    assert set(kept) == {f"house/ears/pi-1/{name}" for name in ("availability", "problem", "state")}
    assert kept["house/ears/pi-1/availability"] == "online"


def test_the_state_of_now_comes_before_it_counts(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon
) -> None:
    """One who waits for an emotion must not take what a dead daemon left for one of now."""
    listener.client.publish("sertk/pi-1/state", json.dumps({"label": "anger"}), qos=1, retain=True)
    with closing(sink(broker).open(device)) as outlet:
        outlet.refresh(DeviceStatus())
        soon(lambda: listener.of("sertk/pi-1/availability") == ["online"])
    topics = [message.topic for message in listener.messages]
    newest = json.loads(listener.of("sertk/pi-1/state")[-1])
    assert newest["speech"] is False
    null = ("label", "confidence", "probabilities", "since_time_s", "sequence")
    assert [newest[key] for key in null] == [None] * len(null)
    assert topics.index("sertk/pi-1/availability") > max(
        at for at, topic in enumerate(topics) if topic == "sertk/pi-1/state"
    )


def test_while_it_catches_up_only_the_newest_state_is_published(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon
) -> None:
    last = DeviceStatus(event(3, "ended"))
    with closing(sink(broker).open(device)) as outlet:
        for one in (event(1), event(2, "changed", "joy"), event(3, "ended")):
            outlet.refresh(last)
            outlet.deliver(one)
        soon(lambda: len(listener.events) == 3)
    (state,) = listener.of("sertk/pi-1/state")
    assert json.loads(state)["label"] is None


def test_it_is_not_available_while_no_sound_arrives(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon
) -> None:
    with closing(sink(broker).open(device)) as outlet:
        for problem in ("", "USB: lost (nothing came)", "USB: lost (nothing came)", ""):
            outlet.refresh(DeviceStatus(problem=problem))
        soon(lambda: len(listener.of("sertk/pi-1/problem")) == 3)
        soon(lambda: listener.of("sertk/pi-1/availability") == ["online", "offline", "online"])
    details = [json.loads(one)["detail"] for one in listener.of("sertk/pi-1/problem")]
    assert details == ["", "USB: lost (nothing came)", ""]


def test_home_assistant_starts_anew(
    broker: Broker, listener: Listener, sink: Sinks, device: Device, soon: Soon
) -> None:
    topic = "homeassistant/device/pi-1/config"
    with closing(sink(broker).open(device)) as outlet:
        tell(outlet, event(1))
        listener.client.publish("homeassistant/status", "online", qos=1)

        def told_again() -> bool:
            outlet.refresh(DeviceStatus(event(1)))
            return len(listener.of("sertk/pi-1/state")) == 2

        soon(told_again)
    states = listener.of("sertk/pi-1/state")
    assert states[0] == states[1]
    assert len(listener.of(topic)) == 2
    expected = ["online", "online", "offline"]
    soon(lambda: listener.of("sertk/pi-1/availability") == expected)


DIES = """
import os, signal, sys
from ser_toolkit.runtime.events import Device, DeviceStatus
from sertk_edge.sinks.mqtt import Mqtt
device = Device("pi-1", "Kitchen", ("anger", "joy"), "msf", "0.1")
Mqtt(host="127.0.0.1", port=int(sys.argv[1])).open(device).refresh(DeviceStatus())
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_last_will(broker: Broker, listener: Listener, soon: Soon, retained: Retained) -> None:
    command = [sys.executable, "-c", DIES, str(broker.port)]
    assert subprocess.run(command).returncode == -signal.SIGKILL
    soon(lambda: listener.of("sertk/pi-1/availability") == ["online", "offline"])
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
    ({"max_age_s": -1.0}, "max_age_s"),
)


def test_refused_settings() -> None:
    for params, told in REFUSED:
        with pytest.raises(SertkError, match=told):
            configure(Mqtt(), params)
