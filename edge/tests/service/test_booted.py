"""The unit of `install-service`, started by a real systemd: the daemon works behind its walls."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import soundfile
from click.testing import CliRunner

from ser_toolkit.builtin.synthetic import SyntheticReader
from sertk_edge.cli import edge
from sertk_edge.service.install import TEMPORARY, lies_in

BOOT = Path(__file__).with_name("boot_systemd.sh")
ROOT = Path(__file__).resolve().parents[3]
SECRET = "0123456789abcdef0123456789abcdef"
URL = "http://127.0.0.1:8642"
ODD = 'a "b" 100% $HOME'
"""A folder's name with everything that means something in a unit."""
pytestmark = pytest.mark.slow

# Seconds are short here so that the test is; everything else is the unit as it is installed.
QUICKER = """[Service]
WatchdogSec=4
RestartSec=1
"""
REPORT = r"""
cd /trial
until systemctl is-active --quiet sertk-edge || [ "$SECONDS" -gt 60 ]; do sleep 0.2; done
show() { systemctl show --value -p "$1" sertk-edge; }
say() { echo "$1=$2" >>report; }
ask() { "$PYTHON" ask.py "$1" "$2"; }
say active "$(show ActiveState)"
pid=$(show MainPID)
say command "$(tr '\0' '|' <"/proc/$pid/cmdline")"
for key in Uid Groups CapEff CapBnd NoNewPrivs Seccomp; do
  say "$key" "$(sed -n "s/^$key:\s*//p" "/proc/$pid/status")"
done
say ready "$(ask /readyz '')"
say other "$(ask /v1/model '')"
say owner "$(ask /v1/model "$(cat secret)")"
until journalctl -u sertk-edge -o json --no-pager | grep -q '"MESSAGE":"recognizer: ' ||
  [ "$SECONDS" -gt 90 ]; do sleep 0.5; done
systemctl reload sertk-edge
say reload "$?"
sleep 1
say after_reload "$(show ActiveState)"
kill -STOP "$pid"
until [ "$(show NRestarts)" != 0 ] || [ "$SECONDS" -gt 120 ]; do sleep 0.2; done
until systemctl is-active --quiet sertk-edge || [ "$SECONDS" -gt 150 ]; do sleep 0.2; done
say restarts "$(show NRestarts)"
say after_watchdog "$(show ActiveState)"
say state "$(ls /var/lib/private/sertk-edge | tr '\n' ' ')"
systemctl stop sertk-edge
say result "$(show Result)"
journalctl -u sertk-edge -o json --no-pager >journal
"""
ASK = f"""
import sys, urllib.error, urllib.request
headers = {{"Authorization": f"Bearer {{sys.argv[2]}}"}} if sys.argv[2] else {{}}
try:
    request = urllib.request.Request({URL!r} + sys.argv[1], None, headers)
    print(urllib.request.urlopen(request).status)
except urllib.error.HTTPError as error:
    print(error.code)
"""


@dataclass(frozen=True)
class Told:
    """What the report says, and what the service wrote to the journal."""

    report: dict[str, str]
    journal: list[dict[str, Any]]


