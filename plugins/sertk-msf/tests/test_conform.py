"""Extractors, network and recipes keep to the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

import sertk_msf
from ser_toolkit import FrameExtractor, Mfcc, Rms, Stack, Zcr
from ser_toolkit.testing import Check, sertk_checks
from sertk_msf import Msf, MsfStats

GRID_16 = Msf(rate_hz=16000, frame_length=4096, hop_length=256)
WIDE = Msf(rate_hz=16000, frame_length=4096, hop_length=1024, high_hz=8000.0)
OTHERS = (
    GRID_16,
    Msf(frame_length=8 * 250, hop_length=8 * 15, n_acoustic=4, n_modulation=3),
    Msf(frame_length=8 * 900, hop_length=8 * 300),
    Stack((Rms(), GRID_16)),
    Stack((Rms(frame_length=8192), GRID_16)),
    Stack((GRID_16, Mfcc(), Zcr(), Rms())),
    MsfStats(of=WIDE),
)


@sertk_checks(sertk_msf)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


@pytest.mark.parametrize("extractor", OTHERS, ids=lambda one: one.name)
def test_with_other_parameters(extractor: FrameExtractor, conforms: Callable[..., None]) -> None:
    conforms(extractor)
