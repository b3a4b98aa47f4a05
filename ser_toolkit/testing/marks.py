"""One pytest test per check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .check import Check, CheckFailed
from .kit import checks_for
from .outcome import declared, with_reasons


def sertk_checks(
    *subjects: Any, expected_failures: Mapping[str, str] | None = None, **given: Any
) -> Any:
    """Run a test with the argument `check` once per check of plugin modules or components.

    `expected_failures` maps a check (`streaming`, `loud:streaming` or `extractor:loud:streaming`)
    to the reason why it fails; one that passes is an error. What a module says in
    SERTK_EXPECTED_FAILURES counts too. Further arguments are those of `checks_for`.
    """
    import pytest

    reasons: dict[str, str] = {}
    checks: list[Check] = []
    for subject in subjects:
        reasons |= declared(subject)
        checks += checks_for(subject, **given)
    params = [
        pytest.param(check, id=check.id, marks=_marks(check, reason))
        for check, reason in with_reasons(checks, {**reasons, **(expected_failures or {})})
    ]
    return pytest.mark.parametrize("check", params)


def _marks(check: Check, reason: str | None) -> list[Any]:
    import pytest

    marks: list[Any] = [pytest.mark.slow] if check.slow else []
    if reason is not None:
        marks.append(pytest.mark.xfail(raises=CheckFailed, strict=True, reason=reason))
    return marks
