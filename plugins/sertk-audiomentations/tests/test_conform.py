"""One transform of each sort keeps to the contract; every other: test_audiomentations.py."""

from __future__ import annotations

import io

import numpy as np
import soundfile

import sertk_audiomentations
from ser_toolkit.testing import Check, asset, sertk_checks
from sertk_audiomentations import Audiomentations


def recording() -> bytes:
    """Return a decaying noise, at a rate of its own: a background, a click or a room."""
    noise = np.random.default_rng(1).standard_normal(4000) * np.exp(-np.arange(4000) / 400)
    file = io.BytesIO()
    soundfile.write(file, 0.2 * noise, 8000, format="WAV")
    return file.getvalue()


CONTENT = recording()


@sertk_checks(sertk_audiomentations)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


@sertk_checks(Audiomentations("Resample"))
def test_one_that_alters_the_length(check: Check) -> None:
    check()


@sertk_checks(Audiomentations("TimeStretch", {"max_rate": 1.5}))
def test_one_in_compiled_code(check: Check) -> None:
    check()


@sertk_checks(
    Audiomentations("ApplyImpulseResponse", recordings=asset(CONTENT, "room.wav")),
    assets=[CONTENT],
)
def test_one_with_recordings(check: Check) -> None:
    check()
