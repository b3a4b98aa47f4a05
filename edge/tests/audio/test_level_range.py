"""Speech that is quieter or louder than that of the training: `uncertain`, with the reason."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from ser_toolkit import open_bundle
from ser_toolkit.runtime.audio.level import speech_level
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from sertk_edge.audio.stream_classifier import StreamClassifier
from sertk_edge.audio.vad import detectors
from sertk_edge.settings import SmoothingSettings, StreamSettings

RATE_HZ = 16_000
# Trained from -33 to -15 dBFS.
BUNDLE = Path(__file__).parents[3] / "tests/bundles/v2/tiny.sertk"
OLD_BUNDLE = BUNDLE.parents[1] / "v1/tiny.sertk"
SURE = SmoothingSettings(uncertain_below=0.0, min_duration_s=0.0, refractory_s=0.0, tau_s=0.0)


def voice(level_dbfs: float, seconds: float = 2.0) -> np.ndarray:
    samples = synthetic_voice(seconds, RATE_HZ).astype(np.float32) / 32768
    gain_db = level_dbfs - speech_level(samples, RATE_HZ)
    return samples * np.float32(10 ** (gain_db / 20))


def found(samples: np.ndarray, bundle: Path = BUNDLE, **stream: float) -> set[tuple[bool, str]]:
    """Whether changes name an emotion, and their reasons."""
    settings = StreamSettings(gate="off", **stream)  # type: ignore[arg-type]
    classifier = open_bundle(bundle, check=False)
    one = StreamClassifier(classifier, settings, SURE, detectors(settings))
    changes = [*one.push(samples, RATE_HZ).changes, *one.finish().changes]
    assert changes
    return {(change.label != "uncertain", change.reason) for change in changes}


def test_speech_of_an_untrained_level_is_uncertain() -> None:
    named, quiet, loud = (True, ""), (False, "too_quiet"), (False, "too_loud")
    for level, expected in ((-60, quiet), (-44, quiet), (-30, named), (-18, named), (-3, loud)):
        assert found(voice(level)) == {expected}, level
    # The setting replaces the lower end; -90 is none.
    assert found(voice(-60), min_level_dbfs=-90) == {named}
    assert found(voice(-30), min_level_dbfs=-20) == {quiet}


def test_a_bundle_that_does_not_know_its_level_takes_every_one() -> None:
    assert found(voice(-60), OLD_BUNDLE) == found(voice(-3), OLD_BUNDLE) == {(True, "")}
    assert found(voice(-60), OLD_BUNDLE, min_level_dbfs=-50) == {(False, "too_quiet")}


def test_one_that_comes_nearer_is_named() -> None:
    samples = np.concatenate([voice(-60, 3.0), voice(-24, 3.0)])
    assert found(samples) == {(False, "too_quiet"), (True, "")}


@pytest.mark.parametrize("gain_db", [0, 30])
def test_events_and_log_say_why_and_a_gain_helps(gain_db: int, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "talk.wav", voice(-54), RATE_HZ)
    events = tmp_path / "events.jsonl"
    command = [sys.executable, "-m", "ser_toolkit", "serve-edge", str(BUNDLE)]
    command += ["--source", str(tmp_path / "talk.wav"), "--sink", f"json_lines,path={events}"]
    command += ["--gate", "off", "--smoothing-uncertain-below", "0"]
    command += ["--stream-gain-db", str(gain_db)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert {(event["label"] == "uncertain", event["reason"]) for event in told} == (
        {(False, "")} if gain_db else {(True, "too_quiet")}
    )
    assert told[0]["level_dbfs"] == pytest.approx(-54 + gain_db, abs=4)
    assert ("too_quiet" in done.stderr) == (gain_db == 0)
