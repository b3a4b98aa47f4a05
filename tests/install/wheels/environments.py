"""Fresh environments, and the commands of the pages that say what to do in them."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
PINS = ROOT / "constraints.txt"
MIC = "it listens to a microphone"
SERVICE = "it wants a systemd that is the first process: edge/tests/test_booted.py runs one"
ELSEWHERE = "it is for another machine"


@dataclass(frozen=True)
class Page:
    """A page whose bash blocks are run in order, but for lines with a reason not to be.

    `instead` has what is run in place of a line that this machine cannot run as it stands.
    """

    name: str
    not_run: Mapping[str, str] = field(default_factory=dict)
    instead: Mapping[str, str] = field(default_factory=dict)

    def blocks(self, language: str) -> list[str]:
        text = (ROOT / self.name).read_text("utf-8")
        return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)

    def commands(self) -> list[str]:
        lines = "".join(self.blocks("bash")).replace("\\\n", " ").splitlines()
        stripped = (re.sub(r"\s+#\s.*$", "", line) for line in lines)
        return [" ".join(line.split()) for line in stripped if line]

    def script(self) -> str:
        """What bash is to run; every line is told before it runs, with the seconds so far."""
        message = []
        for line in self.commands():
            if line not in self.not_run:
                output = shlex.quote(f"$ {line}")
                message += [f"echo; echo [$SECONDS s] {output}", self.instead.get(line, line)]
        return "\n".join(["set -eo pipefail", *message, ""])


# One training of the page goes to its end; of the others, two epochs say that they can be typed.
FURTHER = (
    "sertk train --plugin msf --data path/to/corpus",
    "sertk train --data path/to/corpus --set training.copies=2",
    "sertk train mine.toml --data path/to/corpus",
)
README = Page(
    "README.md",
    not_run={
        "git clone URL ser-toolkit": "this is a clone",
        "cd ser-toolkit": "this is a clone",
        "make demo": "it makes .venv in the clone; what it runs is run below, by name",
        "make demo-live": "it ends with Ctrl-C",
        "make test": "it runs this",
        'pip install ".[train]" ./edge ./plugins/sertk-msf ./plugins/sertk-lstm '
        "./plugins/sertk-corpora ./plugins/sertk-augment": "the wheels of the same are installed",
        "sertk crossval --data path/to/corpus --protocol loso": "it trains four times: tests/e2e",
    },
    instead={
        "sertk serve-edge small.sertk": "sertk serve-edge small.sertk --source heard.wav",
        **{line: f"{line} --epochs 2" for line in FURTHER},
    },
)
INSTALL_SERVICE = (
    "sudo /opt/sertk/venv/bin/sertk edge install-service /opt/sertk/voice.sertk "
    "--config /etc/sertk/edge.toml "
    "--credential broker=/etc/sertk/broker --credential page=/etc/sertk/page "
    "--credential cert=/etc/sertk/cert.pem --credential key=/etc/sertk/key.pem"
)
ARECORD = "arecord --duration 8 --format S16_LE --rate 16000 --channels 1 ~/hello.wav"
LISTEN = "sertk serve-edge voice.sertk --source ~/hello.wav"
NEXT = "scp next.sertk pi@kitchen.local:/opt/sertk/next.part"
EDGE = Page(
    "edge/README.md",
    not_run={
        "ssh pi@kitchen.local": ELSEWHERE,
        "sudo apt update": "it alters this machine: make test-arm64 installs the same",
        "sudo apt install --yes python3-venv libportaudio2 alsa-utils openssl": "the same",
        "sertk serve-edge --list-devices": MIC,
        "sertk serve-edge voice.sertk --source mic:USB --check": MIC,
        "sertk serve-edge voice.sertk --source mic:USB": MIC,
        "ssh -N -L 8642:127.0.0.1:8642 pi@kitchen.local": ELSEWHERE,
        "sudo systemctl daemon-reload": SERVICE,
        "sudo systemctl enable --now sertk-edge": SERVICE,
        "journalctl -u sertk-edge -f": SERVICE,
        'mosquitto_sub -h broker.lan -u sertk -P "$(sudo cat /etc/sertk/broker)" '
        "-v -t 'sertk/#'": ELSEWHERE,
        "journalctl -u sertk-edge -n 5": SERVICE,
        "sudo systemctl restart sertk-edge": SERVICE,
        "sudo systemctl disable --now sertk-edge": SERVICE,
        "sudo rm -r /etc/systemd/system/sertk-edge.service /opt/sertk /etc/sertk "
        "/var/lib/private/sertk-edge": "what was installed is looked at afterwards",
        "sertk serve-edge /opt/sertk/voice.sertk --config /etc/sertk/edge.toml --check": MIC,
        "systemctl status sertk-edge": SERVICE,
        "journalctl -u sertk-edge -p warning --since today": SERVICE,
    },
    instead={
        "scp wheels/*.whl voice.sertk pi@kitchen.local:": "cp wheels/*.whl voice.sertk ~/",
        INSTALL_SERVICE: f"{INSTALL_SERVICE} --print > ~/unit",
        ARECORD: "cp ~/heard.wav ~/hello.wav",
        LISTEN: f"{LISTEN} --check; {LISTEN} > ~/events",
        NEXT: "cp ~/voice.sertk /opt/sertk/next.part",
    },
)


@dataclass(frozen=True)
class Place:
    """A folder with a home of its own, where nothing of this environment is found."""

    folder: Path

    def env(self) -> dict[str, str]:
        kept = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("SERTK_", "PYTHON", "VIRTUAL_ENV"))
        }
        tools = self.folder / "tools"
        if not tools.exists():
            tools.mkdir(parents=True)
            (tools / "python3").write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n')
            (tools / "python3").chmod(0o755)
        return {
            # pip finds its settings and its cache where it finds them here.
            "XDG_CONFIG_HOME": str(Path.home() / ".config"),
            "XDG_CACHE_HOME": str(Path.home() / ".cache"),
            **kept,
            "HOME": str(self.folder / "home"),
            "USER": str(os.getuid()),
            "PATH": f"{tools}:/usr/sbin:/usr/bin:/sbin:/bin",
            "COLUMNS": "100",
            "PIP_CONSTRAINT": str(PINS),
            # Python compiles what is imported; all of TensorFlow takes half a minute.
            "PIP_COMPILE": "0",
            "SERTK_CACHE": str(self.folder / "cache"),
        }

    def bash(self, script: str, code: int = 0) -> str:
        """Run lines of bash here, and give what they said."""
        (self.folder / "home").mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            ["bash", "-c", script],
            cwd=self.folder,
            env=self.env(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == code, done.stdout[-4000:]
        assert "Traceback" not in done.stdout, done.stdout[-4000:]
        return done.stdout
