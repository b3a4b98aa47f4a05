"""Run one pytest test per check."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..runtime.errors import SertkError
from .check import Check, CheckFailed
from .kit import checks_given, fitting, given_of
from .outcome import declared, expected, with_reasons


def sertk_checks(
    *subjects: Any, expected_failures: Mapping[str, str] | None = None, **given: Any
) -> Any:
    """Run a test with the argument `check` once per check of plugin modules or components.

    `expected_failures` maps a check (`streaming`, `loud:streaming` or `extractor:loud:streaming`)
    to the reason why it fails; one that passes is an error. What a module says in
    SERTK_EXPECTED_FAILURES counts too, for its components. Further arguments are those of
    `checks_for`. Raises SertkError where nothing is to be checked, and for an unused argument.
    """
    import pytest

    params = [
        pytest.param(check, id=check.id, marks=_marks(check, reason))
        for check, reason in _with_reasons(subjects, expected_failures, given)
    ]
    return pytest.mark.parametrize("check", params)


def _with_reasons(
    subjects: tuple[Any, ...], failures: Mapping[str, str] | None, arguments: dict[str, Any]
) -> list[tuple[Check, str | None]]:
    if not subjects:
        raise SertkError(
            "sertk_checks expects something to check, received nothing",
            "Name your module or components: @sertk_checks(sertk_mine)",
        )
    given = given_of(**arguments)
    own: list[tuple[Check, str | None]] = []
    for subject in subjects:
        own += with_reasons(checks_given(subject, given), declared(subject))
    checks = fitting([check for check, _ in own], given)
    argued = with_reasons(checks, expected(failures or {}, "expected_failures"))
    return [
        (check, reason or own_reason)
        for (check, reason), (_, own_reason) in zip(argued, own, strict=True)
    ]


def _marks(check: Check, reason: str | None) -> list[Any]:
    import pytest

    marks: list[Any] = [pytest.mark.slow] if check.slow else []
    if reason is not None:
        marks.append(pytest.mark.xfail(raises=CheckFailed, strict=True, reason=reason))
    return marks
