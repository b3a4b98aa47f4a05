"""Broken plugins, really installed: what users of `sertk` see, and what still works."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import textwrap
import time
from collections.abc import Callable
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest
from broken_packages import BROKEN, PACKAGES

Run = Callable[..., Any]
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from ser_toolkit.cli import main; main()"
)
# What acme-raw writes past Python is not lost, and stays out of standard output.
RAW = "hello from raw\nhello from raw, its child\n"


@pytest.fixture
def ask(broken_run: Run) -> Run:
    """Look up an extractor as every command does, with the command line's error handling."""
    script = """
        import sys, click
        from ser_toolkit import cli
        from ser_toolkit.plugins.registry import load_plugins
        @cli.sertk.command()
        @click.argument("name")
        def ask(name):
            click.echo(load_plugins().component("extractor", name).qualified)
        cli.main()
        """

    def go(name: str, **env: str) -> Any:
        return broken_run("-c", textwrap.dedent(script), "ask", name, **env)

    return go


def test_help_lists_commands_and_imports_no_plugin(broken_sertk: Run) -> None:
    result = broken_sertk("--help")
    assert (result.code, result.err) == (0, "")
    assert re.search(r"greet +Sayings of acme-good \[acme-good\]", result.out)
    assert re.search(r"oops +Sayings of acme-importerror", result.out)
    assert "hello from chatty" not in result.out


def test_plugins_shows_what_works_and_every_cause(broken_sertk: Run) -> None:
    result = broken_sertk("plugins")
    assert (result.code, result.err) == (0, RAW)
    assert re.search(r"^good +acme-good +1\.2 +extractor +good-feature +yes", result.out, re.M)
    assert re.search(r"^chatty +acme-chatty +1\.2 +extractor +chatty-feature +no", result.out, re.M)
    for name, cause in BROKEN.items():
        assert f"plugin '{name}' (acme-{name} 1.2) is broken: " in result.out
        assert cause in result.out
    assert "hello from chatty" not in result.out


def test_plugins_json_is_json_whatever_plugins_print(broken_sertk: Run) -> None:
    answer = json.loads(broken_sertk("plugins", "--json").out)
    assert set(PACKAGES) - set(BROKEN) <= {one["plugin"] for one in answer["plugins"]}
    assert {one["plugin"]: one["distribution"] for one in answer["broken"]} == {
        name: f"acme-{name}" for name in BROKEN
    }


def test_errors_name_the_place_in_the_plugin(broken_sertk: Run) -> None:
    broken = json.loads(broken_sertk("plugins", "--json").out)["broken"]
    errors = {one["plugin"]: one["error"] for one in broken}
    assert re.search(r"\(acme_importerror/__init__\.py, line \d+\)$", errors["importerror"])
    assert re.search(r"\(acme_syntax/__init__\.py, line \d+\)$", errors["syntax"])
    assert re.search(r"\(acme_raises/__init__\.py, line \d+\)$", errors["raises"])


def test_a_use_that_needs_no_broken_plugin_costs_one_warning_line_each(ask: Run) -> None:
    result = ask("good-feature")
    assert (result.code, result.out) == (0, "acme-good:good-feature\n")
    lines = result.err.removeprefix(RAW).splitlines()
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


def test_sertk_plugins_limits_third_parties_and_keeps_the_builtins(broken_sertk: Run) -> None:
    answer = json.loads(broken_sertk("plugins", "--json", SERTK_PLUGINS="good").out)
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


def test_a_command_that_cannot_be_imported_is_one_line(broken_sertk: Run) -> None:
    result = broken_sertk("oops")
    assert (result.code, result.out) == (1, "")
    assert len(result.err.splitlines()) == 1
    assert "command 'oops' (acme-importerror 1.2) is broken: ModuleNotFoundError" in result.err


def test_a_strangers_command_runs_beside_broken_ones(broken_sertk: Run) -> None:
    result = broken_sertk("greet")
    assert (result.code, result.out, result.err) == (0, "hi\n", "")


def test_two_commands_of_one_name(broken_sertk: Run) -> None:
    clash = broken_sertk("same")
    assert clash.code == 1
    assert "command 'same' is offered by acme-twin-a and acme-twin-b" in clash.err
    assert broken_sertk("acme-twin-b:same").out == "b\n"
    assert "acme-twin-a:same" in broken_sertk("--help").out


