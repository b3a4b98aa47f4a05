"""How loud the training speech was, augmented copies included."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit.builtin.augmenters import Gain
from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.data.feature_store import Features
from ser_toolkit.data.levels import speech_level_range
from ser_toolkit.runtime.audio.decode import content_hash, read_audio
from ser_toolkit.runtime.features.spectral import Rms
from ser_toolkit.runtime.features.window import Window

RATE_HZ = 16_000


@pytest.fixture
def clips(tmp_path: Path) -> list[Utterance]:
    """Tones from -40 to -20 dBFS, one decibel apart."""
    wave = np.sqrt(2) * np.sin(2 * np.pi * 250 * np.arange(RATE_HZ) / RATE_HZ)
    found = []
    for level in range(-40, -19):
        path = tmp_path / f"{-level}.wav"
        soundfile.write(path, wave * 10 ** (level / 20), RATE_HZ, subtype="FLOAT")
        content = content_hash(read_audio(path))
        found.append(Utterance(Clip(path, path.name, "tones", "joy"), content, 1.0))
    return found


def test_the_range_is_that_of_clips_and_copies(clips: list[Utterance]) -> None:
    def measured(gain: Gain, copies: int) -> dict[str, float]:
        features = Features(Rms(), Window(), (gain,), 0, lambda asset: b"")
        return speech_level_range(features, clips, copies)

    assert measured(Gain(), 0) == {"low_dbfs": -39.0, "high_dbfs": -21.0}
    down = measured(Gain(p=1.0, db_min=-10.0, db_max=-10.0), 1)
    assert down == {"low_dbfs": pytest.approx(-47.95, abs=0.2), "high_dbfs": down["high_dbfs"]}
    assert down["high_dbfs"] == pytest.approx(-22, abs=0.3)
