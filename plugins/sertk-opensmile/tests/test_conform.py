"""The extractor and its recipe keep to the contract."""

from __future__ import annotations

import sertk_opensmile
from ser_toolkit.testing import Check, sertk_checks


@sertk_checks(sertk_opensmile)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()
