"""Run checks, and say which of them are expected to fail."""

from __future__ import annotations

import difflib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from ..plugins.sandbox import attempt, captured
from ..runtime.errors import SertkError
from .check import Check, CheckFailed, NotChecked

Result = Literal["ok", "expected failure", "not checked", "FAILED"]
DECLARED = "SERTK_EXPECTED_FAILURES"


@dataclass(frozen=True)
class Outcome:
    """The result of one check.

    `message` is empty where it is ok; `printed` is the output of the component meanwhile.
    """

    check: Check
    result: Result
    message: str
    seconds: float
    printed: str = ""
    error: BaseException | None = None


def declared(subject: Any) -> dict[str, str]:
    """Return the failures that a module declares: SERTK_EXPECTED_FAILURES = {"check": "reason"}."""
    return expected(getattr(subject, DECLARED, {}), DECLARED)


def expected(found: Any, what: str) -> dict[str, str]:
    """Return reasons by check. Raises SertkError for anything else."""
    valid = isinstance(found, Mapping) and all(
        isinstance(key, str) and isinstance(reason, str) for key, reason in found.items()
    )
    if not valid:
        raise SertkError(f'{what} expects {{"check": "reason"}}, received {found!r:.80}')
    return dict(found)


def with_reasons(
    checks: Iterable[Check], expected: Mapping[str, str]
) -> list[tuple[Check, str | None]]:
    """Return each check, and why it is expected to fail; a key that matches none is an error.

    A key is `check`, `component:check` or `kind:component:check`.
    """
    listed = list(checks)
    for key, reason in expected.items():
        if not any(check.is_called(key) for check in listed):
            known = sorted({check.name for check in listed})
            near = difflib.get_close_matches(key, known, 1)
            raise SertkError(
                f"a failure of '{key}' is expected, and there is no such check",
                f"Did you mean '{near[0]}'?" if near else f"There are: {', '.join(known)}",
            )
        if not reason.strip():
            raise SertkError(f"a failure of '{key}' is expected without a reason", "Give a reason")
    return [(check, _reason(check, expected)) for check in listed]


def _reason(check: Check, expected: Mapping[str, str]) -> str | None:
    reasons = [reason for key, reason in expected.items() if check.is_called(key)]
    return reasons[0] if reasons else None


def outcomes(checks: Iterable[tuple[Check, str | None]]) -> Iterator[Outcome]:
    """Run checks one after the other, and capture what components print."""
    for check, reason in checks:
        began = time.perf_counter()
        with captured() as printed:
            error = attempt(check)
        result, message = _outcome(error, reason)
        seconds = time.perf_counter() - began
        yield Outcome(check, result, message, seconds, printed.getvalue(), error)


def _outcome(error: BaseException | None, reason: str | None) -> tuple[Result, str]:
    if isinstance(error, NotChecked):
        return "not checked", str(error)
    if isinstance(error, CheckFailed):
        return ("FAILED", str(error)) if reason is None else ("expected failure", reason)
    if error is not None:
        raise error
    if reason is None:
        return "ok", ""
    return "FAILED", f"it passes, and was expected to fail: {reason}. Expect it no longer"
