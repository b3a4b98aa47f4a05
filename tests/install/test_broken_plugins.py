"""Broken plugins, really installed: what users of `sertk` see, and what still works."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import sysconfig
import textwrap
import venv
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

PREAMBLE = """
from __future__ import annotations
from dataclasses import dataclass
from typing import ClassVar
from ser_toolkit.hookspecs import hookimpl
from ser_toolkit.runtime.extractor import FrameExtractor

@dataclass(frozen=True)
class Feature(FrameExtractor):
    '''A feature that only says its name.'''
    name: ClassVar[str] = "{name}"
    edge_ready: ClassVar[bool] = {edge}
"""
OFFER = """
@hookimpl
def sertk_extractors():
    return [Feature()]
"""
BODIES = {
    "good": OFFER,
    "importerror": "import a_module_that_nobody_has",
    "syntax": "def broken(:",
    "wronghook": "@hookimpl\ndef sertk_extractor():\n    return [Feature()]",
    "nomarker": "def sertk_extractors():\n    return [Feature()]",
    "raises": "@hookimpl\ndef sertk_extractors():\n    return 1 / 0",
    "rubbish": "@hookimpl\ndef sertk_extractors():\n    return 'mfcc'",
    "aclass": "@hookimpl\ndef sertk_extractors():\n    return [Feature]",
    "newer": "SERTK_HOOK_API = 99\n" + OFFER,
    "chatty": "import sys\nprint('hello from chatty')\nprint('psst', file=sys.stderr)\n" + OFFER,
    "quits": "import sys\nsys.exit(3)",
    "twin-a": OFFER,
    "twin-b": OFFER,
}
BROKEN = {
    "importerror": "ModuleNotFoundError: No module named 'a_module_that_nobody_has'",
    "syntax": "SyntaxError",
    "wronghook": "unknown hook 'sertk_extractor'; did it mean sertk_extractors?",
    "nomarker": "sertk_extractors lacks @hookimpl",
    "raises": "ZeroDivisionError: division by zero",
    "rubbish": "sertk_extractors expects a list, received str",
    "aclass": "expects an instance of Extractor, received the class Feature",
    "newer": "needs HOOK_API 99, this ser-toolkit has 1: upgrade ser-toolkit",
    "quits": "SystemExit: it called sys.exit(3)",
}
COMMANDS = {
    "good": ("greet", "import click\n\n@click.command()\ndef command():\n    click.echo('hi')\n"),
    "importerror": ("oops", "import a_module_that_nobody_has\n"),
    "twin-a": ("same", "import click\n\n@click.command()\ndef command():\n    click.echo('a')\n"),
    "twin-b": ("same", "import click\n\n@click.command()\ndef command():\n    click.echo('b')\n"),
}


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str


Run = Callable[..., Result]


def write_project(folder: Path, name: str) -> Path:
    """A small hatchling project `acme-NAME` whose plugin is NAME (or `twin`)."""
    package = f"acme_{name.replace('-', '_')}"
    offered = "twin" if name.startswith("twin") else f"{name}-feature"
    preamble = PREAMBLE.format(name=offered, edge=name == "good")
    module = folder / package
    module.mkdir(parents=True)
    (module / "__init__.py").write_text(preamble + BODIES[name] + "\n")
    text = f"""
        [build-system]
        requires = ["hatchling"]
        build-backend = "hatchling.build"
        [project]
        name = "acme-{name}"
        version = "1.2"
        description = "Sayings of acme-{name}"
        [project.entry-points.sertk]
        {name} = "{package}"
        [tool.hatch.build.targets.wheel]
        packages = ["{package}"]
        """
    if name in COMMANDS:
        command, source = COMMANDS[name]
        (module / "command.py").write_text(source)
        text += f"""
        [project.entry-points."sertk.commands"]
        {command} = "{package}.command:command"
        """
    (folder / "pyproject.toml").write_text(textwrap.dedent(text))
    return folder


@pytest.fixture(scope="session")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a virtual environment that holds this toolkit and every plugin above."""
    base = tmp_path_factory.mktemp("broken")
    venv.create(base / "venv", with_pip=False)
    packages = f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    here = sysconfig.get_paths()["purelib"]
    # `addsitedir`, not a bare path, so that editable installations in it are followed too.
    (base / "venv" / packages / "outer.pth").write_text(f"import site; site.addsitedir({here!r})\n")
    projects = [str(write_project(base / name, name)) for name in BODIES]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--prefix", str(base / "venv")]
    flags = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check"]
    subprocess.run([*pip, *flags, *projects], check=True, capture_output=True, text=True)
    return base / "venv" / "bin" / "python"


