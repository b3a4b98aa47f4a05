"""Events for people: what the lines say."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys

import pytest

from ser_toolkit.plugins.sandbox import captured
from ser_toolkit.runtime.events import Device, Event
from sertk_edge.sinks.console import Console, bar, line_of

EVENT = Event("x", 1, "started", 0.0, 62.5, "joy", {"anger": 0.25, "joy": 0.75}, -21.4)
DEVICE = Device("pi", "Pi", ("anger", "joy"), "m", "1")


def test_a_line_says_when_what_how_sure_and_how_loud() -> None:
    assert line_of(EVENT, 9, bar) == (
        "  1:02.50  started  joy         75 %  ███████████████        -21 dBFS"
    )


def test_an_uncertain_one_says_what_it_may_be() -> None:
    uncertain = dataclasses.replace(EVENT, label="uncertain", kind="changed")
    assert line_of(uncertain, 9, bar) == "  1:02.50  changed  uncertain  perhaps joy, 75 %"


def test_speech_of_an_untrained_level_is_told() -> None:
    for reason, how in (("too_quiet", "quieter"), ("too_loud", "louder")):
        found = line_of(dataclasses.replace(EVENT, label="uncertain", reason=reason), 9, bar)
        assert found == f"  1:02.50  started  uncertain  {how} than in training, -21 dBFS"


def test_an_end_is_short() -> None:
    assert line_of(dataclasses.replace(EVENT, kind="ended"), 9, bar) == "  1:02.50  ended    joy"


def test_bars_have_eighths() -> None:
    assert [bar(share) for share in (0, 0.5, 1)] == ["", "█" * 10, "█" * 20]
    assert bar(1 / 160) == "▏" and bar(0.5 + 1 / 40) == "█" * 10 + "▌"


def test_it_writes_to_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    outlet = Console().open(DEVICE)
    outlet.deliver(EVENT)
    outlet.close()
    assert capsys.readouterr().out == line_of(EVENT, 9, bar) + "\n"


def test_an_event_while_a_plugin_is_loaded_is_not_lost(capsys: pytest.CaptureFixture[str]) -> None:
    outlet = Console().open(DEVICE)
    with captured():
        outlet.deliver(EVENT)
    assert capsys.readouterr().out == line_of(EVENT, 9, bar) + "\n"


SCRIPT = """
from ser_toolkit.runtime.events import Device, Event
from sertk_edge.sinks.console import Console
names = {"fear": 0.25, "\u00dcberraschung": 0.75}
outlet = Console().open(Device("pi", "Pi", tuple(names), "m", "1"))
for label in ("\u00dcberraschung", "uncertain"):
    outlet.deliver(Event("x", 1, "started", 0.0, 62.5, label, names, -21.4))
"""


@pytest.mark.parametrize(
    ("encoding", "name", "bar"),
    [
        ("utf-8", "Überraschung", "█" * 15),
        ("ascii", "?berraschung", "#" * 15),
        ("latin-1", "Überraschung", "#" * 15),
        ("koi8-r", "?berraschung", "#" * 15),
    ],
)
def test_an_output_of_few_characters_loses_no_event(encoding: str, name: str, bar: str) -> None:
    env = {**os.environ, "PYTHONIOENCODING": encoding}
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, env=env, check=True)
    assert done.stdout.decode(encoding).splitlines() == [
        f"  1:02.50  started  {name}   75 %  {bar}        -21 dBFS",
        f"  1:02.50  started  uncertain     perhaps {name}, 75 %",
    ]
