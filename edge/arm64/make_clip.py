"""Write a WAV file in which somebody speaks, with silence around: made here, as nobody's voice."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import soundfile

from ser_toolkit.builtin.synthetic import SyntheticReader

RATE_HZ = 16_000
PAUSE_S = 3


def main(target: str) -> None:
    """Two emotions of one speaker."""
    with tempfile.TemporaryDirectory() as folder:
        clips = SyntheticReader(speakers=1, sentences=1).read(Path(folder)).clips
        spoken = [soundfile.read(clip.path, dtype="float32") for clip in clips]
    silence = np.zeros(PAUSE_S * RATE_HZ, np.float32)
    parts = [part for samples, _ in spoken[:2] for part in (silence, samples, silence)]
    assert {rate for _, rate in spoken} == {RATE_HZ}
    soundfile.write(target, np.concatenate(parts), RATE_HZ)


if __name__ == "__main__":
    main(sys.argv[1])