@pytest.fixture
def run(python: Path, tmp_path: Path) -> Run:
    def run(*args: str, **env: str) -> Result:
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}
        result = subprocess.run(
            [str(python), *args],
            env={**kept, "SERTK_CACHE": str(tmp_path), **env},
            capture_output=True,
            text=True,
            timeout=60,
        )
        return Result(result.returncode, result.stdout, result.stderr)

    return run


@pytest.fixture
def sertk(run: Run) -> Run:
    def sertk(*args: str, **env: str) -> Result:
        return run("-c", "from ser_toolkit.cli import main; main()", *args, **env)

    return sertk


@pytest.fixture
def ask(run: Run) -> Run:
    """Look up an extractor as every command does, with the command line's error handling."""
    script = """
        import sys, click
        from ser_toolkit import cli
        from ser_toolkit.plugins import load_plugins
        @cli.sertk.command()
        @click.argument("name")
        def ask(name):
            click.echo(load_plugins().offer("extractor", name).qualified)
        cli.main()
        """

    def go(name: str, **env: str) -> Result:
        return run("-c", textwrap.dedent(script), "ask", name, **env)

    return go


def test_help_lists_commands_and_imports_no_plugin(sertk: Run) -> None:
    result = sertk("--help")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"greet +Sayings of acme-good \[acme-good\]", result.out)
    assert re.search(r"oops +Sayings of acme-importerror", result.out)
    assert "hello from chatty" not in result.out


def test_plugins_shows_what_works_and_every_cause(sertk: Run) -> None:
    result = sertk("plugins")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"^good +acme-good +1\.2 +extractor +good-feature +yes", result.out, re.M)
    assert re.search(r"^chatty +acme-chatty +1\.2 +extractor +chatty-feature +no", result.out, re.M)
    for name, cause in BROKEN.items():
        assert f"plugin '{name}' (acme-{name} 1.2) is broken: " in result.out
        assert cause in result.out
    assert "hello from chatty" not in result.out


def test_plugins_json_is_json_whatever_plugins_print(sertk: Run) -> None:
    answer = json.loads(sertk("plugins", "--json").out)
    assert {"good", "chatty", "twin-a", "twin-b"} <= {one["plugin"] for one in answer["plugins"]}
    assert {one["plugin"]: one["distribution"] for one in answer["broken"]} == {
        name: f"acme-{name}" for name in BROKEN
    }


def test_errors_name_the_place_in_the_plugin(sertk: Run) -> None:
    broken = json.loads(sertk("plugins", "--json").out)["broken"]
    errors = {one["plugin"]: one["error"] for one in broken}
    assert re.search(r"\(acme_importerror/__init__\.py, line \d+\)$", errors["importerror"])
    assert re.search(r"\(acme_syntax/__init__\.py, line \d+\)$", errors["syntax"])
    assert re.search(r"\(acme_raises/__init__\.py, line \d+\)$", errors["raises"])


def test_a_use_that_needs_no_broken_plugin_costs_one_warning_line_each(ask: Run) -> None:
    result = ask("good-feature")
    assert (result.code, result.out) == (0, "acme-good:good-feature\n")
    lines = result.err.splitlines()
    assert len(lines) == len(BROKEN)
    for name, cause in BROKEN.items():
        assert any(line.startswith(f"Warning: plugin '{name}'") and cause in line for line in lines)


@pytest.mark.parametrize("name", ["importerror", "raises"])
def test_a_broken_plugin_that_is_asked_for_is_an_error_with_its_cause(ask: Run, name: str) -> None:
    result = ask(f"acme-{name}:{name}-feature")
    assert (result.code, result.out) == (1, "")
    assert f"Error: plugin '{name}' (acme-{name} 1.2) is broken: {BROKEN[name]}" in result.err
    assert "Traceback" not in result.err


def test_the_debug_switch_shows_the_plugins_own_traceback(ask: Run) -> None:
    result = ask("acme-raises:raises-feature", SERTK_DEBUG="1")
    assert "Traceback" in result.err
    assert "return 1 / 0" in result.err