def test_doctor_says_what_is_broken_and_passes(broken_sertk: Run) -> None:
    result = broken_sertk("doctor", "--json")
    answer = json.loads(result.out)
    parts = {part["part"]: part for part in answer["parts"]}
    assert (result.code, answer["works"]) == (0, True)
    assert parts["plugin good"]["state"] == "ok"
    assert parts["plugin quits"]["state"] == "broken"
    assert "pip install --upgrade acme-quits" in parts["plugin quits"]["todo"]


def test_damaged_metadata_of_one_distribution_hides_no_other(
    broken_python: Path, broken_sertk: Run
) -> None:
    packages = next((broken_python.parent.parent / "lib").glob("python*/site-packages"))
    damaged = packages / "acme_cut-1.0.dist-info"
    damaged.mkdir()
    try:
        (damaged / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-cut\nVersion: 1.0\n")
        (damaged / "entry_points.txt").write_text("[sertk]\ncut = acme_cut\nhal")
        assert "greet" in broken_sertk("--help").out
        assert "good-feature" in broken_sertk("plugins").out
        assert "acme-cut" in broken_sertk("doctor").out
    finally:
        for file in damaged.iterdir():
            file.unlink()
        damaged.rmdir()


def test_what_an_interrupted_pip_left_is_passed_over_and_named(
    broken_sertk: Run, tmp_path: Path
) -> None:
    site, copy = tmp_path / "a b", tmp_path / "copy"
    for metadata in (site / "~er_toolkit-0.1.0.dist-info", copy / "ser_toolkit-0.1.0.dist-info"):
        metadata.mkdir(parents=True)
        for name in ("METADATA", "entry_points.txt"):
            (metadata / name).write_text(distribution("ser-toolkit").read_text(name) or "")
    (site / "~er_toolkit").mkdir()
    for bare in ("acme_bare-1.2.dist-info", "joblib-9.9.dist-info"):
        (copy / bare).mkdir()
    (copy / "acme_bare-1.2.dist-info/entry_points.txt").write_text("[sertk]\nbare = acme_bare\n")
    env = {"PYTHONPATH": os.pathsep.join(map(str, (site, copy)))}
    listed = broken_sertk("--help", **env)
    assert re.findall(r"(\S*)doctor  ", listed.out) == [""], listed.out
    plugins = json.loads(broken_sertk("plugins", "--json", **env).out)["plugins"]
    assert [one["distribution"] for one in plugins].count("ser-toolkit") == 1
    result = broken_sertk("doctor", "--json", **env)
    parts = {part["part"]: part for part in json.loads(result.out)["parts"]}
    assert parts["plugin bare"]["detail"].startswith("acme_bare 1.2: "), parts["plugin bare"]
    assert parts["joblib"]["state"] == "missing"
    left = parts["leftover"]
    assert (result.code, left["state"]) == (0, "broken")
    removal = re.fullmatch(r"Run `(rm -r .+)`", left["todo"])
    assert removal and site.is_dir(), left
    subprocess.run(removal[1], shell=True, check=True)
    assert list(site.iterdir()) == [] and "leftover" not in broken_sertk("doctor", **env).out


def test_doctor_upgrades_what_is_behind(broken_sertk: Run) -> None:
    answer = json.loads(broken_sertk("doctor", "--json", SERTK_PLUGINS="newer,quits").out)
    todo = {part["part"]: part["todo"] for part in answer["parts"]}
    assert todo["plugin newer"].startswith("Run `pip install --upgrade ser-toolkit`")
    assert todo["plugin quits"].startswith("Run `pip install --upgrade acme-quits`")


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["plugins", "--help"]])
def test_help_does_not_wait_for_a_slow_plugin(
    broken_sertk: Run, tmp_path: Path, args: list[str]
) -> None:
    mark = tmp_path / "imported"
    assert broken_sertk(*args, ACME_MARK=str(mark)).code == 0
    assert not mark.exists()
    assert broken_sertk("plugins", ACME_MARK=str(mark)).code == 0
    assert mark.exists()


