"""What the device computes from a stream equals what training computes from the clip."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest

from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.component import configure
from ser_toolkit.runtime.features.base import Extractor, Joined, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.normalizer import Normalizer
from ser_toolkit.runtime.features.spectral import LogMel, Mfcc, Pitch
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.inputs import features, windows
from ser_toolkit.runtime.inference.streaming import AudioWindows, window_at

RATE_HZ = 16000
WINDOW = Window(length_frames=50, hop_frames=20)
CHUNKS = [160, 1024, 1280, 10**9]


def speech_like(n_samples: int) -> np.ndarray:
    rng = np.random.default_rng(0)
    time = np.arange(n_samples) / RATE_HZ
    tone = np.sin(2 * np.pi * 150 * time) * (1 + np.sin(2 * np.pi * 4 * time))
    return (0.2 * tone + 0.02 * rng.standard_normal(len(time))).astype(np.float32)


def extractors() -> dict[str, Extractor]:
    functionals = load_plugins(only=()).get("extractor", "functionals")
    return {
        "frames": Stack((LogMel(), Pitch(), Mfcc(frame_length=512, hop_length=256))),
        "windows": functionals,
        "joined": Joined((functionals,)),  # type: ignore[arg-type]
    }


def adapters_of(extractor: Extractor, signal: Signal) -> dict[str, Normalizer]:
    found = features(extractor, signal, WINDOW)
    return {
        name: Normalizer(np.full(a.shape[-1], 0.5, np.float32), np.full(a.shape[-1], 2, np.float32))
        for name, a in found.items()
    }


def streamed(stream: AudioWindows, samples: np.ndarray, chunk: int) -> list:
    found = [
        window
        for start in range(0, len(samples), chunk)
        for window in stream.push(samples[start : start + chunk])
    ]
    last = stream.finish()
    return found if last is None else [*found, last]


@pytest.mark.parametrize("kind", ["frames", "windows", "joined"])
def test_the_stream_gives_the_windows_of_the_clip(kind: str) -> None:
    extractor = extractors()[kind]
    for n_samples in (200, 9000, 13056, 22400, 35000):
        samples = speech_like(n_samples)
        signal = Signal(samples, RATE_HZ)
        normalizers = adapters_of(extractor, signal)
        expected = windows(extractor, WINDOW, normalizers, features(extractor, signal, WINDOW))
        # Sample by sample is slow, and there is more than one window from 22400 on.
        for chunk in (1 if n_samples <= 13056 else 37, *CHUNKS):
            found = streamed(AudioWindows(extractor, normalizers, WINDOW), samples, chunk)
            for name, arrays in expected.items():
                stacked = np.stack([window.inputs[name] for window in found])
                assert stacked.shape == arrays.shape, (n_samples, chunk)
                error = np.abs(stacked - arrays).max()
                assert error <= 1e-5 * np.abs(arrays).max(), (n_samples, chunk)


def test_windows_say_which_samples_they_cover() -> None:
    extractor, samples = extractors()["frames"], speech_like(35000)
    normalizers = adapters_of(extractor, Signal(samples, RATE_HZ))
    found = streamed(AudioWindows(extractor, normalizers, WINDOW), samples, 777)
    length = extractor.sample_count(50)
    frames = extractor.frame_count(35000)
    starts = [start * extractor.hop_length for start in WINDOW.starts(frames)]
    assert [(s.start, s.end) for s in found] == [(at, at + length) for at in starts]
    short = streamed(AudioWindows(extractor, normalizers, WINDOW), samples[:5000], 777)
    assert [(s.start, s.end) for s in short] == [(0, 5000)]


def test_a_stream_of_nothing_has_no_window() -> None:
    extractor = extractors()["frames"]
    normalizers = adapters_of(extractor, Signal(speech_like(9000), RATE_HZ))
    assert AudioWindows(extractor, normalizers, WINDOW).finish() is None


def test_short_audio_comes_as_it_is_to_what_takes_it() -> None:
    class Length(WindowExtractor):
        name = "length"
        takes_short = True
        rate_hz, frame_length, hop_length = 16000, 512, 256

        def arrays(self, signal: Signal) -> dict[str, np.ndarray]:
            return {"length": np.array([len(signal)], np.float32)}

    one = {"length": Normalizer(np.zeros(1, np.float32), np.ones(1, np.float32))}
    for n_samples, results in [(100, 512), (600, 600), (20000, 13056)]:
        found = streamed(AudioWindows(Length(), one, WINDOW), speech_like(n_samples), 300)
        assert found[0].inputs["length"].tolist() == [results]


def test_the_hop_of_the_stream_is_whole_frames() -> None:
    for hop_s, frames in ((0.5, 31), (0.001, 1), (1.504, 94)):
        assert window_at(WINDOW, LogMel(), hop_s) == Window(50, frames)


def test_it_follows_the_rate_of_the_extractor() -> None:
    slow = configure(LogMel(), {"rate_hz": 8000, "fmax_hz": 4000.0})
    assert window_at(WINDOW, slow, 0.5).hop_frames == 16  # type: ignore[arg-type]


def test_it_runs_without_the_training_libraries() -> None:
    code = (
        "import sys\n"
        "for name in ('tensorflow', 'keras', 'librosa', 'scipy', 'sklearn', 'matplotlib'):\n"
        "    sys.modules[name] = None\n"
        "import numpy as np\n"
        "from ser_toolkit.plugins.registry import load_plugins\n"
        "from ser_toolkit.runtime.features.normalizer import Normalizer\n"
        "from ser_toolkit.runtime.features.window import Window\n"
        "from ser_toolkit.runtime.inference.streaming import AudioWindows\n"
        "extractor = load_plugins().get('extractor', 'log_mel')\n"
        "ones = np.ones(len(extractor.columns), np.float32)\n"
        "stream = AudioWindows(extractor, {'frames': Normalizer(0 * ones, ones)}, Window(10, 5))\n"
        "print(len(list(stream.push(np.zeros(16000, np.float32)))))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 3