def test_an_unknown_name_lists_known_ones_and_suspects(ask: Run) -> None:
    result = ask("good-featur", SERTK_PLUGINS="good,quits")
    assert result.code == 1
    last = result.err.splitlines()[-1]
    assert last.startswith("Error: there is no extractor 'good-featur'. Known: good-feature, ")
    assert "broken plugin: 'quits' (SystemExit: it called sys.exit(3)" in last


def test_a_name_clash_names_both_and_either_can_be_picked(ask: Run) -> None:
    clash = ask("twin", SERTK_PLUGINS="twin-a,twin-b")
    assert (clash.code, clash.out) == (1, "")
    assert clash.err == (
        "Error: extractor 'twin' is offered by acme-twin-a and acme-twin-b. "
        "Type acme-twin-a:twin or acme-twin-b:twin\n"
    )
    assert ask("acme-twin-b:twin", SERTK_PLUGINS="twin-a,twin-b").out == "acme-twin-b:twin\n"
    assert ask("twin-a:twin", SERTK_PLUGINS="twin-a,twin-b").out == "acme-twin-a:twin\n"


def test_sertk_plugins_limits_third_parties_and_keeps_the_builtins(sertk: Run) -> None:
    answer = json.loads(sertk("plugins", "--json", SERTK_PLUGINS="good").out)
    assert {one["plugin"] for one in answer["plugins"]} == {"builtin", "good"}
    assert answer["broken"] == []


def test_sertk_plugins_warns_of_a_name_that_is_not_installed(ask: Run) -> None:
    result = ask("good-feature", SERTK_PLUGINS="good,nothere")
    assert result.code == 0
    assert result.err == "Warning: SERTK_PLUGINS names 'nothere', which is not installed\n"


@pytest.mark.parametrize("name", ["importerror", "raises"])
def test_strict_makes_a_breakage_fatal(ask: Run, name: str) -> None:
    result = ask("good-feature", SERTK_STRICT="1", SERTK_PLUGINS=f"good,{name}")
    assert (result.code, result.out) == (1, "")
    assert result.err.startswith(f"Error: SERTK_STRICT is set and plugin '{name}'")
    assert BROKEN[name] in result.err
    assert ask("good-feature", SERTK_STRICT="1", SERTK_PLUGINS="good").code == 0


def test_a_command_that_cannot_be_imported_is_one_line(sertk: Run) -> None:
    result = sertk("oops")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "command 'oops' (acme-importerror 1.2) is broken: ModuleNotFoundError" in result.err


def test_a_strangers_command_runs_beside_broken_ones(sertk: Run) -> None:
    result = sertk("greet")
    assert (result.code, result.out, result.err) == (0, "hi\n", "")


def test_two_commands_of_one_name(sertk: Run) -> None:
    clash = sertk("same")
    assert clash.code == 1
    assert "command 'same' is offered by acme-twin-a and acme-twin-b" in clash.err
    assert sertk("acme-twin-b:same").out == "b\n"
    assert "acme-twin-a:same" in sertk("--help").out


def test_doctor_says_what_is_broken_and_passes(sertk: Run) -> None:
    result = sertk("doctor", "--json")
    answer = json.loads(result.out)
    parts = {part["part"]: part for part in answer["parts"]}
    assert (result.code, answer["works"]) == (0, True)
    assert parts["plugin good"]["state"] == "ok"
    assert parts["plugin quits"]["state"] == "broken"
    assert "pip install --upgrade acme-quits" in parts["plugin quits"]["todo"]


def test_damaged_metadata_of_one_distribution_hides_no_other(python: Path, sertk: Run) -> None:
    packages = next((python.parent.parent / "lib").glob("python*/site-packages"))
    damaged = packages / "acme_cut-1.0.dist-info"
    damaged.mkdir()
    try:
        (damaged / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cut\nVersion: 1.0\n")
        (damaged / "entry_points.txt").write_text("[sertk]\ncut = acme_cut\nhal")
        assert "greet" in sertk("--help").out
        assert "good-feature" in sertk("plugins").out
        assert "acme-cut" in sertk("doctor").out
    finally:
        for file in damaged.iterdir():
            file.unlink()
        damaged.rmdir()