@pytest.mark.slow
def test_a_slow_plugin_is_named_with_its_time(broken_sertk: Run, ask: Run) -> None:
    env = {"SERTK_PLUGINS": "good,slow", "ACME_SLEEP_S": "1.1"}
    line = r"plugin 'slow' \(acme-slow 1\.2\) took \d+\.\d s to import\. .*SERTK_PLUGINS=A,B loads"
    assert re.search(f"^{line}", broken_sertk("plugins", **env).out, re.M)
    found = json.loads(broken_sertk("plugins", "--json", **env).out)["plugins"]
    (seconds,) = [one["import_s"] for one in found if one["plugin"] == "slow"]
    assert seconds >= 1.1
    output = ask("good-feature", **env)
    assert (output.code, output.out) == (0, "acme-good:good-feature\n")
    assert re.fullmatch(f"Warning: {line}.*\n", output.err)
    parts = json.loads(broken_sertk("doctor", "--json", **env).out)["parts"]
    (slow,) = [part for part in parts if part["part"] == "plugin slow"]
    assert slow["state"] == "ok" and "where they are used" in slow["todo"]
    assert re.fullmatch(r"acme-slow 1\.2, took \d+\.\d s to import", slow["detail"])


@pytest.mark.slow
def test_a_slow_hook_is_named_with_its_time(broken_sertk: Run, ask: Run) -> None:
    env = {"SERTK_PLUGINS": "good,slowhook", "ACME_SLEEP_S": "1.1"}
    line = (
        r"plugin 'slowhook' \(acme-slowhook 1\.2\) took \d+\.\d s in sertk_extractors\. "
        r".*SERTK_PLUGINS=A,B loads"
    )
    assert re.search(f"^{line}", broken_sertk("plugins", **env).out, re.M)
    output = ask("good-feature", **env)
    assert (output.code, output.out) == (0, "acme-good:good-feature\n")
    assert re.fullmatch(f"Warning: {line}.*\n", output.err)
    parts = json.loads(broken_sertk("doctor", "--json", **env).out)["parts"]
    (slow,) = [part for part in parts if part["part"] == "plugin slowhook"]
    assert re.fullmatch(r"acme-slowhook 1\.2, took \d+\.\d s in sertk_extractors", slow["detail"])


@pytest.mark.slow
def test_what_fails_in_use_is_one_line_and_a_traceback_for_its_author(
    broken_sertk: Run, small_corpus: Path, tmp_path: Path
) -> None:
    # Of a whole corpus, features are computed in other processes.
    for source in (("--data", small_corpus), (min(small_corpus.rglob("*.wav")),)):
        args = ("extract", *source, "--set", "extractor=fails-feature", "--out", tmp_path / "x.npz")
        message = broken_sertk(*args, SERTK_PLUGINS="fails")
        assert message.code == 1
        assert message.err.splitlines()[-1].startswith(f"Error: {PACKAGES['fails'].used}")
        assert "Traceback" not in message.err
        shown = broken_sertk(*args, SERTK_PLUGINS="fails", SERTK_DEBUG="1")
        assert "Traceback" in shown.err and "return [][1]" in shown.err


def test_ctrl_c_in_an_endless_import_says_whose_it_was(broken_python: Path, tmp_path: Path) -> None:
    mark = tmp_path / "imported"
    env = {**os.environ, "ACME_MARK": str(mark), "ACME_SLEEP_S": "600", "SERTK_PLUGINS": "slow"}
    command = [str(broken_python), "-c", MAIN, "recipe", "list"]
    with subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True) as process:
        while not mark.exists():
            assert process.poll() is None
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, output = process.communicate(timeout=60)
    assert process.returncode == 130
    assert output.strip() == (
        "Error: interrupted while importing plugin 'slow' (acme-slow 1.2). "
        "SERTK_PLUGINS=A,B loads only plugins A and B"
    )


def test_what_plugins_set_for_the_process_is_taken_back(broken_run: Run) -> None:
    script = """
        import signal, warnings
        signal.signal(signal.SIGINT, signal.default_int_handler)
        from ser_toolkit.plugins.registry import load_plugins
        found = load_plugins()
        assert {"severe", "deaf"} <= {plugin.plugin for plugin in found.loaded}
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
        warnings.warn("this is no error", UserWarning)
        print("done")
        """
    result = broken_run("-c", textwrap.dedent(script), SERTK_PLUGINS="severe,deaf")
    assert (result.code, result.out) == (0, "done\n"), result.err
    assert "UserWarning: this is no error" in result.err


@pytest.mark.parametrize("name", ["stars", "instance"])
def test_unusual_hooks_that_work(ask: Run, name: str) -> None:
    assert ask(f"{name}-feature", SERTK_PLUGINS=name).out == f"acme-{name}:{name}-feature\n"
