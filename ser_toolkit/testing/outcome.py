"""What became of checks, and which of them are expected to fail."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..runtime.errors import SertkError
from .check import Check, CheckFailed, NotChecked

Result = Literal["ok", "expected failure", "not checked", "FAILED"]
DECLARED = "SERTK_EXPECTED_FAILURES"


@dataclass(frozen=True)
class Outcome:
    """What became of one check; `message` is empty where it is ok."""

    check: Check
    result: Result
    message: str
    seconds: float


def declared(subject: Any) -> dict[str, str]:
    """What a plugin module says of itself: SERTK_EXPECTED_FAILURES = {"check": "reason"}."""
    found = getattr(subject, DECLARED, {})
    fine = isinstance(found, Mapping) and all(
        isinstance(key, str) and isinstance(reason, str) for key, reason in found.items()
    )
    if not fine:
        raise SertkError(f'{DECLARED} expects {{"check": "reason"}}, received {found!r:.80}')
    return dict(found)


def with_reasons(
    checks: Iterable[Check], expected: Mapping[str, str]
) -> list[tuple[Check, str | None]]:
    """Each check, and why it is expected to fail; a key that fits none is an error.

    A key is `check`, `component:check` or `kind:component:check`.
    """
    found = list(checks)
    for key, reason in expected.items():
        if not any(check.is_called(key) for check in found):
            known = sorted({check.name for check in found})
            near = difflib.get_close_matches(key, known, 1)
            raise SertkError(
                f"a failure of '{key}' is expected, and there is no such check",
                f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(known)}",
            )
        if not reason.strip():
            raise SertkError(f"a failure of '{key}' is expected without a reason", "Say why")
    return [(check, _reason(check, expected)) for check in found]


def _reason(check: Check, expected: Mapping[str, str]) -> str | None:
    reasons = [reason for key, reason in expected.items() if check.is_called(key)]
    return reasons[0] if reasons else None


def outcomes(checks: Iterable[tuple[Check, str | None]]) -> Iterator[Outcome]:
    """Run checks, one after the other."""
    for check, reason in checks:
        began = time.perf_counter()
        result, message = _outcome(check, reason)
        yield Outcome(check, result, message, time.perf_counter() - began)


def _outcome(check: Check, reason: str | None) -> tuple[Result, str]:
    try:
        check()
    except NotChecked as missing:
        return "not checked", str(missing)
    except CheckFailed as failed:
        return ("FAILED", str(failed)) if reason is None else ("expected failure", reason)
    if reason is None:
        return "ok", ""
    return "FAILED", f"it passes, and was expected to fail: {reason}. Expect it no longer"
