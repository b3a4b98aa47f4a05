"""Make and run the self-test of a bundle: a signal whose features and output the export stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..audio.decode import Audio
from ..features.base import F32, Extractor
from ..features.dsp import F64
from ..features.normalizer import Normalizer
from ..features.window import Window
from ..inference.classifier import BundleClassifier
from ..inference.inputs import features, signal_of, windows
from ..inference.tflite import TfliteModel
from .container import BundleError
from .manifest import Tolerances

FULL_SCALE = np.float32(32768)
PREFIX = "features."
# How far two machines may differ, per quantization mode.
#
# Features: numpy's and scipy's FFT, on x86-64 with numpy 1.26 and 2.4, differ by up to 3e-5
# standard deviations; one wrong coefficient is worth thousands of that.
# Output, LiteRT 2.3 against tflite-runtime 2.14 on one CPU: float32 6e-8 to 2e-7, float16 2e-7,
# dynamic 5e-4, int16x8 9e-5, int8 1 to 6 steps of 1/256. Another CPU adds 2.5e-6 in float32.
FEATURES = 1e-3
OUTPUT = {"float32": 1e-4, "float16": 1e-3, "dynamic": 1e-2, "int8": 5e-2, "int16x8": 5e-3}


def tolerances(mode: str) -> Tolerances:
    """Return the tolerances of a network quantized in this mode."""
    return Tolerances(FEATURES, OUTPUT[mode])


@dataclass(frozen=True)
class SelfTest:
    """How far features (in standard deviations) and output (in probability) were off."""

    feature_error: float
    output_error: float
    tolerances: Tolerances

    @property
    def ok(self) -> bool:
        """Say whether both are within their tolerance."""
        within = self.tolerances
        return self.feature_error <= within.features and self.output_error <= within.output

    def __str__(self) -> str:
        return (
            f"features off by {self.feature_error:.2g} standard deviations "
            f"(allowed {self.tolerances.features:.2g}), "
            f"probabilities off by {self.output_error:.2g} "
            f"(allowed {self.tolerances.output:.2g})"
        )


def make_selftest(
    extractor: Extractor,
    normalizers: Mapping[str, Normalizer],
    window: Window,
    network: TfliteModel,
    rate_hz: int,
) -> dict[str, NDArray[Any]]:
    """Return the arrays of `selftest.npz`: int16 samples, raw features, output of the network.

    The signal fills one window: it is the largest part of a small bundle.

    Args:
        extractor: Ready to run.
        normalizers: One per network input.
        window: How windows are cut.
        network: What is exported.
        rate_hz: The rate of the samples, that of the corpus.
    """
    n_samples = extractor.sample_count(window.length_frames)
    start_s = extractor.span_s[0] if extractor.span_s else 0.0
    samples = synthetic_voice(start_s + n_samples / extractor.rate_hz, rate_hz)
    arrays = features(extractor, signal_of(_audio(samples, rate_hz), extractor), window)
    output = network.outputs(windows(extractor, window, normalizers, arrays))
    named = {f"{PREFIX}{name}": values for name, values in arrays.items()}
    return {"samples": samples, "output": output, **named}


def run_selftest(
    classifier: BundleClassifier, arrays: Mapping[str, NDArray[Any]], tolerances: Tolerances
) -> SelfTest:
    """Compute features and output again and compare them.

    Args:
        classifier: The opened bundle.
        arrays: Those of `make_selftest`.
        tolerances: How far they may differ.

    Raises:
        BundleError: Where shapes differ.
    """
    audio = _audio(arrays["samples"], classifier.manifest.rate_hz)
    computed = classifier.features(audio)
    output = classifier.network.outputs(classifier.standardised(computed))
    _check_shapes(computed, output, arrays)
    errors = [
        np.abs(values - arrays[PREFIX + name]) / classifier.normalizers[name].std
        for name, values in computed.items()
    ]
    worst = max(float(error.max()) for error in errors)
    return SelfTest(worst, float(np.abs(output - arrays["output"]).max()), tolerances)


def check_selftest(classifier: BundleClassifier, arrays: Mapping[str, NDArray[Any]]) -> SelfTest:
    """Run the self-test with the manifest's tolerances. Raise BundleError where it disagrees."""
    result = run_selftest(classifier, arrays, classifier.manifest.tolerances)
    if not result.ok:
        raise BundleError(
            f"the self-test disagrees with the export: {result}",
            "Do not use it here; export it again, or install the versions it was made with",
        )
    return result


def synthetic_voice(duration_s: float, rate_hz: int) -> NDArray[np.int16]:
    """Synthesize syllables of gliding harmonics with noise between them: int16, peak -6 dBFS."""
    time_s = np.arange(int(np.ceil(duration_s * rate_hz))) / rate_hz
    f0_hz = 160 * 2 ** (0.4 * np.sin(2 * np.pi * 0.7 * time_s))
    phase = 2 * np.pi * np.cumsum(f0_hz) / rate_hz
    orders = range(1, int(min(20, rate_hz / 2 // f0_hz.max())) + 1)
    voiced = sum((np.sin(order * phase) / order for order in orders), np.zeros(len(time_s)))
    syllable = np.sin(2 * np.pi * 2.2 * time_s)
    noise = np.random.default_rng(7).standard_normal(len(time_s))
    mixed = voiced * np.maximum(syllable, 0) + 0.2 * noise * np.maximum(-syllable, 0.02)
    return _to_pcm(mixed / np.abs(mixed).max() / 2)


def _to_pcm(samples: F64) -> NDArray[np.int16]:
    return np.round(samples * 32767).astype(np.int16)


def _audio(samples: NDArray[np.int16], rate_hz: int) -> Audio:
    return Audio(samples.astype(np.float32) / FULL_SCALE, rate_hz)


def _check_shapes(
    computed: Mapping[str, F32], output: F32, arrays: Mapping[str, NDArray[Any]]
) -> None:
    shapes = {PREFIX + name: values.shape for name, values in computed.items()}
    shapes["output"] = output.shape
    expected = {name: arrays[name].shape for name in arrays if name != "samples"}
    if shapes != expected:
        raise BundleError(
            f"the self-test gives shapes {shapes}, the export {expected}", "Export it again"
        )
