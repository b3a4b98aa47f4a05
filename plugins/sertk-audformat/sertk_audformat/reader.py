"""Turn the tables of an audformat database into clips."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, ClassVar

from ser_toolkit import (
    SUBSET_WORDS,
    Clip,
    Match,
    Reader,
    Reading,
    SertkError,
    Subset,
    canonical_emotion,
)

HEADER = "db.yaml"
SPEAKERS = ("speaker", "speaker_id")
TEXTS = ("transcription", "transcript", "text")
Segment = tuple[str, float, float | None]


@dataclass(frozen=True)
class AudformatReader(Reader):
    """Read a database in audformat: db.yaml, its tables, and the media beside them.

    A column or scheme called emotion gives the emotion, one called speaker the speaker; the split
    of a table gives the subset.
    """

    name: ClassVar[str] = "audformat"

    def recognises(self, root: Path) -> Match | None:
        """Recognise a folder with a header, with the highest score: no other reader reads it."""
        if not (root / HEADER).is_file():
            return None
        return Match(1.0, f"{HEADER} is the header of an audformat database")

    def read(self, root: Path) -> Reading:
        """Return one clip per segment with one emotion; skip a segment with two emotions."""
        database = _load(root)
        emotions = _Values(database, "emotion", ("emotion",))
        speakers, texts = _Values(database, "speaker", SPEAKERS), _Values(database, "", TEXTS)
        clips, skipped = [], dict(emotions.unclear)
        for segment, emotion in emotions.values.items():
            file, start_s, end_s = segment
            shown = str(PurePosixPath(file.replace("\\", "/")))
            # Path.is_file raises for a name that is too long.
            if not os.path.isfile(root / shown):  # noqa: PTH113
                skipped[shown] = "no such file"
                continue
            clips.append(
                Clip(
                    path=root / shown,
                    relative=shown,
                    corpus=str(database.name),
                    emotion=canonical_emotion(emotion),
                    speaker=speakers.get(segment),
                    text=texts.get(segment),
                    start_s=start_s,
                    end_s=end_s,
                    side=emotions.subsets.get(segment),
                )
            )
        if not clips:
            raise _nothing(database, skipped)
        clips.sort(key=lambda clip: (clip.relative, clip.start_s, clip.end_s or 0.0))
        used = emotions.columns | speakers.columns | texts.columns
        return Reading(tuple(clips), skipped, _notes(database), _ignored(database, used))


class _Values:
    """Collect the values of one meaning of each segment, from the tables in their order."""

    def __init__(self, database: Any, scheme: str, names: tuple[str, ...]) -> None:
        self.values: dict[Segment, str] = {}
        self.subsets: dict[Segment, Subset] = {}
        self.unclear: dict[str, str] = {}
        self.columns: set[str] = set()
        for table in database.tables.values():
            for column in _columns(table, scheme, names):
                self.columns.add(column)
                self._take(database, table, column)
        for segment in [each for each in self.values if _shown(each) in self.unclear]:
            del self.values[segment]

    def get(self, segment: Segment) -> str | None:
        """Return the value of the segment, else of its file."""
        return self.values.get(segment) or self.values.get((segment[0], 0.0, None))

    def _take(self, database: Any, table: Any, column: str) -> None:
        split = database.splits.get(table.split_id) if table.split_id else None
        for segment, value in _rows(table, column):
            if not value:
                continue
            before = self.values.setdefault(segment, value)
            if before != value:
                self.unclear[_shown(segment)] = f"two values: {before} and {value}"
            if split is not None and split.type in SUBSET_WORDS:
                self.subsets.setdefault(segment, SUBSET_WORDS[split.type])


def _columns(table: Any, scheme: str, names: tuple[str, ...]) -> list[str]:
    """Return a column of the right name, else the only one of the scheme, without raters' votes."""
    named = [name for name in names if name in table.columns]
    if named:
        return named[:1]
    columns = table.columns.items()
    of_scheme = [key for key, column in columns if scheme and column.scheme_id == scheme]
    return of_scheme if len(of_scheme) == 1 else []


def _rows(table: Any, column: str) -> Iterator[tuple[Segment, str]]:
    import pandas as pd

    series = table.df[column]
    for key, value in zip(series.index, series, strict=True):
        segment = _segment(*key) if table.is_segmented else (str(key), 0.0, None)
        yield segment, "" if pd.isna(value) else str(value)


def _segment(file: str, start: Any, end: Any) -> Segment:
    import pandas as pd

    start_s = 0.0 if pd.isna(start) else float(start.total_seconds())
    return str(file), start_s, None if pd.isna(end) else float(end.total_seconds())


def _shown(segment: Segment) -> str:
    file, start_s, end_s = segment
    whole = start_s == 0 and end_s is None
    return file if whole else f"{file} ({start_s:g} s to {'the end' if end_s is None else end_s})"


def _load(root: Path) -> Any:
    """Return the database, read from text and Parquet alone."""
    header = _header(root)
    for table in [*(header.get("tables") or {}), *(header.get("misc_tables") or {})]:
        if (root / f"db.{table}.pkl").exists():
            raise SertkError(
                f"'db.{table}.pkl' is a pickle, which can run code when it is read",
                "Delete it; audformat writes it again from the .parquet or .csv beside it",
            )
    import audformat

    try:
        with warnings.catch_warnings():
            # Deprecations of pandas mean nothing to a user who reads a corpus.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            return audformat.Database.load(str(root), load_data=True)
    except Exception as error:  # audformat, pandas and pyarrow each raise their own
        raise _unreadable(error) from error


def _header(root: Path) -> Mapping[str, Any]:
    """Return the header, read safely: audformat's own loader would construct tagged objects."""
    import yaml

    path = root / HEADER
    try:
        header = yaml.safe_load(path.read_text("utf-8"))
    except FileNotFoundError as error:
        raise SertkError(f"no {HEADER} in '{root}'", "Give the folder of the database") from error
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise _unreadable(error) from error
    if not isinstance(header, Mapping):
        raise SertkError(f"{HEADER} is no header of a database")
    return header


def _unreadable(error: Exception) -> SertkError:
    why = " ".join(str(error).split())[:200] or type(error).__name__
    return SertkError(
        f"the audformat database cannot be read: {why}", "Save it again with audformat"
    )


def _nothing(database: Any, skipped: Mapping[str, str]) -> SertkError:
    if skipped:
        name, why = next(iter(skipped.items()))
        return SertkError(f"no usable clip in the database, e.g. '{name}': {why}")
    columns = {key for table in database.tables.values() for key in table.columns}
    return SertkError(
        f"no table of the database has a column 'emotion', it has: {', '.join(sorted(columns))}",
        "Name the column 'emotion', or give it a scheme of that name",
    )


def _ignored(database: Any, used: set[str]) -> tuple[str, ...]:
    columns = {str(name) for table in database.tables.values() for name in table.columns}
    return tuple(sorted(columns - used))


def _notes(database: Any) -> tuple[str, ...]:
    facts = {"licence": database.license, "usage": database.usage}
    line = ", ".join(f"{key} {value}" for key, value in facts.items() if value)
    return (f"the database says: {line}",) if line else ()
