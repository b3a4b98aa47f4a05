"""`sertk plugins check`, on packages written to disk: the table, JSON, status, names."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from ser_toolkit.cli import run
from ser_toolkit.cli.plugins_views import with_progress
from ser_toolkit.testing.check import Check
from ser_toolkit.testing.outcome import outcomes

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ser_toolkit import Augmenter, hookimpl

@dataclass(frozen=True)
class Tube(Augmenter):
    '''The inverse of a soft limiter.'''
    name: ClassVar[str] = "tube"

    def augment(self, samples, rate_hz, rng):
        with np.errstate(divide="ignore"):
            return np.arctanh(samples) * np.float32(rng.uniform(0.5, 1))

@hookimpl
def sertk_augmenters():
    return [Tube()]
"""
DECLARED = '\nSERTK_EXPECTED_FAILURES = {"tube:full_scale": "the curve ends there"}\n'
STALE = '\nSERTK_EXPECTED_FAILURES = {"full_scale": "so", "dc": "it was so once"}\n'
COMMAND = """
import click

@click.command()
def greet():
    '''Say hello.'''
"""
SETTLED = """
from dataclasses import dataclass
from typing import ClassVar
import numpy as np
from ser_toolkit import Asset, Augmenter, SertkError, hookimpl

@dataclass(frozen=True)
class Scale(Augmenter):
    '''Multiplies.'''
    name: ClassVar[str] = "lab.scale"
    factor: float = float("nan")
    curve: Asset | None = None

    def prepare(self, load):
        if self.curve is None:
            raise SertkError("'lab.scale' needs a curve")
        return Ready(float(load(self.curve)) * self.factor)

@dataclass(frozen=True)
class Ready(Augmenter):
    '''Has its number.'''
    name: ClassVar[str] = "lab.scale"
    factor: float = 1.0

    def augment(self, samples, rate_hz, rng):
        return samples * np.float32(self.factor * rng.uniform(0.4, 0.5))

@hookimpl
def sertk_augmenters():
    return [Scale()]
"""
READERS = """
from dataclasses import dataclass
from typing import ClassVar
from ser_toolkit import Clip, Match, Reader, Reading, SertkError, hookimpl

@dataclass(frozen=True)
class Lab(Reader):
    '''SPEAKER-EMOTION.wav.'''
    name: ClassVar[str] = "lab"

    def recognises(self, root):
        fits = [path for path in root.glob("*.wav") if self.fits(path)]
        return Match(1.0, "SPEAKER-EMOTION.wav") if fits else None

    def fits(self, path):
        return path.stem.count("-") == 1

    def read(self, root):
        found = sorted(root.glob("*.wav"))
        clips = tuple(
            Clip(path=path, relative=path.name, emotion=path.stem.split("-")[1],
                 speaker=path.stem.split("-")[0], corpus=self.name)
            for path in found if self.fits(path)
        )
        if not clips:
            raise SertkError("no recording", "Check the folder")
        return Reading(clips, {p.name: "another name" for p in found if not self.fits(p)})

@hookimpl
def sertk_readers():
    return [Lab()]
"""
SECOND = """

@dataclass(frozen=True)
class Other(Lab):
    '''SPEAKER+EMOTION.wav.'''
    name: ClassVar[str] = "other"

    def fits(self, path):
        return path.stem.count("+") == 1
"""
Install = Callable[..., None]
Out = pytest.CaptureFixture[str]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module and the metadata of its distribution, as an installer would."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def install(name: str, source: str, group: str = "sertk", value: str = "") -> None:
        module = f"kit_{tmp_path.name}_{name}".replace("-", "_")
        (tmp_path / f"{module}.py").write_text(textwrap.dedent(source), "utf-8")
        info = tmp_path / f"acme_{name}-1.0.dist-info"
        info.mkdir()
        meta = f"Metadata-Version: 2.1\nName: acme-{name}\nVersion: 1.0\n"
        (info / "METADATA").write_text(meta)
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}{value}\n")

    return install


