"""Turn the rows of a dataset into clips."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from ser_toolkit import (
    SUBSET_WORDS,
    Clip,
    Match,
    Reader,
    Reading,
    SertkError,
    Subset,
    audio_files,
    canonical_emotion,
)

from .loading import Row, metadata_of, names_files, open_dataset, saved

EMOTIONS = ("emotion", "label")
SPEAKERS = ("speaker", "speaker_id")
TEXTS = ("transcription", "transcript", "sentence", "text")
STARTS = ("start", "start_s")
ENDS = ("end", "end_s")
SPLITS = ("split",)


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
        if tables := metadata_of(root):
            described = all(map(names_files, tables))
            return Match(0.95, "it holds the metadata of an audio folder") if described else None
        files = [name.split("/") for name in audio_files(root)]
        if files and all(len(parts) == 3 and parts[0] in SUBSET_WORDS for parts in files):
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
        columns = list(dict.fromkeys(key for row in everything for key in row.values))
        emotion = _emotion_column(columns)
        official = len(set(splits) & set(SUBSET_WORDS)) > 1
        for split, rows in splits.items():
            for row in rows:
                word = _value(row, (emotion,))
                # Path.is_file raises for a name that is too long.
                if row.path is None or not os.path.isfile(row.path):  # noqa: PTH113
                    skipped[row.shown] = "no such file"
                elif word is None:
                    skipped[row.shown] = "no emotion"
                else:
                    subset = SUBSET_WORDS.get(split) if official else None
                    clips.append(_clip(root, row, word, subset))
        if not clips:
            example = next((f", e.g. '{name}': {why}" for name, why in skipped.items()), "")
            raise SertkError(f"no usable row in the dataset '{root.resolve().name}'{example}")
        clips.sort(key=lambda clip: (clip.relative, clip.start_s))
        return Reading(tuple(clips), skipped, ignored=_ignored(columns, emotion))


def _clip(root: Path, row: Row, emotion: str, subset: Subset | None) -> Clip:
    assert row.path is not None
    start_s, end_s = _seconds(row, STARTS) or 0.0, _seconds(row, ENDS)
    if end_s is not None and end_s <= start_s:
        raise SertkError(f"'{row.shown}': an end after the start expected, received {end_s} s")
    return Clip(
        path=row.path,
        relative=row.shown,
        corpus=root.resolve().name,
        emotion=canonical_emotion(emotion),
        speaker=_value(row, SPEAKERS),
        text=_value(row, TEXTS),
        start_s=start_s,
        end_s=end_s,
        side=_subset(row) or subset,
    )


def _seconds(row: Row, names: tuple[str, ...]) -> float | None:
    text = _value(row, names)
    try:
        value = float(text) if text else None
    except ValueError:
        value = math.nan
    if value is None or 0 <= value < math.inf:
        return value
    raise SertkError(f"'{row.shown}': {names[0]} in seconds expected, received '{text}'")


def _subset(row: Row) -> Subset | None:
    text = (_value(row, SPLITS) or "").lower()
    if text and text not in SUBSET_WORDS:
        expected = "split expects train, validation or test"
        raise SertkError(f"'{row.shown}': {expected}, received '{text}'")
    return SUBSET_WORDS.get(text)


def _ignored(columns: Sequence[str], emotion: str) -> tuple[str, ...]:
    """Return the columns that are not used."""
    meanings = ((emotion,), SPEAKERS, TEXTS, STARTS, ENDS, SPLITS)
    used = {next((name for name in names if name in columns), None) for names in meanings}
    return tuple(name for name in columns if name not in used)


def _emotion_column(columns: Sequence[str]) -> str:
    """Return the name of the column of emotions."""
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
