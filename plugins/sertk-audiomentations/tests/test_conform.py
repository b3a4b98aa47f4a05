"""Every transform keeps to the contract of augmenters."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import soundfile

import sertk_audiomentations
from ser_toolkit.testing import Check, asset, sertk_checks
from sertk_audiomentations.recordings import Recorded


def recording() -> bytes:
    """A decaying noise, at a rate of its own: a background, a click or a room."""
    noise = np.random.default_rng(1).standard_normal(4000) * np.exp(-np.arange(4000) / 400)
    file = io.BytesIO()
    soundfile.write(file, 0.2 * noise, 8000, format="WAV")
    return file.getvalue()


CONTENT = recording()
RECORDED = [
    dataclasses.replace(one, **{one.source: asset(CONTENT, "noise.wav")})
    for one in sertk_audiomentations.sertk_augmenters()
    if isinstance(one, Recorded)
]


@sertk_checks(sertk_audiomentations)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


@sertk_checks(*RECORDED, assets=[CONTENT])
def test_with_recordings_too(check: Check) -> None:
    check()
