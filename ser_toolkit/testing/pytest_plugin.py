"""Define fixtures for the tests of plugins; pytest finds them by an entry point."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from ..runtime.audio.decode import Audio


def pytest_configure(config: pytest.Config) -> None:
    """Mark checks that take seconds as `slow`: `pytest -m "not slow"` leaves them out."""
    config.addinivalue_line("markers", "slow: takes seconds or minutes")


@pytest.fixture(scope="session")
def synthetic_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder EMOTION/SPEAKER/x.wav with 24 clips: 4 speakers, 6 emotions, one sentence."""
    from ..builtin.synthetic import SyntheticReader

    made = tmp_path_factory.mktemp("made")
    root = tmp_path_factory.mktemp("sertk") / "corpus"
    for clip in SyntheticReader(speakers=4, sentences=1).read(made).clips:
        target = root / clip.emotion / str(clip.speaker) / clip.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        clip.path.replace(target)
    return root


@pytest.fixture(scope="session")
def speech_clip() -> Audio:
    """Return one synthetic utterance at 16 kHz, never to be changed."""
    from ..builtin.synthesis import RATE_HZ
    from ..builtin.synthetic import SpokenSentence, SyntheticReader
    from ..runtime.audio.decode import Audio

    samples = SyntheticReader().samples(SpokenSentence(1, "anger", 1, 1))
    samples.flags.writeable = False
    return Audio(samples, RATE_HZ)


@pytest.fixture
def blocked_imports() -> Callable[..., AbstractContextManager[None]]:
    """Block imports: `with blocked_imports():` hides `NOT_ON_A_DEVICE`, or the modules named."""
    from .blocking import blocked

    return blocked
