"""The augmenter keeps to the contract, with every transform of the library."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
import soundfile

import sertk_audiomentations
from ser_toolkit.testing import Check, asset, sertk_checks
from sertk_audiomentations import Audiomentations
from sertk_audiomentations.library import EXTRAS, RECORDED, defaults, transforms


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


# Quiet speech has nothing to clip, and no filter peaks above half of the rate.
FAILING = {"Clip": "effect", "PeakingFilter": "other_rate"}


@pytest.mark.slow
def test_every_transform(conforms: Callable[..., None]) -> None:
    for package in EXTRAS:
        pytest.importorskip(package, exc_type=ImportError)
    for name in transforms():
        recordings = asset(CONTENT, "room.wav") if name in RECORDED else None
        params = {key: value for key, value in defaults(name).items() if value is not None}
        failing = [FAILING[name]] if name in FAILING else []
        assets = [CONTENT] if recordings else []
        conforms(Audiomentations(name, params, recordings), *failing, assets=assets)


def test_one_in_compiled_code(conforms: Callable[..., None]) -> None:
    conforms(Audiomentations("TimeStretch", {"max_rate": 1.5}))
