"""What metadata asks of the core, line by line."""

from __future__ import annotations

import subprocess
import sys

import pytest

from ser_toolkit.requirements import Unmet, unmet


@pytest.mark.parametrize(
    ("line", "version", "newer"),
    [
        ("ser-toolkit<0.1", "0.1.0", False),
        ("Ser_Toolkit (<0.1)", "0.1.0", False),
        ("ser.toolkit>=0.0.1,<0.1; python_version >= '3.8'", "0.1.0", False),
        ("ser-toolkit==0.0.9", "0.1.0", False),
        ("ser-toolkit~=0.0.3", "0.1.0", False),
        ("ser-toolkit!=0.1.0", "0.1.0", False),
        ("ser-toolkit<0.2", "0.2.0.dev4", False),
        ("ser-toolkit>=0.2,<0.3", "0.1.0", True),
        ("ser-toolkit[train]>0.1.0", "0.1.0", True),
        ("ser-toolkit==0.2.*", "0.1.0", True),
        ("ser-toolkit~=1.4", "0.1.0", True),
    ],
)
def test_what_is_not_met(line: str, version: str, newer: bool) -> None:
    found = unmet(["numpy>=99", line, "ser-toolkit>=99"], "ser-toolkit", version)
    assert found is not None
    assert found.newer is newer


@pytest.mark.parametrize(
    ("line", "version"),
    [
        ("ser-toolkit", "0.1.0"),
        ("ser-toolkit>=0.1,<0.2", "0.1.0"),
        # Before a release and between releases, from a checkout.
        ("ser-toolkit>=0.2", "0.2.0.dev4"),
        ("ser-toolkit>=0.2", "0.2.0rc1"),
        ("ser-toolkit>=0.2,<0.3", "0.2.1.post3+g12ab34"),
        ("ser-toolkit==0.2.0", "0.2.0+local"),
        # For others, or for another case.
        ("ser-toolkit-extras<0.1", "0.1.0"),
        ("ser-toolkit<0.1; extra == 'old'", "0.1.0"),
        ("ser-toolkit<0.1; python_version < '3'", "0.1.0"),
        # Nothing to judge by.
        ("ser-toolkit @ https://example.org/ser.whl", "0.1.0"),
        ("ser-toolkit <<0.1", "0.1.0"),
        ("ser-toolkit<0.1; python_version <", "0.1.0"),
        ("ser-toolkit<0.1; nonsense == 'x'", "0.1.0"),
        ("ser-toolkit<0.1", "unknown"),
        ("", "0.1.0"),
        ("<0.1", "0.1.0"),
    ],
)
def test_what_is_met_or_cannot_be_judged(line: str, version: str) -> None:
    assert unmet([line], "ser-toolkit", version) is None


def test_the_whole_requirement_is_named() -> None:
    found = unmet(["ser-toolkit[train] >=0.0.1, <0.1"], "ser-toolkit", "0.1.0")
    assert found == Unmet("ser-toolkit<0.1,>=0.0.1", newer=False)


def test_who_has_no_plugins_of_strangers_does_not_wait_for_the_library() -> None:
    code = (
        "import sys\nfrom ser_toolkit.plugins import load_plugins\n"
        "load_plugins(only=[]).call_all()\nassert 'packaging' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
