"""The augmenters keep to the contract."""

from __future__ import annotations

from collections.abc import Callable

import sertk_augment
from ser_toolkit.testing import Check, sertk_checks
from sertk_augment import Stretch


@sertk_checks(sertk_augment)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


def test_a_rate_that_is_drawn(conforms: Callable[..., None]) -> None:
    conforms(Stretch(rate_min=0.8, rate_max=1.25))
