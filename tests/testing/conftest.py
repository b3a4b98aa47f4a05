"""Runs the kit on a component and says what it finds."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.testing import CheckFailed, NotChecked, checks_for

# The kit imports `good_extractors` in other processes too.
sys.path.append(str(Path(__file__).parent))
Failing = Callable[..., dict[str, CheckFailed]]


@pytest.fixture
def failing() -> Failing:
    """Return the failed checks of a component by name; the slow ones only where they are named."""

    def failing(subject: Any, *slow: str, **given: Any) -> dict[str, CheckFailed]:
        found = {}
        for check in checks_for(subject, **given):
            if check.slow and check.name not in slow:
                continue
            try:
                check()
            except NotChecked:
                continue
            except CheckFailed as failed:
                found[check.name] = failed
        return found

    return failing
