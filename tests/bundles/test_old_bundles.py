"""Bundles that were written long ago: each is read, believed, tested and used, for ever."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_toolkit.plugins.bundles import open_bundle
from ser_toolkit.runtime.audio.decode import Audio
from ser_toolkit.runtime.bundle.file import parse_bundle, read_bytes
from ser_toolkit.runtime.bundle.manifest import FORMAT, SpeechLevel
from ser_toolkit.runtime.bundle.selftest import synthetic_voice

FOLDER = Path(__file__).parent
BUNDLES = sorted(path.relative_to(FOLDER).as_posix() for path in FOLDER.rglob("*.sertk"))


def test_there_is_one_trained_bundle_of_each_format() -> None:
    formats = {int(name.partition("/")[0].removeprefix("v")) for name in BUNDLES}
    assert formats == set(range(1, FORMAT + 1))
    assert "v1/synthetic-msf.sertk" in BUNDLES


@pytest.mark.parametrize("name", BUNDLES)
def test_it_is_read_and_answers(name: str) -> None:
    bundle = parse_bundle(read_bytes(FOLDER / name))
    assert bundle.manifest.format == int(name.partition("/")[0].removeprefix("v"))
    assert bundle.card.startswith("#") and bundle.split["clips"]
    classifier = open_bundle(FOLDER / name)
    audio = Audio(synthetic_voice(4.0, 16000).astype(np.float32) / 32768, 16000)
    answer = classifier.window_probabilities(audio).mean(axis=0)
    assert answer.shape == (len(classifier.labels),)
    assert answer.sum() == pytest.approx(1, abs=0.02)


def test_the_first_one_of_all_is_as_it_was() -> None:
    bundle = parse_bundle(read_bytes(FOLDER / "v1/tiny.sertk"))
    assert bundle.manifest.labels == ("anger", "joy", "neutral", "sadness")
    assert bundle.manifest.extractor["name"] == "rms"
    assert bundle.selftest["output"].shape == (2, 4)


def test_the_level_of_training_came_with_the_second_format() -> None:
    manifests = {name: parse_bundle(read_bytes(FOLDER / name)).manifest for name in BUNDLES}
    levels = {name: manifest.speech_level for name, manifest in manifests.items()}
    assert levels.pop("v2/tiny.sertk") == SpeechLevel(-33.0, -15.0)
    assert set(levels.values()) == {None}


def test_the_trained_one_is_an_honest_synthetic_one() -> None:
    bundle = parse_bundle(read_bytes(FOLDER / "v1/synthetic-msf.sertk"))
    assert bundle.manifest.quantization.mode == "int8"
    assert bundle.manifest.training["synthetic"] is True
    assert "say nothing about human voices" in bundle.card
    assert {clip["side"] for clip in bundle.split["clips"]} == {"train", "validation", "test"}
    assert (FOLDER / "v1/synthetic-msf.sertk").stat().st_size < 400_000
