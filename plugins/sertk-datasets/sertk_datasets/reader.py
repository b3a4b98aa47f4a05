"""Turn the rows of a dataset into clips."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar

from ser_toolkit import (
    Clip,
    Match,
    Reader,
    Reading,
    SertkError,
    Subset,
    audio_files,
    canonical_emotion,
)

from .loading import Row, metadata_of, open_dataset, saved

EMOTIONS = ("emotion", "label")
SPEAKERS = ("speaker", "speaker_id")
TEXTS = ("transcription", "transcript", "sentence", "text")
SUBSETS: Mapping[str, Subset] = MappingProxyType(
    {
        "train": "train",
        "validation": "validation",
        "valid": "validation",
        "dev": "validation",
        "test": "test",
    }
)


@dataclass(frozen=True)
class DatasetsReader(Reader):
    """Read a Hugging Face audio folder (metadata.csv, .jsonl, .parquet) or a `save_to_disk`."""

    name: ClassVar[str] = "datasets"

    def recognises(self, root: Path) -> Match | None:
        """Recognise what `save_to_disk` wrote, metadata beside audio, SPLIT/EMOTION/ folders."""
        if not root.is_dir():
            return None
        if saved(root):
            return Match(1.0, "save_to_disk of datasets wrote it")
        if metadata_of(root):
            return Match(0.95, "it holds the metadata of an audio folder")
        files = [name.split("/") for name in audio_files(root)]
        if files and all(len(parts) == 3 and parts[0] in SUBSETS for parts in files):
            return Match(0.8, "its audio files lie in SPLIT/LABEL/")
        return None

    def read(self, root: Path) -> Reading:
        """Return one clip per row; skip a row without an emotion or without its audio."""
        clips: list[Clip] = []
        skipped: dict[str, str] = {}
        splits = open_dataset(root)
        everything = [row for rows in splits.values() for row in rows]
        if not everything:
            raise SertkError(
                f"no recording in the dataset '{root.resolve().name}'",
                "Expected a save of save_to_disk, metadata beside audio, or SPLIT/EMOTION/ folders",
            )
        emotion = _emotion_column(everything)
        official = len(set(splits) & set(SUBSETS)) > 1
        for split, rows in splits.items():
            for row in rows:
                word = _value(row, (emotion,))
                if row.path is None or not row.path.is_file():
                    skipped[row.shown] = "no such file"
                elif word is None:
                    skipped[row.shown] = "no emotion"
                else:
                    subset = SUBSETS.get(split) if official else None
                    clips.append(_clip(root, row, word, subset))
        if not clips:
            example = next((f", e.g. '{name}': {why}" for name, why in skipped.items()), "")
            raise SertkError(f"no usable row in the dataset '{root.resolve().name}'{example}")
        return Reading(tuple(sorted(clips, key=lambda clip: clip.relative)), skipped)


def _clip(root: Path, row: Row, emotion: str, subset: Subset | None) -> Clip:
    assert row.path is not None
    return Clip(
        path=row.path,
        relative=row.shown,
        corpus=root.resolve().name,
        emotion=canonical_emotion(emotion),
        speaker=_value(row, SPEAKERS),
        text=_value(row, TEXTS),
        side=subset,
    )


def _emotion_column(rows: Iterable[Row]) -> str:
    """Return the name of the column of emotions."""
    columns = list(dict.fromkeys(key for row in rows for key in row.values))
    for name in EMOTIONS:
        if name in columns:
            return name
    known = ", ".join(columns) or "none"
    raise SertkError(
        f"the dataset has no column {' or '.join(EMOTIONS)}, it has: {known}",
        "Rename the column of emotions",
    )


def _value(row: Row, names: tuple[str, ...]) -> str | None:
    """Return the value of the first of these columns, as text; None where it is empty."""
    value: Any = next((row.values[name] for name in names if name in row.values), None)
    if value is None or value != value:  # NaN in a table of numbers
        return None
    return str(value).strip() or None
