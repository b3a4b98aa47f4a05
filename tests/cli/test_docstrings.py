"""Check what `sertk --help` shows of the commands of plugins, read from their source."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from ser_toolkit.cli import sertk
from ser_toolkit.cli.docstrings import docstring_of, is_hidden


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "acme_lamp"
    (folder / "inner").mkdir(parents=True)
    (folder / "__init__.py").write_text("raise SystemExit('nobody may import this')\n")
    (folder / "inner/__init__.py").write_text('def light():\n    """Light it.\n\n    More."""\n')
    (folder / "cli.py").write_text('def glow():\n    """Let it glow."""\n\ndef bare(): ...\n')
    (folder / "broken.py").write_text("def glow(:\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_the_first_line_is_read_and_nothing_runs(package: Path) -> None:
    found = {
        "acme_lamp.cli:glow": "Let it glow.",
        "acme_lamp.inner:light": "Light it.",
        "acme_lamp.cli:bare": "",
        "acme_lamp.cli:missing": "",
        "acme_lamp.broken:glow": "",
        "acme_lamp.nowhere:glow": "",
        "no_such_package.cli:glow": "",
    }
    assert {target: docstring_of(target) for target in found} == found
    assert not {name for name in sys.modules if name.startswith("acme_lamp")}


def test_a_hidden_command_is_recognised_and_nothing_runs(package: Path) -> None:
    (package / "inner/__init__.py").write_text(
        "@click.command('a', hidden=True)\n@other\ndef a(): ...\n\n"
        "@click.command('b', hidden=False)\ndef b(): ...\n\n@click.command()\ndef c(): ...\n"
    )
    hidden = {name: is_hidden(f"acme_lamp.inner:{name}") for name in ("a", "b", "c", "missing")}
    assert hidden == {"a": True, "b": False, "c": False, "missing": False}
    assert not {name for name in sys.modules if name.startswith("acme_lamp")}


def test_a_hidden_command_works_and_is_not_listed() -> None:
    listed = CliRunner().invoke(sertk, ["--help"]).output
    assert "sertk-example" not in listed and "  train " in listed
    assert (
        "Print seconds, peak and level" in CliRunner().invoke(sertk, ["example", "--help"]).output
    )


def test_two_commands_of_one_distribution_say_what_each_does() -> None:
    shown = " ".join(CliRunner().invoke(sertk, ["--help"]).output.split())
    assert "Set up the daemon on a device [sertk-edge]" in shown
    assert "Detect the emotion of live speech with BUNDLE, until it is stopped" in shown
