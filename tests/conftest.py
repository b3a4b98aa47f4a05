"""Small corpora and one trained run, shared by the tests of the core."""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.contracts.components import Utterance
from ser_toolkit.runtime.audio.decode import content_hash, read_audio

SMALL = ("model.channels=16", "training.copies=1", "training.batch_size=12")
Run = Callable[..., "subprocess.CompletedProcess[str]"]
Once = Callable[[str, Callable[[Path], object]], Path]
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from ser_toolkit.cli import main; main()"
)


def pytest_configure(config: pytest.Config) -> None:
    """Keras reads its own variables in a way that numpy 2 is about to drop."""
    message = "ignore:__array__ implementation doesn't accept a copy:DeprecationWarning:keras"
    config.addinivalue_line("filterwarnings", message)


@pytest.fixture(scope="session")
def cache(run_cache: Path) -> Iterator[Path]:
    """The cache that `own_cache` gives to each test, for fixtures that outlive a test."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("SERTK_CACHE", str(run_cache))
        yield run_cache


def write_corpus(root: Path, **fields: int) -> Path:
    """Write a synthetic corpus with a table beside it; return its folder."""
    reader = SyntheticReader(**fields)
    clips = reader.read(root).clips
    with (reader.folder(root) / "clips.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(("file", "emotion", "speaker", "text"))
        table.writerows((c.relative, c.emotion, c.speaker, c.text) for c in clips)
    return reader.folder(root).rename(root / "voices")


@pytest.fixture(scope="session")
def make_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a synthetic corpus with a table beside it, and gives its folder."""
    return lambda **fields: write_corpus(tmp_path_factory.mktemp("corpus"), **fields)


@pytest.fixture(scope="session")
def small_corpus(once: Once) -> Path:
    """Four speakers, two sentences, six emotions: 48 clips. Not to be changed."""
    return once("corpus", lambda root: write_corpus(root, speakers=4, sentences=2)) / "voices"


@pytest.fixture(scope="session")
def utterances(tmp_path_factory: pytest.TempPathFactory) -> tuple[Utterance, ...]:
    """Two speakers, two sentences, six emotions: 24 utterances."""
    clips = SyntheticReader(speakers=2, sentences=2).read(tmp_path_factory.mktemp("clips")).clips
    return tuple(
        Utterance(clip, content_hash(audio), audio.duration_s)
        for clip in clips
        for audio in [read_audio(clip.path)]
    )


@pytest.fixture(scope="session")
def small_run(small_corpus: Path, cache: Path, once: Once) -> tuple[Any, Path]:
    """A run of two epochs on the small corpus, and that corpus. Not to be changed."""
    import ser_toolkit as sertk

    options: dict[str, Any] = {"epochs": 2, "settings": SMALL, "workers": 1, "seed": 3}
    made = once("run", lambda root: sertk.train(small_corpus, **options, out=root / "small"))
    return sertk.Run(made / "small"), small_corpus


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., Any]:
    """Starts `sertk` with some arguments in a process of its own, in an empty folder."""

    def start(*args: Any) -> Any:
        log = (tmp_path / "output.txt").open("a", encoding="utf-8")
        with log:
            return subprocess.Popen(
                [sys.executable, "-c", MAIN, *map(str, args)],
                cwd=tmp_path,
                env={**os.environ, "COLUMNS": "100"},
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    return start


@pytest.fixture
def sertk(tmp_path: Path) -> Run:
    """Runs `sertk` with some arguments to its end."""

    def run(*args: Any) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-c", MAIN, *map(str, args)],
            cwd=tmp_path,
            env={**os.environ, "COLUMNS": "100"},
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )

    return run
