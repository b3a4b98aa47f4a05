"""Check that a component keeps to the contract: the conformance kit.

A plugin's whole test file:

    import sertk_loud
    from ser_toolkit.testing import sertk_checks

    @sertk_checks(sertk_loud)
    def test_it_keeps_to_the_contract(check):
        check()

`checks_for(component)` yields the same checks for any other test runner. With pytest come the
fixtures `synthetic_corpus`, `speech_clip` and `blocked_imports`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Loaded when used: pytest imports this package at every start, wherever the toolkit is installed.
_HOMES = {
    "assets": ("asset",),
    "blocking": ("NOT_ON_A_DEVICE", "blocked"),
    "check": ("Check", "CheckFailed", "NotChecked"),
    "compare": ("relative_error",),
    "kit": ("checks_for",),
    "marks": ("sertk_checks",),
    "given": ("Peer",),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "NOT_ON_A_DEVICE",
    "Check",
    "CheckFailed",
    "NotChecked",
    "Peer",
    "asset",
    "blocked",
    "checks_for",
    "relative_error",
    "sertk_checks",
]

if TYPE_CHECKING:
    from .assets import asset
    from .blocking import NOT_ON_A_DEVICE, blocked
    from .check import Check, CheckFailed, NotChecked
    from .compare import relative_error
    from .given import Peer
    from .kit import checks_for
    from .marks import sertk_checks


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'ser_toolkit.testing' has no attribute {name!r}")
    return getattr(importlib.import_module(f".{_HOME[name]}", __name__), name)
