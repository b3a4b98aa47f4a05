"""The worked examples print what they show; what they include is the package that is tested."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.contracts.components import Clip
from ser_toolkit.plugins.loader import KINDS

ROOT = Path(__file__).parents[2]
PAGES = ROOT / "docs/examples"
PACKAGE = ROOT / "plugins/sertk-example"
# In this order: the first ones need no training.
ORDER = ("command", "reader", "augmenter", "extractor", "sink", "model", "recipe")
SPEAKERS = {"1": "ann", "2": "ben"}
EMOTIONS = ("anger", "neutral", "sadness")
BAR = "━"


@dataclass(frozen=True)
class Step:
    """A command of a page, and what the page says that it prints."""

    command: str
    lines: tuple[str, ...]


def text(kind: str) -> str:
    return (PAGES / f"{kind}.md").read_text("utf-8")


def steps(kind: str) -> Iterator[Step]:
    for block in re.findall(r"^```console\n(.*?)^```$", text(kind), re.MULTILINE | re.DOTALL):
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            command, *lines = part.splitlines()
            yield Step(command, tuple(lines))


def fits(shown: str, printed: str) -> bool:
    """Whether a printed line is the shown one, with anything in place of each `…`."""
    pattern = ".*".join(re.escape(part) for part in shown.rstrip().split("…"))
    return re.fullmatch(pattern, printed.rstrip()) is not None


def all_fit(shown: tuple[str, ...], printed: list[str]) -> bool:
    """Whether the shown lines are the printed ones; a line with `…` alone stands for any lines."""
    if not shown:
        return not printed
    if shown[0].strip() == "…":
        return any(all_fit(shown[1:], printed[start:]) for start in range(len(printed) + 1))
    return bool(printed) and fits(shown[0], printed[0]) and all_fit(shown[1:], printed[1:])


def test_lines_are_compared() -> None:
    assert all_fit(("a", "…", "c … e"), ["a", "b", "b", "c d e"])
    assert all_fit(("…",), []) and all_fit(("a", "…"), ["a"])
    assert not all_fit(("a", "c"), ["a", "b", "c"])
    assert not all_fit(("a",), ["a", "b"])
    assert not all_fit(("a", "…", "d"), ["a", "b"])


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the pages take for granted: a recording, several in one, a corpus, a bundle."""
    folder = tmp_path_factory.mktemp("examples")
    clips = {
        (clip.speaker, clip.emotion, clip.path.stem[-6:]): clip
        for clip in SyntheticReader(speakers=2, sentences=2).read(folder / "made").clips
    }
    speakers = sorted({str(speaker) for speaker, _, _ in clips})
    for speaker, name in zip(speakers, SPEAKERS.values(), strict=False):
        (folder / "path/to/corpus" / name).mkdir(parents=True)
        for emotion in EMOTIONS:
            for take in ("1", "2"):
                clip = clips[speaker, emotion, f"s0{take}_r1"]
                shutil.copy(clip.path, folder / f"path/to/corpus/{name}/{emotion}_{take}.wav")
    (folder / "path/to/corpus/ann/a remark.wav").touch()
    spoken = [clips[speakers[1], emotion, "s01_r1"] for emotion in ("anger", "sadness")]
    shutil.copy(spoken[0].path, folder / "some.wav")
    write_voices(folder / "voices.wav", spoken)
    shutil.copy(ROOT / "tests/bundles/v1/synthetic-msf.sertk", folder / "small.sertk")
    return folder


def write_voices(path: Path, clips: list[Clip]) -> None:
    """Utterances with a quiet room before, between and after them."""
    rng, parts = np.random.default_rng(0), []
    for clip in clips:
        samples, rate_hz = soundfile.read(clip.path, dtype="float32")
        room = rng.normal(0, 1e-4, int(2.5 * rate_hz)).astype(np.float32)
        parts += [room, samples]
    soundfile.write(path, np.concatenate([*parts, room]), rate_hz)


def printed(command: str, folder: Path) -> list[str]:
    """What a command prints, but for empty lines and those that show how far it is."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    result = subprocess.run(
        ["bash", "-c", command],
        cwd=folder,
        env={**os.environ, "PATH": path, "COLUMNS": "120"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    wanted = any(line.startswith("Error: ") for line in result.stdout.splitlines())
    assert (result.returncode != 0) == wanted, f"{command}\n{result.stdout}"
    return [line for line in result.stdout.splitlines() if line.strip() and BAR not in line]


@pytest.mark.slow
@pytest.mark.parametrize("kind", ORDER)
def test_an_example_prints_what_it_shows(kind: str, place: Path) -> None:
    done = 0
    for step in steps(kind):
        found = printed(step.command, place)
        assert all_fit(step.lines, found), "\n".join([step.command, *found])
        done += 1
    assert done


def test_there_is_an_example_of_each_kind() -> None:
    kinds = {*KINDS, "command"}
    assert set(ORDER) == kinds
    assert {path.stem for path in PAGES.glob("*.md")} == {*kinds, "index"}
    assert all(f"({kind}.md)" in text("index") for kind in kinds)


@pytest.mark.parametrize("kind", ORDER)
def test_an_example_includes_the_module_and_links_to_it(kind: str) -> None:
    name = f"sertk_example/{kind}.py"
    assert (PACKAGE / name).is_file()
    assert f'\n--8<-- "plugins/sertk-example/{name}"\n' in text(kind)
    assert f"[{name}](../../plugins/sertk-example/{name})" in text(kind)


def test_the_entry_point_that_is_shown_is_that_of_the_package() -> None:
    (shown,) = re.findall(r"^```toml\n(.*?)^```$", text("command"), re.MULTILINE | re.DOTALL)
    assert shown in (PACKAGE / "pyproject.toml").read_text("utf-8")
