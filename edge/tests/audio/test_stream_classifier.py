"""The stream, by replaying real clips: streamed = offline, whatever the chunks, rates and gaps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from ser_toolkit import open_bundle
from ser_toolkit.runtime.audio.decode import read_audio, resample
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from ser_toolkit.runtime.features.base import Signal
from ser_toolkit.runtime.inference.classifier import Classifier
from ser_toolkit.runtime.inference.inputs import features
from ser_toolkit.runtime.inference.streaming import window_at
from sertk_edge.audio.resampler import Resampler
from sertk_edge.audio.stream_classifier import StreamClassifier, StreamResult
from sertk_edge.audio.vad import detectors
from sertk_edge.settings import SmoothingSettings, StreamSettings

RATE_HZ = 16_000
QUIET = SmoothingSettings(min_duration_s=0.0, refractory_s=0.0)


@pytest.fixture(scope="module")
def classifiers(tiny_bundle: Path, voice_bundle: Path) -> dict[str, Classifier]:
    """One at 16 kHz, one at 8 kHz."""
    paths = {"tiny": tiny_bundle, "voice": voice_bundle}
    return {name: open_bundle(path, check=False) for name, path in paths.items()}


@pytest.fixture(scope="module")
def speech(data_dir: Path) -> np.ndarray:
    """Eight clips of EMO-DB, long and short, with pauses between them."""
    paths = sorted((data_dir / "emodb/wav").glob("*.wav"))[::70]
    rng = np.random.default_rng(1)
    pause = (1e-4 * rng.standard_normal(int(1.2 * RATE_HZ))).astype(np.float32)
    parts = [part for path in paths for part in (pause, read_audio(path).samples)]
    return np.concatenate([*parts, pause])


def listen(
    stream: StreamClassifier, samples: np.ndarray, chunk: int, rate_hz: int = RATE_HZ
) -> StreamResult:
    results = StreamResult()
    for first in range(0, len(samples), chunk):
        results += stream.push(samples[first : first + chunk], rate_hz)
    results += stream.finish()
    return results


def make(classifier: Classifier, gate: str = "energy", **stream: float) -> StreamClassifier:
    settings = StreamSettings(gate=gate, **stream)  # type: ignore[arg-type]
    return StreamClassifier(classifier, settings, QUIET, detectors(settings))


@pytest.mark.parametrize("name", ["tiny", "voice"])
@pytest.mark.parametrize("gate", ["silero", "energy"])
def test_what_is_predicted_for_an_utterance_is_what_training_computes(
    name: str, gate: str, classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    classifier = classifiers[name]
    results = listen(make(classifier, gate), speech, 1280)
    rate_hz = classifier.extractor.rate_hz
    stream = Resampler(RATE_HZ, rate_hz)
    samples = np.concatenate([stream.push(speech), stream.finish()])
    window = window_at(classifier.manifest.window, classifier.extractor, 0.5)
    expected = []
    classified = [segment for segment in results.segments if segment.classified]
    for segment in classified:
        ends = round(segment.start_s * rate_hz), round(segment.end_s * rate_hz)
        signal = Signal(samples[slice(*ends)], rate_hz)
        frames = features(classifier.extractor, signal, window)["frames"]
        adapted, _ = classifier.normalizers["frames"].apply(frames)
        expected.append(classifier.network({"frames": window.cut(adapted)}))
    found = np.stack([prediction.probabilities for prediction in results.predictions])
    assert len(classified) >= 8
    # Frames differ by 1e-6, and so may an int8 value that lies between two steps.
    wanted = np.concatenate(expected)
    assert np.linalg.norm(found - wanted) <= 2e-3 * np.linalg.norm(wanted)


@pytest.mark.parametrize("name", ["tiny", "voice"])
def test_the_size_of_chunks_changes_nothing(
    name: str, classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    rows = []
    for chunk in (160, 1024, 1280, len(speech)):
        results = listen(make(classifiers[name]), speech, chunk)
        rows.append(
            (
                [(j.start_s, j.end_s, *j.probabilities.tolist()) for j in results.predictions],
                [(c.kind, c.offset_s, c.label) for c in results.changes],
                [(u.start_s, u.end_s, u.classified) for u in results.segments],
            )
        )
    assert len(rows[0][0]) > 8
    assert rows[1:] == rows[:1] * 3


@pytest.mark.parametrize("rate_hz", [8000, 16_000, 44_100])
def test_chunks_of_one_sample_change_nothing(
    rate_hz: int, classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    part = resample(speech[RATE_HZ : int(2.8 * RATE_HZ)], RATE_HZ, rate_hz)
    whole = listen(make(classifiers["tiny"]), part, len(part), rate_hz)
    single = listen(make(classifiers["tiny"]), part, 1, rate_hz)
    assert len(whole.predictions) > 0
    for ours, theirs in zip(single.predictions, whole.predictions, strict=True):
        assert (ours.start_s, ours.end_s) == (theirs.start_s, theirs.end_s)
        assert np.abs(ours.probabilities - theirs.probabilities).max() <= 1e-5


def test_another_rate_of_the_source_hears_the_same(
    classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    here = listen(make(classifiers["tiny"]), speech, 1600)
    there = listen(make(classifiers["tiny"]), resample(speech, RATE_HZ, 48_000), 4800, 48_000)
    assert len(here.segments) == len(there.segments)
    for ours, theirs in zip(here.segments, there.segments, strict=True):
        assert abs(ours.start_s - theirs.start_s) < 0.05


def test_silence_costs_nothing_and_says_nothing(classifiers: dict[str, Classifier]) -> None:
    results = listen(make(classifiers["tiny"]), np.zeros(5 * RATE_HZ, np.float32), 1600)
    assert results == StreamResult()


def test_nothing_at_all_is_no_fault(classifiers: dict[str, Classifier]) -> None:
    stream = make(classifiers["tiny"])
    assert (
        stream.finish()
        == stream.gap()
        == stream.push(np.zeros(0, np.float32), RATE_HZ)
        == StreamResult()
    )
    assert (stream.offset_s, stream.label, stream.speech) == (0.0, None, False)


def test_a_gap_ends_the_utterance_and_time_goes_on(
    classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    stream = make(classifiers["tiny"], "off")
    stream.push(speech[: 4 * RATE_HZ], RATE_HZ)
    assert stream.speech and stream.offset_s == 4.0
    results = stream.gap(lost_s=2.5)
    assert [(u.start_s, u.end_s) for u in results.segments] == [(0.0, 4.0)]
    assert not stream.speech and stream.offset_s == 6.5
    results = stream.push(speech[: 4 * RATE_HZ], RATE_HZ)
    results += stream.finish()
    assert results.segments[0].start_s == 6.5
    assert results.changes[-1].kind == "ended" and results.changes[-1].offset_s == 10.5


def test_a_changed_rate_is_a_new_line(
    classifiers: dict[str, Classifier], speech: np.ndarray
) -> None:
    stream = make(classifiers["tiny"], "off")
    stream.push(speech[: 2 * RATE_HZ], RATE_HZ)
    results = stream.push(resample(speech[: 2 * RATE_HZ], RATE_HZ, 8000), 8000)
    assert [(u.start_s, u.end_s) for u in results.segments] == [(0.0, 2.0)]
    assert stream.offset_s == 4.0


def test_a_word_too_short_is_not_classified(classifiers: dict[str, Classifier]) -> None:
    voice = synthetic_voice(3.0, RATE_HZ).astype(np.float32) / 32768
    click = np.zeros(4 * RATE_HZ, np.float32)
    click[RATE_HZ : RATE_HZ + 3200] = voice[2000:5200]
    results = listen(make(classifiers["tiny"], min_speech_s=0.4), click, 1600)
    assert [u.classified for u in results.segments] == [False]
    assert not results.predictions and not results.changes


def test_the_level_is_that_of_what_was_classified(classifiers: dict[str, Classifier]) -> None:
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(4 * RATE_HZ) / RATE_HZ)
    results = listen(make(classifiers["tiny"], "off"), tone.astype(np.float32), 1600)
    expected = 20 * np.log10(0.5 / np.sqrt(2))
    assert all(abs(j.level_dbfs - expected) < 0.2 for j in results.predictions)
    assert results.predictions


def test_hours_of_speech_hold_no_more_memory(classifiers: dict[str, Classifier]) -> None:
    import tracemalloc

    stream = make(classifiers["tiny"], "off", hop_s=5.0)
    block = np.random.default_rng(0).normal(0, 0.1, 60 * RATE_HZ).astype(np.float32)
    stream.push(block, RATE_HZ)
    tracemalloc.start()
    try:
        stream.push(block, RATE_HZ)
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(5):
            stream.push(block, RATE_HZ)
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 200_000
