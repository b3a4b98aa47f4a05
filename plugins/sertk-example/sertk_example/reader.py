"""Read a folder as clips with speaker and emotion."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from ser_toolkit import Clip, Match, Reader, Reading, SertkError, hookimpl

EXPECTED = "SPEAKER/EMOTION_TAKE.wav"


@dataclass(frozen=True)
class ExampleReader(Reader):
    """Read a folder per speaker, the emotion in the name of the file: SPEAKER/EMOTION_TAKE.wav.

    Emotions are words of the toolkit, such as `happiness`, not `happy`.
    """

    name: ClassVar[str] = "example"
    version: ClassVar[int] = 1

    emotions: tuple[str, ...] = (
        "anger",
        "boredom",
        "calm",
        "contempt",
        "disgust",
        "fear",
        "happiness",
        "neutral",
        "sadness",
        "surprise",
    )

    def recognises(self, root: Path) -> Match | None:
        """Return the share of files with such names; less than half of them is another corpus."""
        files = _files(root)
        share = sum(self._emotion(name) is not None for name in files) / max(1, len(files))
        return Match(share, f"{share:.0%} of the files are {EXPECTED}") if share >= 0.5 else None

    def read(self, root: Path) -> Reading:
        clips: list[Clip] = []
        skipped: dict[str, str] = {}
        for name, path in _files(root).items():
            emotion = self._emotion(name)
            if emotion is None:
                skipped[name] = f"not {EXPECTED}"
            else:
                speaker = path.parent.name
                clips.append(Clip(path, name, self.name, emotion, speaker))
        if not clips:
            raise SertkError(f"no recording in '{root}'", f"Expected {EXPECTED} below it")
        return Reading(tuple(clips), skipped)

    def _emotion(self, name: str) -> str | None:
        parts = name.split("/")
        word, _, take = parts[-1].partition("_")
        return word if len(parts) == 2 and take and word in self.emotions else None


def _files(root: Path) -> dict[str, Path]:
    """Return every recording by its path below `root`, in the same order on any file system."""
    return {path.relative_to(root).as_posix(): path for path in sorted(root.rglob("*.wav"))}


@hookimpl
def sertk_readers() -> list[Reader]:
    """Return the readers of this package."""
    return [ExampleReader()]
