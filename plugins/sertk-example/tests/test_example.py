"""Check that it keeps to the contract, and does what it says."""

from __future__ import annotations

import contextlib
import csv
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from click.testing import CliRunner
from ser_toolkit import Signal
from ser_toolkit.testing import Check, Peer, sertk_checks

import sertk_example
from sertk_example.augmenter import ExampleAugmenter
from sertk_example.command import command
from sertk_example.extractor import ExampleExtractor
from sertk_example.reader import ExampleReader
from sertk_example.sink import ExampleSink


def write_corpus(folder: Path) -> None:
    """Write a corpus of empty files: the checks of a reader do not decode them."""
    for speaker in ("ann", "ben"):
        (folder / speaker).mkdir()
        for emotion in ("anger", "neutral", "sadness"):
            (folder / speaker / f"{emotion}_1.wav").touch()


@contextlib.contextmanager
def table(folder: Path) -> Iterator[Peer]:
    """Yield the file that gets the events, and a way to make it refuse them."""
    path = folder / "events.csv"

    def received() -> list[str]:
        if not path.is_file():
            return []
        with path.open(newline="", encoding="utf-8") as file:
            return [row["id"] for row in csv.DictReader(file)]

    @contextlib.contextmanager
    def refusing() -> Iterator[None]:
        kept = path.rename(folder / "kept.csv")
        path.mkdir()
        yield
        path.rmdir()
        kept.rename(path)

    yield Peer(ExampleSink(path=str(path)), received, refusing)


@sertk_checks(
    sertk_example,
    command,
    corpora={"example": write_corpus},
    peers={"example": table},
)
def test_it_keeps_to_the_contract(check: Check) -> None:
    check()


def test_a_sine_of_full_scale_is_3_db_below_it_and_in_one_band() -> None:
    sine = np.sin(2 * np.pi * 1000 * np.arange(16000) / 16000)
    extractor = ExampleExtractor()
    levels = extractor.frames(Signal(sine, 16000))
    band = extractor.columns.index("level_887_hz")
    np.testing.assert_allclose(levels[:, band], -3.01, atol=0.05)
    assert np.delete(levels, band, axis=1).max() < -30


def test_a_telephone_passes_the_middle_and_stops_hum_and_hiss() -> None:
    time_s = np.arange(16000) / 16000
    telephone, rng = ExampleAugmenter(), np.random.default_rng(0)
    for hz, power in ((50, 0.0), (1000, 0.5), (7000, 0.0)):
        sine = np.sin(2 * np.pi * hz * time_s).astype(np.float32)
        filtered = telephone.augment(sine, 16000, rng)
        np.testing.assert_allclose(np.square(filtered).mean(), power, atol=1e-4)


def test_speaker_and_emotion_are_those_of_the_names(synthetic_corpus: Path, tmp_path: Path) -> None:
    expected = set()
    for number, path in enumerate(sorted(synthetic_corpus.glob("*/*/*.wav"))):
        emotion, speaker, _ = path.relative_to(synthetic_corpus).parts
        (tmp_path / speaker).mkdir(exist_ok=True)
        shutil.copy(path, tmp_path / speaker / f"{emotion}_{number}.wav")
        expected.add((speaker, emotion))
    shutil.copy(path, tmp_path / "a remark.wav")
    reading = ExampleReader().read(tmp_path)
    assert {(clip.speaker, clip.emotion) for clip in reading.clips} == expected
    assert list(reading.skipped) == ["a remark.wav"]


def test_a_recording_is_one_line(synthetic_corpus: Path) -> None:
    paths = sorted(map(str, synthetic_corpus.glob("*/*/*.wav")))[:2]
    result = CliRunner().invoke(command, paths)
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert [line.split()[-1] for line in lines] == [Path(path).name for path in paths]
    for line in lines:
        seconds, peak_dbfs, level_dbfs = map(float, line.split()[:3])
        assert 0 < seconds < 10 and level_dbfs < peak_dbfs <= 0
