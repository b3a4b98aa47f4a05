"""What is never imported before it is needed."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from ser_toolkit.plugins import entry_points
from ser_toolkit.plugins.hookspecs import COMMAND_GROUP

HEAVY = ("tensorflow", "keras", "librosa", "scipy.signal", "sklearn", "matplotlib", "joblib")
ENVIRONMENT = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}


def imported(script: str) -> set[str]:
    """Return the modules in a fresh interpreter after `script`."""
    tail = "\nimport sys\nprint('\\n'.join(['#modules', *sys.modules]))"
    result = subprocess.run(
        [sys.executable, "-c", script + tail],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return set(result.stdout.partition("#modules\n")[2].split())


def heavy(modules: set[str]) -> set[str]:
    return {name for name in HEAVY if name in modules}


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["plugins"], ["plugins", "--json"]])
def test_looking_around_imports_nothing_heavy(args: list[str]) -> None:
    assert heavy(imported(f"from ser_toolkit.cli import run\nassert run({args}) == 0")) == set()


def test_the_help_of_no_command_imports_anything_heavy() -> None:
    names = [
        point.name
        for point in entry_points.installed(COMMAND_GROUP)
        if entry_points.origin(point).distribution == entry_points.BUILTIN_DISTRIBUTION
    ]
    assert {"train", "plugins", "doctor"} <= set(names)
    script = f"assert [run([name, '--help']) for name in {names}] == [0] * {len(names)}"
    assert heavy(imported(f"from ser_toolkit.cli import run\n{script}")) == set()


def test_help_imports_no_component_plugin() -> None:
    modules = imported("from ser_toolkit.cli import run\nassert run(['--help']) == 0")
    assert "ser_toolkit.builtin" not in modules
    assert not {name for name in modules if name.startswith("sertk_")}


def test_what_the_daemon_imports_is_light() -> None:
    modules = imported(
        "from ser_toolkit.plugins.registry import load_plugins\n"
        "load_plugins(only=[]).get('extractor', 'mfcc')"
    )
    assert heavy(modules) == set()
    assert "ser_toolkit.runtime.features.spectral" in modules
    readers_and_models = {"ser_toolkit.builtin.readers", "ser_toolkit.builtin.models"}
    assert not readers_and_models & modules
    assert not {"click", "rich"} & modules
