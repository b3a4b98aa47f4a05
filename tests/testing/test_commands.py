"""Commands and plugins that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ser_toolkit.testing import checks_for

Write = Callable[..., Any]


@click.command()
@click.argument("name")
def greet(name: str) -> None:
    """Greet NAME."""
    click.echo(f"Hello, {name}.")


@click.command()
@click.argument("name")
def mute(name: str) -> None:
    click.echo(name)


@click.command(add_help_option=False)
def helpless() -> None:
    """Do something."""


@click.group()
def outer() -> None:
    """Return some commands."""


@outer.command("inner", add_help_option=False)
def inner() -> None:
    """Do something."""


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a module of its own and imports it."""
    monkeypatch.syspath_prepend(str(tmp_path))
    names = []

    def write(name: str, source: str) -> Any:
        names.append(name)
        (tmp_path / f"{name}.py").write_text(textwrap.dedent(source), "utf-8")
        return __import__(name)

    yield write
    for name in names:
        del sys.modules[name]


COMMAND = """
    import click
    import joblib

    @click.command()
    def heavy() -> None:
        '''Do much.'''
"""


def test_a_good_command_fails_nothing(failing: Any) -> None:
    assert failing(greet) == {}
    assert next(checks_for(greet)).id == "command:greet:declared"


def test_bad_commands_fail_that_check_alone(failing: Any, write: Write) -> None:
    assert set(failing(mute)) == {"declared"}
    assert set(failing(helpless)) == {"help"}
    found = failing(write("kit_heavy", COMMAND).heavy)
    assert set(found) == {"light"}
    assert "kit_heavy to import nothing heavy, received joblib. Import it inside" in str(
        found["light"]
    )


def test_the_commands_of_a_group_are_looked_at(failing: Any) -> None:
    found = failing(outer)
    assert set(found) == {"help"}
    assert "`outer inner --help` to end well" in str(found["help"])


PLUGIN = """
    from dataclasses import dataclass
    from ser_toolkit import FrameAugmenter, hookimpl

    @dataclass(frozen=True)
    class Jitter(FrameAugmenter):
        '''Adds noise.'''
        name = "jitter"

        def augment_frames(self, frames, rng):
            return frames + rng.standard_normal(frames.shape, dtype="float32")

    @hookimpl
    def sertk_augmenters():
        return [Jitter()]
"""


def test_a_good_plugin_gives_its_own_checks_and_those_of_its_components(
    failing: Any, write: Write
) -> None:
    module = write("kit_plugin", PLUGIN)
    assert failing(module) == {}
    subjects = {check.subject for check in checks_for(module)}
    assert subjects == {"plugin:kit_plugin", "augmenter:jitter"}


@pytest.mark.parametrize(
    ("old", "new", "name", "output_text"),
    [
        ("@hookimpl", "", "hooks", "sertk_augmenters lacks @hookimpl"),
        ("_augmenters", "_augmenter", "hooks", "perhaps meant as sertk_augmenters"),
        ("[Jitter()]", "Jitter()", "hooks", "sertk_augmenters expects a list, received Jitter"),
        ("[Jitter()]", "[Jitter]", "hooks", "received the class Jitter"),
        ("[Jitter()]", "[]", "hooks", "a plugin that offers something, received nothing"),
        ("[Jitter()]", "[1 / 0]", "hooks", "ZeroDivisionError: division by zero"),
        ("from dataclasses", "import joblib\n    from dataclasses", "light", "received joblib."),
        ("return [J", "import joblib; return [J", "light", "received joblib."),
    ],
)
def test_a_bad_plugin_fails_that_check_alone(
    failing: Any, write: Write, old: str, new: str, name: str, output_text: str
) -> None:
    found = failing(write("kit_bad", PLUGIN.replace(old, new)))
    assert set(found) == {name}
    assert output_text in str(found[name])


def test_every_check_of_plugins_and_commands_is_here(write: Write) -> None:
    own = [check for check in checks_for(write("kit_plugin", PLUGIN)) if "plugin:" in check.subject]
    assert {check.name for check in own} == {"hooks", "light"}
    assert {check.name for check in checks_for(greet)} == {"declared", "help", "light"}
