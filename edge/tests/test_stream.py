"""What the device computes from a stream equals what training computes from the clip."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ser_toolkit.runtime.adapter import Adapter
from ser_toolkit.runtime.extractor import FrameExtractor, Signal, Stack
from ser_toolkit.runtime.features import LogMel, Mfcc, Pitch
from ser_toolkit.runtime.window import Window
from sertk_edge import AudioWindows

RATE_HZ = 16000
WINDOW = Window(length_frames=50, hop_frames=20)


def speech_like(seconds: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(int(seconds * RATE_HZ)) / RATE_HZ
    tone = np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 4 * time))
    return (0.2 * tone + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def setup() -> tuple[FrameExtractor, Adapter]:
    extractor = Stack((LogMel(), Pitch(), Mfcc(frame_length=512, hop_length=256)))
    n = len(extractor.columns)
    return extractor, Adapter(np.full(n, 0.5, np.float32), np.full(n, 2, np.float32))


@pytest.mark.parametrize("chunk", [1, 160, 1024, 1280, 10**9])
def test_the_stream_gives_the_windows_of_the_clip(chunk: int) -> None:
    samples = speech_like(1.4 if chunk == 1 else 4.0)
    extractor, adapter = setup()
    stream = AudioWindows(extractor, adapter, WINDOW)
    streamed = [
        window
        for start in range(0, len(samples), chunk)
        for window in stream.push(samples[start : start + chunk])
    ]
    frames, _ = adapter.apply(extractor.frames(Signal(samples, RATE_HZ)))
    starts = range(0, len(frames) - WINDOW.length_frames + 1, WINDOW.hop_frames)
    expected = np.stack([frames[s : s + WINDOW.length_frames] for s in starts])
    assert len(streamed) == len(expected) > 0
    assert np.abs(np.stack(streamed) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_it_runs_without_the_training_libraries() -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'librosa', 'scipy', 'sklearn', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from ser_toolkit.plugins import load_plugins\n"
        "from ser_toolkit.runtime.adapter import Adapter\n"
        "from ser_toolkit.runtime.window import Window\n"
        "from sertk_edge import AudioWindows\n"
        "extractor = load_plugins().extractor('log_mel')\n"
        "ones = np.ones(len(extractor.columns), np.float32)\n"
        "stream = AudioWindows(extractor, Adapter(0 * ones, ones), Window(10, 5))\n"
        "print(len(list(stream.push(np.zeros(16000, np.float32)))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