@pytest.fixture(scope="module")
def shared() -> Iterator[Path]:
    """A folder that everybody may enter."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder)


@pytest.fixture(scope="module")
def message(shared: Path, voice_bundle: Path, require: Callable[[str, bool, str], None]) -> Told:
    """One start of the machine."""
    able = os.getuid() == 0 and Path("/lib/systemd/systemd").exists() and _may_mount()
    require("boot", able, "needs root, systemd, and the right to mount")
    seen = not any(lies_in(path, TEMPORARY) for path in (ROOT, Path(sys.prefix)))
    require("boot", seen, "a service sees nothing below /tmp: clone to another folder")
    here = shared / ODD
    here.mkdir()
    shutil.copy(voice_bundle, here / "voice.sertk")
    _write_clip(here / "clip.wav", shared)
    (shared / "units/sertk-edge.service.d").mkdir(parents=True)
    (shared / "units/sertk-edge.service.d/quicker.conf").write_text(QUICKER)
    (shared / "secret").write_text(SECRET + "\n")
    (shared / "secret").chmod(0o600)
    (shared / "ask.py").write_text(ASK)
    (shared / "report.sh").write_text(f"PYTHON={sys.executable}\n{REPORT}")
    (shared / "units/sertk-edge.service").write_text(_unit(Path("/trial", ODD)))
    paths = dict.fromkeys((str(ROOT), sys.prefix, sys.base_prefix))
    done = subprocess.run(
        [BOOT, shared, *paths], capture_output=True, text=True, timeout=300, check=False
    )
    assert (shared / "journal").exists(), done.stdout + done.stderr
    lines = (shared / "report").read_text().splitlines()
    report = dict(line.split("=", 1) for line in lines)
    journal = [json.loads(line) for line in (shared / "journal").read_text().splitlines()]
    return Told(report, journal)


def _may_mount() -> bool:
    probe = "mount -t tmpfs tmpfs /mnt && mkdir /mnt/c && mount -t cgroup2 cgroup2 /mnt/c"
    command = ["unshare", "--mount", "--pid", "--cgroup", "--fork", "--mount-proc", "sh", "-c"]
    return subprocess.run([*command, probe], capture_output=True, check=False).returncode == 0


def _write_clip(path: Path, folder: Path) -> None:
    clip = SyntheticReader(speakers=1, sentences=1).read(folder / "voices").clips[0]
    samples, rate_hz = soundfile.read(clip.path)
    soundfile.write(path, samples, rate_hz)


def _unit(there: Path) -> str:
    more = ("--source", there / "clip.wav", "--realtime", "--repeat", "--http-port", "8642")
    token = ("--http-token-file", "/run/credentials/sertk-edge.service/token")
    # Nobody listens on port 9: what cannot be delivered must be kept.
    sink = ("--sink", "webhook,url=http://127.0.0.1:9/")
    args = ("--print", "--credential", "token=/trial/secret", there / "voice.sertk", "--")
    result = CliRunner().invoke(edge, ["install-service", *map(str, (*args, *more, *token, *sink))])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_it_is_ready_when_it_says_so(message: Told) -> None:
    assert message.report["active"] == "active"
    assert message.report["ready"] == "200"


def test_the_command_is_what_was_meant(message: Told) -> None:
    words = message.report["command"].split("|")
    assert str(Path(sysconfig.get_path("scripts"), "sertk")) in words
    assert f"/trial/{ODD}/voice.sertk" in words


def test_it_has_no_rights(message: Told) -> None:
    report = message.report
    assert 0 not in map(int, report["Uid"].split())
    assert int(report["CapEff"], 16) == int(report["CapBnd"], 16) == 0
    assert (report["NoNewPrivs"], report["Seccomp"]) == ("1", "2")
    assert "29" in report["Groups"].split()


def test_it_reads_its_secret_and_asks_for_it(message: Told) -> None:
    assert (message.report["other"], message.report["owner"]) == ("401", "200")


def test_it_hears_and_tells_the_journal_with_levels(message: Told) -> None:
    logged = [
        entry for entry in message.journal if str(entry["MESSAGE"]).startswith("recognizer: ")
    ]
    assert logged
    assert {entry["SYSLOG_IDENTIFIER"] for entry in logged} == {"sertk-edge"}
    assert {entry["_TRANSPORT"] for entry in logged} == {"stdout"}
    assert all(entry["PRIORITY"] == "6" for entry in logged)


def test_it_checks_itself_first(message: Told) -> None:
    texts = [str(entry["MESSAGE"]) for entry in message.journal]
    first = next(n for n, text in enumerate(texts) if text.startswith("ok       bundle"))
    assert first < next(n for n, text in enumerate(texts) if text.startswith("main: "))
    assert any(text.startswith("ok       state") for text in texts)


def test_a_reload_leaves_it_running(message: Told) -> None:
    assert (message.report["reload"], message.report["after_reload"]) == ("0", "active")


def test_the_watchdog_starts_it_anew(message: Told) -> None:
    assert int(message.report["restarts"]) >= 1
    assert message.report["after_watchdog"] == "active"
    assert any("Watchdog timeout" in str(entry["MESSAGE"]) for entry in message.journal)


def test_its_state_is_kept_and_it_ends_well(message: Told) -> None:
    assert "spool.db" in message.report["state"].split()
    assert message.report["result"] == "success"
