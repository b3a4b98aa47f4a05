"""Who the device is, where it keeps things, and which sinks it has."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from ser_toolkit.runtime.errors import SertkError
from sertk_edge.service.identity import device_id, name_of, prepared, state_dir
from sertk_edge.settings import DeviceSettings
from sertk_edge.sinks.sink_factory import sinks_of


def test_the_state_folder_is_the_first_that_is_named(tmp_path: Path) -> None:
    env = {"STATE_DIRECTORY": "/var/lib/a:/var/lib/b", "XDG_STATE_HOME": "/x"}
    assert state_dir(DeviceSettings(state_dir=tmp_path), env) == tmp_path
    assert state_dir(DeviceSettings(), env) == Path("/var/lib/a")
    del env["STATE_DIRECTORY"]
    assert state_dir(DeviceSettings(), env) == Path("/x/sertk")
    assert state_dir(DeviceSettings(), {}) == Path.home() / ".local/state/sertk"


def test_the_folder_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    folder = prepared(tmp_path / "a/b")
    assert folder.is_dir() and folder.stat().st_mode & 0o077 == 0
    (tmp_path / "file").write_text("")
    with pytest.raises(SertkError, match="--state-dir"):
        prepared(tmp_path / "file/b")


def test_an_id_is_made_once(tmp_path: Path) -> None:
    made = device_id(DeviceSettings(), tmp_path)
    assert len(made) == 12 and device_id(DeviceSettings(), tmp_path) == made
    assert device_id(DeviceSettings(id="kitchen"), tmp_path) == "kitchen"
    assert device_id(DeviceSettings(), None) == "sertk"


def test_an_id_that_a_power_cut_left_empty_is_made_anew(tmp_path: Path) -> None:
    (tmp_path / "device-id").write_text("")
    made = device_id(DeviceSettings(), tmp_path)
    assert len(made) == 12 and device_id(DeviceSettings(), tmp_path) == made


def test_an_id_that_cannot_be_kept_is_the_same_at_the_next_start(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    made = [device_id(DeviceSettings(), tmp_path / "file/below") for _ in range(2)]
    assert made[0] == made[1] and len(made[0]) == 12


@pytest.mark.parametrize("bad", ["a b", "a/b", "+", "x" * 65])
def test_an_id_that_no_topic_can_hold_is_refused(bad: str, tmp_path: Path) -> None:
    (tmp_path / "device-id").write_text(bad)
    with pytest.raises(SertkError, match="letters, digits"):
        device_id(DeviceSettings(), tmp_path)


def test_it_has_a_name() -> None:
    assert name_of(DeviceSettings(name="Kitchen")) == "Kitchen"
    assert name_of(DeviceSettings())


def test_sinks_are_found_and_set() -> None:
    wanted = (("mqtt", {"host": "broker", "port": "1884", "tls": "yes"}), ("mqtt", {"host": "b"}))
    found = sinks_of(wanted)
    assert list(found) == ["mqtt", "mqtt#2"]
    first = found["mqtt"]
    assert (first.host, first.port, first.tls) == ("broker", 1884, True)  # type: ignore[attr-defined]


WRONG_SINKS: tuple[tuple[str, dict[str, str], str], ...] = (
    ("mqqt", {}, "mqtt"),
    ("mqtt", {"hots": "x"}, "has no parameter 'hots'"),
    ("mqtt", {"port": "many"}, "'mqtt.port' expects a whole number"),
    ("webhook", {}, "has no url"),
    ("json_lines", {"path": "nowhere/x.jsonl"}, "the folder of 'nowhere/x.jsonl'"),
)


def test_a_wrong_sink_is_refused() -> None:
    for name, params, message in WRONG_SINKS:
        with pytest.raises(SertkError, match=message):
            sinks_of(((name, params),))


def test_our_own_sinks_import_no_other_plugin() -> None:
    code = (
        "import sys\n"
        "from sertk_edge.sinks.sink_factory import sinks_of\n"
        "sinks_of((('mqtt', {'host': 'x'}), ('json_lines', {})))\n"
        "print([n for n in sys.modules if n.startswith(('sertk_msf', 'sertk_lstm', 'paho'))])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env={**os.environ}
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_an_id_that_is_no_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "device-id").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SertkError, match="letters, digits"):
        device_id(DeviceSettings(), tmp_path)
