"""What users see who have a broken plugin: every package of broken_packages.py, tried.

`python tests/install/what_users_see.py` prints the table of docs/plugins-broken.md anew.
"""

from __future__ import annotations

import math
import os
import re
import struct
import subprocess
import tempfile
import wave
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from broken_packages import PACKAGES, make_environment

MAIN = "from ser_toolkit.cli import main; main()"
TRIED = """
import sys
from ser_toolkit.cli import run
status = run(["--help"])
print(*(name for name in sys.modules if name.startswith("acme_")), file=sys.stderr)
sys.exit(status)
"""
BAR = "━|-:--:--"
HEADS = (
    "the plugin …",
    "`sertk --help`",
    "`sertk plugins`",
    "a run without it",
    "a run that needs it",
)


@dataclass(frozen=True)
class Seen:
    """The lines about one package; `left` says whether the run that needs it left a folder."""

    name: str
    imported_by_help: bool
    plugins: tuple[str, ...]
    without: tuple[str, ...]
    needed: tuple[str, ...]
    status: int
    left: bool


def tone(path: Path, radians: float) -> Path:
    """Two seconds of a tone that goes on by so much from sample to sample, as a WAV file."""
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        samples = (int(9000 * math.sin(radians * n) * (1 + n % 4000) / 4000) for n in range(32000))
        file.writeframes(b"".join(struct.pack("<h", sample) for sample in samples))
    return path


def look(python: Path, folder: Path) -> list[Seen]:
    """Run everything once; the slow package takes its five seconds."""

    def run(*args: str, code: str = MAIN, **env: str) -> subprocess.CompletedProcess[str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}
        own = {"SERTK_CACHE": str(folder / "cache"), "ACME_SLEEP_S": "5"}
        return subprocess.run(
            [str(python), "-c", code, *args],
            cwd=folder,
            env={**kept, **own, **env},
            capture_output=True,
            text=True,
            timeout=120,
        )

    voice = str(tone(folder / "voice.wav", 0.08))
    corpus = folder / "voices"
    for emotion, radians in {"anger": 0.08, "sadness": 0.04}.items():
        (corpus / emotion).mkdir(parents=True)
        tone(corpus / emotion / "voice.wav", radians)

    def need(name: str) -> subprocess.CompletedProcess[str]:
        if PACKAGES[name].broken:
            args = ("train", "--plugin", name, "--data", "synthetic", "--out", f"run-{name}")
        elif PACKAGES[name].reads:
            args = ("extract", "--data", str(corpus), "--reader", f"acme-{name}:corpus")
            args += ("--out", f"{name}.npz")
        else:
            feature = "twin" if name.startswith("twin") else f"{name}-feature"
            args = ("extract", voice, "--set", f"extractor={feature}", "--out", f"{name}.npz")
        return run(*args, SERTK_PLUGINS="twin-a,twin-b" if name.startswith("twin") else name)

    with ThreadPoolExecutor(2) as pool:
        needs = dict(zip(PACKAGES, pool.map(need, PACKAGES), strict=True))
    helped, listed = run(code=TRIED), run("plugins")
    without = run("extract", "--data", str(corpus), "--out", "without.npz")
    assert (helped.returncode, listed.returncode, without.returncode) == (0, 0, 0), without.stderr
    return [
        Seen(
            name,
            f"acme_{name}".replace("-", "_") in helped.stderr.split(),
            about(name, [*listed.stdout.splitlines(), *listed.stderr.splitlines()]),
            about(name, without.stderr.splitlines()),
            tuple(line for line in needs[name].stderr.splitlines() if not re.search(BAR, line)),
            needs[name].returncode,
            (folder / f"run-{name}").exists(),
        )
        for name in PACKAGES
    ]


def about(name: str, lines: Iterable[str]) -> tuple[str, ...]:
    """The lines that speak of one plugin, without the rows of the table."""
    return tuple(line for line in lines if re.search(rf"plugin '{name}'|hello from {name}\b", line))


def cells(seen: Seen) -> tuple[str, ...]:
    """One row; `…` stands for what `sertk plugins` says."""
    line = next((line for line in seen.plugins if line.startswith("plugin")), "")
    helped = "imports it" if seen.imported_by_help else "as ever"
    end = "works" if seen.status == 0 else f"status {seen.status}"
    return (
        f"{PACKAGES[seen.name].what} (`{seen.name}`)",
        helped,
        " ".join(map(code, seen.plugins)) or "lists it",
        ", ".join([*(code(shortened(one, line)) for one in seen.without), "works"]),
        ", ".join([*(code(shortened(one, line)) for one in seen.needed), end]),
    )


def shortened(text: str, line: str) -> str:
    return text.replace(line, "…") if line else text


def code(text: str) -> str:
    return f"`` {text} ``" if "`" in text else f"`{text}`"


def table(seen: Iterable[Seen]) -> str:
    """The table as Markdown."""
    shown = [one for one in seen if PACKAGES[one.name].what]
    rows = [HEADS, ("---",) * len(HEADS), *map(cells, shown)]
    return "".join(f"| {' | '.join(row)} |\n" for row in rows)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        print(table(look(make_environment(Path(place)), Path(place))), end="")
