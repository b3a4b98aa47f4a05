"""The extractor and its recipe keep to the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import sertk_opensmile
from ser_toolkit.testing import Check, sertk_checks
from sertk_opensmile import OpenSmile
from sertk_opensmile.extractor import FeatureSet


@sertk_checks(sertk_opensmile)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("feature_set", ["IS09", "ComParE_2016"])
def test_other_sets(feature_set: FeatureSet, conforms: Callable[..., None]) -> None:
    conforms(OpenSmile(feature_set))
