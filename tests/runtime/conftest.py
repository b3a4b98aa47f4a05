"""Real bundles: built-in extractors, and tiny networks that TensorFlow converted."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.plugins.bundles import describe_parts
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.audio.decode import Audio
from ser_toolkit.runtime.bundle.file import write_bundle
from ser_toolkit.runtime.bundle.manifest import Manifest, Quantization
from ser_toolkit.runtime.bundle.selftest import make_selftest, synthetic_voice, tolerances
from ser_toolkit.runtime.component import to_spec
from ser_toolkit.runtime.features.base import F32, Stack
from ser_toolkit.runtime.features.normalizer import Normalizer, fit, normalizers_to_bytes
from ser_toolkit.runtime.features.spectral import LogMel, Mfcc
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.inputs import features, signal_of, windows
from ser_toolkit.runtime.inference.tflite import TfliteModel, TfliteRuntime
from ser_toolkit.runtime.npz import to_npz

Once = Callable[[str, Callable[[Path], object]], Path]
LABELS = ("anger", "joy", "neutral", "sadness")
WINDOW = Window(24, 12)
EXTRACTOR = Stack((LogMel(n_mels=12), Mfcc(n_mfcc=5, n_mels=20)))
RUNTIMES = (TfliteRuntime("ai-edge-litert", "2.3.0"), TfliteRuntime("tflite-runtime", "2.14.0"))


@dataclass(frozen=True)
class Tiny:
    """What the tiny bundles are made of; `networks` has the bytes per mode."""

    folder: Path
    audio: Audio
    normalizers: Mapping[str, Normalizer]
    inputs: F32
    expected: F32
    networks: Mapping[str, bytes]

    def parts(self, mode: str, **changes: Any) -> tuple[Manifest, dict[str, bytes]]:
        """Return manifest and members of a bundle, with fields of the manifest changed."""
        network = TfliteModel(self.networks[mode])
        check = make_selftest(EXTRACTOR, self.normalizers, WINDOW, network, 16000)
        fields: dict[str, Any] = {
            "name": "tiny",
            "created_by": "0.1.0",
            "labels": LABELS,
            "rate_hz": 16000,
            "window": WINDOW,
            "extractor": to_spec(EXTRACTOR),
            "parts": describe_parts(EXTRACTOR, load_plugins(only=())),
            "inputs": network.inputs,
            "quantization": Quantization(mode, {"calibrated_on": 10}),
            "runtimes": RUNTIMES,
            "thresholds": {"uncertain": 0.4},
            "tolerances": tolerances(mode),
            "training": {"seed": 1, "corpora": ["none"]},
            "figures": {"uar": 0.25},
        }
        members = {
            "model.tflite": self.networks[mode],
            "adapter.npz": normalizers_to_bytes(self.normalizers),
            "selftest.npz": to_npz(check),
            "split.json": b'{"clips": [{"hash": "00", "side": "test"}]}',
            "card.md": b"# tiny\n",
        }
        return Manifest(**{**fields, **changes}), members


@pytest.fixture(scope="session")
def tiny(once: Once, tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """Return networks as TensorFlow converts them, in a process of its own."""
    audio = Audio(synthetic_voice(3, 16000).astype(np.float32) / 32768, 16000)
    frames = features(EXTRACTOR, signal_of(audio, EXTRACTOR), WINDOW)
    normalizers = {"frames": fit([frames["frames"]])}
    inputs = windows(EXTRACTOR, WINDOW, normalizers, frames)["frames"]

    def convert(folder: Path) -> None:
        np.save(folder / "windows.npy", inputs)
        command = [sys.executable, str(Path(__file__).with_name("tiny_networks.py")), str(folder)]
        subprocess.run(command, check=True, capture_output=True, timeout=300, env=_quiet())

    made = once("tiny", convert)
    networks = {mode: (made / f"{mode}.tflite").read_bytes() for mode in ("float32", "int8")}
    expected = np.load(made / "keras.npy")
    return Tiny(tmp_path_factory.mktemp("tiny"), audio, normalizers, inputs, expected, networks)


@pytest.fixture(scope="session")
def bundles(tiny: Tiny) -> dict[str, Path]:
    """Return bundle files per mode; not to be changed."""
    paths = {mode: tiny.folder / f"{mode}.sertk" for mode in tiny.networks}
    for mode, path in paths.items():
        write_bundle(path, *tiny.parts(mode))
    return paths


@pytest.fixture
def make(tiny: Tiny, tmp_path: Path) -> Callable[..., Path]:
    """Write a float32 bundle of its own for a test, with fields of the manifest changed."""

    def make(mode: str = "float32", **changes: Any) -> Path:
        path = tmp_path / "own.sertk"
        write_bundle(path, *tiny.parts(mode, **changes))
        return path

    return make


def _quiet() -> dict[str, str]:
    return {**os.environ, "CUDA_VISIBLE_DEVICES": "", "TF_CPP_MIN_LOG_LEVEL": "3"}