def test_a_failure_stands_in_the_table_and_in_the_status(install: Install, capsys: Out) -> None:
    install("tube", PLUGIN)
    assert run(["plugins", "check", "tube"]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["component", "kind", "check", "result"]
    (failed,) = [line for line in lines if "FAILED" in line and line.startswith("tube")]
    assert failed.split()[:4] == ["tube", "augmenter", "full_scale", "FAILED"]
    assert "to hold finite numbers alone, received inf" in failed
    assert "Guard logarithms and divisions" in failed
    assert lines[-1] == f"{len(lines) - 3} ok, 1 FAILED"


@pytest.mark.parametrize("name", ["tube", "acme-tube", "acme_tube", "acme-tube:tube"])
def test_an_expected_failure_is_none_whatever_it_is_called_by(
    install: Install, capsys: Out, name: str
) -> None:
    install("tube", PLUGIN + DECLARED)
    assert run(["plugins", "check", name]) == 0
    out = capsys.readouterr().out
    assert "expected failure  the curve ends there" in out
    assert out.splitlines()[-1].endswith("ok, 1 expected failure")


def test_an_expected_failure_that_passes_is_one(install: Install, capsys: Out) -> None:
    install("tube", PLUGIN + STALE)
    assert run(["plugins", "check", "tube", "--json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["plugin"] == "tube"
    by_check = {row["check"]: row for row in found["checks"] if row["component"] == "tube"}
    assert by_check["dc"]["result"] == "FAILED"
    assert "was expected to fail: it was so once" in by_check["dc"]["message"]
    assert by_check["full_scale"]["result"] == "expected failure"
    assert by_check["silence"] | {"seconds": 0} == {
        "kind": "augmenter",
        "component": "tube",
        "check": "silence",
        "about": "silence gives finite float32",
        "result": "ok",
        "message": "",
        "seconds": 0,
    }


def test_a_distribution_of_commands(install: Install, capsys: Out) -> None:
    install("greet", COMMAND, "sertk.commands", ":greet")
    for name in ("greet", "acme-greet"):
        assert run(["plugins", "check", name]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert [line.split()[:4] for line in lines[1:-1]] == [
            ["greet", "command", check, "ok"] for check in ("declared", "help", "light")
        ]


def results(out: str) -> dict[tuple[str, str], str]:
    rows = json.loads(out)["checks"]
    return {(row["component"], row["check"]): row["result"] for row in rows}


def test_what_is_set_is_checked_in_place_of_the_default(
    install: Install, tmp_path: Path, capsys: Out
) -> None:
    install("lab", SETTLED)
    curve = tmp_path / "curve.txt"
    curve.write_text("0.5")
    assert run(["plugins", "check", "lab"]) == 1
    out = capsys.readouterr().out
    assert "--set lab.scale.curve=@FILE" in out
    for prefix in ("", "augmenter."):
        settings = (f"{prefix}lab.scale.curve=@{curve}", f"{prefix}lab.scale.factor=0.5")
        args = [word for one in settings for word in ("--set", one)]
        assert run(["plugins", "check", "lab", *args, "--json"]) == 0
        assert set(results(capsys.readouterr().out).values()) == {"ok"}


@pytest.mark.parametrize(
    ("setting", "expected_text"),
    [
        ("lab.scale.factr=2", "has no 'lab.scale.factr'. Nearest: lab.scale.factor"),
        ("lab.scale.factor", "--set expects COMPONENT.FIELD=VALUE, received 'lab.scale.factor'"),
        ("factor=2", "--set expects COMPONENT.FIELD=VALUE, received 'factor=2'"),
        ("lab.scale.factor=loud", "lab.scale.factor"),
        ("lab.scale.curve=@nowhere.txt", "cannot read 'nowhere.txt': No such file"),
    ],
)
def test_what_cannot_be_set(
    install: Install, capsys: Out, setting: str, expected_text: str
) -> None:
    install("lab", SETTLED)
    assert run(["plugins", "check", "lab", "--set", setting]) == 1
    err = capsys.readouterr().err
    assert expected_text in err and len(err.splitlines()) == 1


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in ("ann-anger", "ann-sadness", "bob-anger", "bob-sadness"):
        (folder / f"{name}.wav").write_bytes(name.encode())
    return folder


def test_a_reader_is_given_a_copy_of_the_corpus(
    install: Install, corpus: Path, capsys: Out
) -> None:
    install("lab", READERS)
    before = sorted(corpus.iterdir())
    assert run(["plugins", "check", "lab", "--data", str(corpus), "--json"]) == 0
    found = results(capsys.readouterr().out)
    assert found["lab", "reasons"] == "ok" and set(found.values()) == {"ok"}
    assert sorted(corpus.iterdir()) == before


def test_a_corpus_that_the_only_reader_does_not_know_fails(
    install: Install, tmp_path: Path, capsys: Out
) -> None:
    install("lab", READERS)
    (tmp_path / "empty").mkdir()
    assert run(["plugins", "check", "lab", "--data", str(tmp_path / "empty")]) == 1
    assert "expected its own corpus to be recognised" in capsys.readouterr().out


def test_of_several_readers_those_that_know_the_corpus_are_given_it(
    install: Install, tmp_path: Path, corpus: Path, capsys: Out
) -> None:
    install("lab", (READERS + SECOND).replace("[Lab()]", "[Lab(), Other()]"))
    assert run(["plugins", "check", "lab", "--data", str(corpus), "--json"]) == 0
    found = results(capsys.readouterr().out)
    assert found["lab", "files"] == "ok" and found["other", "files"] == "not checked"
    (tmp_path / "empty").mkdir()
    assert run(["plugins", "check", "lab", "--data", str(tmp_path / "empty")]) == 1
    assert "no reader of the plugin recognises" in capsys.readouterr().err


def test_a_corpus_that_is_too_large_or_of_no_use(
    install: Install, corpus: Path, capsys: Out
) -> None:
    install("lab", READERS)
    with (corpus / "bob-fear.wav").open("wb") as file:
        file.truncate(600_000_000)
    assert run(["plugins", "check", "lab", "--data", str(corpus)]) == 1
    assert "expected at most 500 MB" in capsys.readouterr().err
    assert run(["plugins", "check", "lab", "--data", "nowhere"]) == 1
    assert "'nowhere' is no folder with a corpus. Check the path" in capsys.readouterr().err
    install("tube", PLUGIN + DECLARED)
    assert run(["plugins", "check", "tube", "--data", str(corpus)]) == 1
    assert "no reader of folders. Leave out --data" in capsys.readouterr().err


def test_nobody_is_called_so(capsys: Out) -> None:
    assert run(["plugins", "check", "nobody"]) == 1
    assert "there is no plugin 'nobody'. Known: " in capsys.readouterr().err


def test_a_broken_plugin_is_named_with_its_cause(install: Install, capsys: Out) -> None:
    install("oops", "import a_module_that_nobody_has\n")
    assert run(["plugins", "check", "oops"]) == 1
    err = capsys.readouterr().err
    assert "plugin 'oops' (acme-oops 1.0) is broken: ModuleNotFoundError" in err


def test_a_hook_that_raises_is_named_with_its_cause(install: Install, capsys: Out) -> None:
    install("oops", PLUGIN.replace("[Tube()]", "[1 / 0]"))
    assert run(["plugins", "check", "oops"]) == 1
    out = capsys.readouterr().out
    assert "ZeroDivisionError: division by zero" in out


def test_two_of_one_distribution_are_told_apart(
    install: Install, tmp_path: Path, capsys: Out
) -> None:
    install("tube", PLUGIN)
    module = f"kit_{tmp_path.name}_pipe"
    (tmp_path / f"{module}.py").write_text(PLUGIN, "utf-8")
    points = tmp_path / "acme_tube-1.0.dist-info" / "entry_points.txt"
    points.write_text(f"{points.read_text()}pipe = {module}\n")
    assert run(["plugins", "check", "acme-tube"]) == 1
    err = capsys.readouterr().err
    assert "acme-tube:pipe and acme-tube:tube. Type one of these instead" in err
    assert run(["plugins", "check", "acme-tube:pipe"]) == 1
    assert "pipe       plugin" in capsys.readouterr().out


def test_without_a_subcommand_plugins_are_listed(capsys: Out) -> None:
    assert run(["plugins"]) == 0
    assert capsys.readouterr().out.startswith("plugin")
    assert run(["plugins", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["hook_api"] == 1
    assert run(["plugins", "--json", "check", "builtin"]) == 2
    assert "sertk plugins check" in capsys.readouterr().err


def test_checks_run_one_after_the_other_while_they_are_followed() -> None:
    ran: list[str] = []
    checks = [(Check(name, "", lambda name=name: ran.append(name)), None) for name in "abc"]
    assert ran == []
    for number, outcome in enumerate(with_progress(outcomes(checks), 3), 1):
        assert len(ran) == number and outcome.result == "ok"
