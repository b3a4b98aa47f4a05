"""Check the output of `sertk plugins check`: prints of components, tracebacks, odd corpora."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_toolkit.cli import run

LOUD = """
import os, sys
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ser_toolkit import Augmenter, hookimpl

@dataclass(frozen=True)
class Loud(Augmenter):
    '''Speaks.'''
    name: ClassVar[str] = "loud"

    def augment(self, samples, rate_hz, rng):
        print("augmenting")
        sys.stdout.flush()
        print("and complaining", file=sys.stderr)
        os.write(1, b"from below\\n")
        return samples * np.float32(rng.uniform(0.4, 0.5))

@hookimpl
def sertk_augmenters():
    return [Loud()]
"""
RAISES = LOUD.replace("        return", "        {}['gain']\n        return")
READERS = """
from dataclasses import dataclass
from typing import ClassVar
from ser_toolkit import Clip, Device, Match, Outlet, Reader, Reading, SertkError, Sink, hookimpl

@dataclass(frozen=True)
class Lab(Reader):
    '''SPEAKER-EMOTION.wav.'''
    name: ClassVar[str] = "lab"
    mark: str = "-"

    def recognises(self, root):
        fits = [path for path in root.glob("*.wav") if self.mark in path.stem]
        return Match(1.0, "SPEAKER-EMOTION.wav") if fits else None

    def read(self, root):
        found = sorted(root.glob("*.wav"))
        names = {path: path.stem.split(self.mark) for path in found if self.mark in path.stem}
        clips = tuple(
            Clip(path, path.name, self.name, names[path][1], names[path][0]) for path in names
        )
        if not clips:
            raise SertkError("no recording", "Check the folder")
        return Reading(clips, {p.name: "another name" for p in found if p not in names})

@dataclass(frozen=True)
class Other(Lab):
    '''SPEAKER+EMOTION.wav.'''
    name: ClassVar[str] = "other"
    mark: str = "+"

@dataclass(frozen=True)
class Out(Sink):
    '''Nowhere.'''
    name: ClassVar[str] = "out"

    def open(self, device: Device):
        return Outlet()

@hookimpl
def sertk_readers():
    return [Lab(), Other()]
"""
SINK = """
@hookimpl
def sertk_sinks():
    return [Out()]
"""
Install = Callable[[str, str], None]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module and the metadata of its distribution, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str) -> None:
        module = f"kit_{tmp_path.name}_{name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(source, "utf-8")
        info = tmp_path / f"acme_{name}-1.0.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sertk]\n{name} = {module}\n")

    return install


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    (folder := tmp_path / "corpus").mkdir()
    for name in ("ann-anger", "ann-sadness", "bob-anger", "bob-sadness"):
        (folder / f"{name}.wav").write_bytes(name.encode())
    return folder


def test_what_a_component_prints_is_not_in_the_json_nor_in_the_table(
    install: Install, capfd: Out
) -> None:
    install("loud", LOUD)
    assert run(["plugins", "check", "loud", "--json"]) == 0
    out, err = capfd.readouterr()
    assert {row["result"] for row in json.loads(out)["checks"]} == {"ok"}
    assert "augmenting" not in err and "complaining" not in err
    assert run(["plugins", "check", "loud"]) == 0
    assert "augmenting" not in (out := capfd.readouterr().out) and "from below" not in out


def test_debug_shows_what_was_printed_and_where_it_failed(install: Install, capfd: Out) -> None:
    install("loud", RAISES)
    assert run(["plugins", "check", "loud"]) == 1
    out, err = capfd.readouterr()
    assert "KeyError: 'gain'" in out and "see above" not in out
    assert "`sertk --debug plugins check` shows a traceback" in out
    assert "Traceback" not in out + err
    assert run(["--debug", "plugins", "check", "loud", "--json"]) == 1
    out, err = capfd.readouterr()
    assert json.loads(out)["plugin"] == "loud"
    assert "augmenter:loud:silence printed:\naugmenting\nand complaining\n" in err
    assert "augmenter:loud:silence failed:\nTraceback" in err and "in augment" in err


def test_the_last_line_says_what_is_needed(install: Install, corpus: Path, capsys: Out) -> None:
    install("lab", READERS + SINK)
    assert run(["plugins", "check", "lab"]) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(
        "not checked: a reader needs a corpus of its own, --data DIR; a sink needs a test"
    )
    args = ["plugins", "check", "lab", "--data", str(corpus), "--json"]
    assert run(args) == 0
    json.loads(capsys.readouterr().out)


def test_nothing_is_needed_where_all_was_checked(install: Install, capsys: Out) -> None:
    install("loud", LOUD)
    run(["plugins", "check", "loud"])
    assert capsys.readouterr().out.splitlines()[-1].endswith(" ok")


@pytest.mark.parametrize("args", [["plugins"], ["plugins", "check", "loud"]])
def test_a_pipe_gets_whole_lines_without_padding(
    args: list[str], install: Install, capsys: Out
) -> None:
    install("loud", LOUD)
    run(args)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) > 3 and lines == [line.rstrip() for line in lines]
    assert any(line.startswith("loud ") for line in lines)


def test_the_corpus_goes_to_the_reader_as_it_was_set(
    install: Install, tmp_path: Path, corpus: Path, capsys: Out
) -> None:
    install("lab", READERS)
    for path in corpus.iterdir():
        path.rename(path.with_name(path.name.replace("-", "~")))
    args = ["plugins", "check", "lab", "--data", str(corpus), "--set", "reader.other.mark=~"]
    assert run([*args, "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)["checks"]
    found = {(row["component"], row["check"]): row["result"] for row in rows}
    assert found["other", "order"] == "ok" and found["lab", "order"] == "not checked"


def test_a_reader_that_falls_over_the_corpus_fails(
    install: Install, corpus: Path, capsys: Out
) -> None:
    install("lab", READERS.replace("        fits =", "        len(root)\n        fits ="))
    assert run(["plugins", "check", "lab", "--data", str(corpus)]) == 1
    assert "FAILED" in capsys.readouterr().out


def test_a_corpus_behind_a_link_is_weighed(
    install: Install, tmp_path: Path, corpus: Path, capsys: Out
) -> None:
    install("lab", READERS)
    (far := tmp_path / "far").mkdir()
    with (far / "bob-fear.wav").open("wb") as file:
        file.truncate(600_000_000)
    (corpus / "more").symlink_to(far, target_is_directory=True)
    (corpus / "gone.txt").symlink_to(far / "nothing")
    assert run(["plugins", "check", "lab", "--data", str(corpus)]) == 1
    assert "expected at most 500 MB" in capsys.readouterr().err
    (corpus / "more").unlink()
    assert run(["plugins", "check", "lab", "--data", str(corpus)]) == 0


def test_of_a_broken_plugin_its_hook_is_told_whatever_is_set(install: Install, capsys: Out) -> None:
    install("loud", LOUD.replace("[Loud()]", "[1 / 0]"))
    assert run(["plugins", "check", "loud", "--set", "loud.p=0.5"]) == 1
    assert "ZeroDivisionError" in capsys.readouterr().out
