"""Extractors, network and recipes keep to the contract."""

from __future__ import annotations

import sertk_msf
from ser_toolkit.testing import Check, sertk_checks
from sertk_msf import Msf


@sertk_checks(sertk_msf)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


GRIDS = (
    Msf(rate_hz=16000, frame_length=4096, hop_length=256),
    Msf(frame_length=8 * 250, hop_length=8 * 15, n_acoustic=4, n_modulation=3),
    Msf(frame_length=8 * 900, hop_length=8 * 300),
)


@sertk_checks(*GRIDS)
def test_on_other_grids(check: Check) -> None:
    check()
