"""A bundle at work: equal to Keras on the same audio, and refused where it could not be."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.runtime.audio.decode import Audio, resample
from ser_toolkit.runtime.bundle.file import BundleError, parse_bundle, read_bytes
from ser_toolkit.runtime.bundle.manifest import Part, Quantization, Tolerances
from ser_toolkit.runtime.bundle.selftest import (
    check_selftest,
    make_selftest,
    run_selftest,
    synthetic_voice,
    tolerances,
)
from ser_toolkit.runtime.component import to_spec
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import F32, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.normalizer import fit, unaltered
from ser_toolkit.runtime.features.spectral import LogMel, Mfcc, Pitch
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.classifier import (
    BundleClassifier,
    Classifier,
    build_classifier,
    container,
)
from ser_toolkit.runtime.inference.inputs import features, signal_of
from ser_toolkit.runtime.inference.tflite import TfliteModel, TfliteRuntime

Make = Callable[..., Path]
INSTALLED = {item.name: item for item in (LogMel(), Mfcc(), Pitch())}
HEAVY = ("scipy", "tensorflow", "keras", "librosa", "cryptography", "pluggy", "rich", "click")


def opened(path: Path) -> BundleClassifier:
    return build_classifier(parse_bundle(read_bytes(path)), INSTALLED.__getitem__)


def refused(path: Path) -> str:
    with pytest.raises(BundleError) as error:
        opened(path)
    return str(error.value)


@dataclass(frozen=True)
class Later(WindowExtractor):
    """The level of each window, of what lies between 0.5 s and 1.5 s."""

    name: ClassVar[str] = "later"
    rate_hz: int = 8000
    frame_length: int = 80
    hop_length: int = 80

    @property
    def span_s(self) -> tuple[float, float]:
        return 0.5, 1.5

    @property
    def columns(self) -> tuple[str, ...]:
        return ("level",)

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"level": np.array([np.abs(signal.samples).mean()], np.float32)}


@pytest.mark.parametrize(("mode", "error"), [("float32", 1e-5), ("int8", 0.03)])
def test_it_answers_as_keras_does_on_the_same_audio(
    tiny: Any, bundles: dict[str, Path], mode: str, error: float
) -> None:
    classifier = opened(bundles[mode])
    found = classifier.window_probabilities(tiny.audio)
    np.testing.assert_allclose(found, tiny.expected, atol=error)
    assert classifier.labels == ("anger", "joy", "neutral", "sadness")


def test_audio_at_another_rate_is_resampled(tiny: Any, bundles: dict[str, Path]) -> None:
    classifier = opened(bundles["float32"])
    faster = Audio(resample(tiny.audio.samples, tiny.audio.rate_hz, 48000), 48000)
    found = classifier.window_probabilities(faster)
    assert len(found) == len(tiny.expected)
    np.testing.assert_allclose(
        found.mean(axis=0), classifier.window_probabilities(tiny.audio).mean(axis=0), atol=0.02
    )


@pytest.mark.parametrize("n_samples", [1, 400, 6000, 8000, 20000, 40000])
def test_times_are_those_of_the_samples_of_each_window(
    tiny: Any, bundles: dict[str, Path], n_samples: int
) -> None:
    classifier = opened(bundles["float32"])
    audio = Audio(tiny.audio.samples[:n_samples], 16000)
    before = classifier.window_probabilities(audio)
    times = classifier.times(audio)
    assert len(times) == len(before)
    for index, (start_s, end_s) in enumerate(times):
        assert 0 <= start_s < end_s <= n_samples / 16000
        first, end = round(start_s * 16000), round(end_s * 16000)
        if n_samples >= 512 + 23 * 256:
            alone = Audio(audio.samples[first:end], 16000)
            np.testing.assert_allclose(
                classifier.window_probabilities(alone)[0], before[index], atol=1e-4
            )


def test_times_count_from_the_start_of_the_clip_where_only_a_part_is_used(
    bundles: dict[str, Path],
) -> None:
    classifier = opened(bundles["float32"])
    normalizers = {"level": unaltered(1)}
    later = Classifier("later", (), Later(), Window(40, 20), normalizers, classifier.network)
    audio = Audio(synthetic_voice(3, 8000).astype(np.float32) / 32768, 8000)
    times = later.times(audio)
    np.testing.assert_allclose(times, [(0.5 + 0.2 * i, 0.9 + 0.2 * i) for i in range(4)])
    levels = later.features(audio)["level"][:, 0]
    for (start_s, end_s), level in zip(times, levels, strict=True):
        used = audio.samples[round(start_s * 8000) : round(end_s * 8000)]
        assert level == pytest.approx(np.abs(used).mean(), rel=1e-5)


def test_uncertain_is_below_the_threshold(bundles: dict[str, Path]) -> None:
    classifier = opened(bundles["float32"])
    assert classifier.uncertain(np.array([0.3, 0.39, 0.2, 0.11], np.float32))
    assert not classifier.uncertain(np.array([0.3, 0.41, 0.2, 0.09], np.float32))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"version": 9}, "version 9, version 1 is installed. Run `pip install sertk-x==2.5`"),
        ({"name": "msf9"}, "'msf9' version 1: it is not installed. Run `pip install sertk-x==2"),
    ],
)
def test_extractors_that_are_not_here_are_refused_with_the_pip_line(
    make: Make, change: dict[str, Any], reason: str
) -> None:
    part = Part("log_mel", 1, "sertk-x", "2.5")
    parts = (Part("stack", 1, "ser-toolkit", "0.1.0"), replace(part, **change))
    assert reason in refused(make(parts=parts))


def test_parts_and_extractor_must_agree(make: Make) -> None:
    spec = to_spec(Stack((LogMel(n_mels=12), Mfcc(n_mfcc=5, n_mels=20))))
    parts = [Part(name, 1, "ser-toolkit", "0.1.0") for name in ("stack", "log_mel", "mfcc")]
    assert "manifest.parts lacks 'mfcc'" in refused(make(parts=tuple(parts[:2])))
    more = (*parts, Part("pitch", 1, "ser-toolkit", "0.1.0"))
    assert "manifest.extractor and manifest.parts differ" in refused(make(parts=more))
    with pytest.raises(SertkError, match="version 3 expected, version 1 installed"):
        opened(make(extractor={**spec, "version": 3}))
    with pytest.raises(SertkError, match="no parameter 'n_mules'"):
        opened(make(extractor={**spec, "parts": [{**spec["parts"][0], "n_mules": 3}]}))
    with pytest.raises(SertkError, match="at least one extractor"):
        opened(make(extractor={"name": "stack", "version": 1}))


def test_another_rate_than_the_extractors_is_refused(make: Make) -> None:
    assert "for 8000 Hz, its extractor for 16000 Hz" in refused(make(rate_hz=8000))


def test_a_network_that_does_not_fit_the_manifest_is_refused(tiny: Any, make: Make) -> None:
    assert "the manifest {'frames': (25, 17)}" in refused(make(inputs={"frames": (25, 17)}))
    names = ("a", "b", "c")
    check = parse_bundle(read_bytes(make())).selftest
    assert check["output"].shape == (1, 4)
    with pytest.raises(BundleError, match=r"output \(W, labels\)"):
        make(labels=names)


def test_a_runtime_that_the_bundle_was_not_proven_on_is_refused(make: Make) -> None:
    path = make(runtimes=(TfliteRuntime("another-runtime", "1.0"),))
    with pytest.raises(SertkError, match="proven on another-runtime, and ai-edge-litert is"):
        opened(path)


def test_containers_are_known_and_nothing_else() -> None:
    found = container("stack")
    assert isinstance(found, Stack) and found.parts == ()
    assert container("log_mel") is None


@pytest.mark.parametrize("mode", ["float32", "int8"])
def test_the_self_test_agrees_with_its_export(bundles: dict[str, Path], mode: str) -> None:
    bundle = parse_bundle(read_bytes(bundles[mode]))
    result = check_selftest(opened(bundles[mode]), bundle.selftest)
    assert result.ok and result.feature_error <= 1e-4
    assert bundle.manifest.tolerances == tolerances(mode)


def test_the_self_test_fills_a_window_with_sound(bundles: dict[str, Path]) -> None:
    arrays = parse_bundle(read_bytes(bundles["float32"])).selftest
    assert arrays["output"].shape == (1, 4)
    assert 0.4 < np.abs(arrays["samples"] / 32768).max() <= 0.5
    blocks = arrays["samples"][: len(arrays["samples"]) // 800 * 800].reshape(-1, 800)
    assert (np.abs(blocks).max(axis=1) > 100).all()
    np.testing.assert_array_equal(synthetic_voice(0.7, 16000), synthetic_voice(0.7, 16000))


def test_the_self_test_of_a_part_of_a_clip_reaches_into_that_part() -> None:
    network = FakeNetwork()
    arrays = make_selftest(Later(), {"level": unaltered(1)}, Window(40, 20), network, 8000)  # type: ignore[arg-type]
    assert len(arrays["features.level"]) == 1
    assert len(arrays["samples"]) == 8000 // 2 + 40 * 80


class FakeNetwork:
    """Answers with what it is given."""

    def outputs(self, inputs: dict[str, F32]) -> F32:
        return np.stack([inputs["level"][:, 0]] * 2, axis=1)


def test_other_numbers_are_shown(tiny: Any, bundles: dict[str, Path]) -> None:
    bundle = parse_bundle(read_bytes(bundles["float32"]))
    classifier = opened(bundles["float32"])
    shifted = dict(bundle.selftest)
    shifted["features.frames"] = shifted["features.frames"].copy()
    std = bundle.normalizers["frames"].std
    shifted["features.frames"][3, 5] += 0.25 * std[5]
    with pytest.raises(BundleError, match=r"off by 0\.25 standard deviations \(allowed 0\.001\)"):
        check_selftest(classifier, shifted)
    other = dict(bundle.selftest, output=bundle.selftest["output"] + np.float32(0.25))
    with pytest.raises(BundleError, match=r"probabilities off by 0\.25 \(allowed 0\.0001\)"):
        check_selftest(classifier, other)
    assert run_selftest(classifier, other, Tolerances(1e-3, 0.26)).ok


def test_another_network_fails_the_self_test(tiny: Any, make: Make) -> None:
    classifier = opened(make())
    swapped = replace(classifier, network=TfliteModel(tiny.networks["int8"]))
    arrays = dict(parse_bundle(read_bytes(make())).selftest)
    assert run_selftest(swapped, arrays, tolerances("int8")).ok
    assert not run_selftest(swapped, arrays, tolerances("float32")).ok


def test_other_shapes_fail_the_self_test(bundles: dict[str, Path]) -> None:
    arrays = dict(parse_bundle(read_bytes(bundles["float32"])).selftest)
    arrays["samples"] = arrays["samples"][:-300]
    with pytest.raises(BundleError, match="the self-test gives shapes"):
        run_selftest(opened(bundles["float32"]), arrays, tolerances("float32"))


def test_both_fast_fourier_transforms_pass_and_nothing_heavy_is_imported(
    bundles: dict[str, Path],
) -> None:
    script = (
        "import sys, json\nfrom pathlib import Path\n"
        "sys.modules['scipy'] = sys.modules['scipy.fft'] = None\n"
        "from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes\n"
        "from ser_toolkit.runtime.inference.classifier import build_classifier\n"
        "from ser_toolkit.runtime.bundle.selftest import check_selftest\n"
        "from ser_toolkit.runtime.features.spectral import LogMel, Mfcc\n"
        "bundle = parse_bundle(read_bytes(Path(sys.argv[1])))\n"
        "known = {item.name: item for item in (LogMel(), Mfcc())}\n"
        "classifier = build_classifier(bundle, known.__getitem__)\n"
        "result = check_selftest(classifier, bundle.selftest)\n"
        f"heavy = [n for n in {HEAVY} if sys.modules.get(n)]\n"
        "print(json.dumps([result.feature_error, result.output_error, heavy]))\n"
    )
    command = [sys.executable, "-c", script, str(bundles["float32"])]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    feature_error, output_error, heavy = json.loads(done.stdout)
    assert 0 <= feature_error < 1e-4 and output_error < 1e-5
    assert heavy == []


def test_every_mode_has_a_tolerance(make: Make) -> None:
    for mode in ("float32", "float16", "dynamic", "int8", "int16x8"):
        path = make(quantization=Quantization(mode), tolerances=tolerances(mode))
        assert 0 < parse_bundle(read_bytes(path)).manifest.tolerances.output <= 0.05
    with pytest.raises(KeyError):
        tolerances("int4")


def test_features_are_those_of_training(tiny: Any, bundles: dict[str, Path]) -> None:
    classifier = opened(bundles["float32"])
    extractor = Stack((LogMel(n_mels=12), Mfcc(n_mfcc=5, n_mels=20)))
    frames = features(extractor, signal_of(tiny.audio, extractor), Window(24, 12))["frames"]
    np.testing.assert_array_equal(classifier.features(tiny.audio)["frames"], frames)
    np.testing.assert_array_equal(classifier.normalizers["frames"].mean, fit([frames]).mean)
