"""The extractor and its recipe keep to the contract."""

from __future__ import annotations

import sertk_opensmile
from ser_toolkit.testing import Check, sertk_checks
from sertk_opensmile import OpenSmile


@sertk_checks(sertk_opensmile)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


@sertk_checks(OpenSmile("IS09"), OpenSmile("ComParE_2016"))
def test_other_sets(check: Check) -> None:
    check()
