"""What the tests of the daemon share."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="session")
def require(request: pytest.FixtureRequest) -> Callable[[str, bool, str], None]:
    """The helper of the root conftest: skip without a part, or fail where it must be there."""
    root = request.config.pluginmanager.get_plugin(str(request.config.rootpath / "conftest.py"))
    helper: Callable[[str, bool, str], None] = root.require  # type: ignore[union-attr]
    return helper


@pytest.fixture(scope="session")
def tiny_bundle() -> Path:
    """A network of few numbers for 16 kHz."""
    return ROOT / "tests/bundles/v1/tiny.sertk"


@pytest.fixture(scope="session")
def voice_bundle() -> Path:
    """The recipe msf, trained on synthetic voices, at 8 kHz."""
    return ROOT / "tests/bundles/v1/synthetic-msf.sertk"
