"""Tables of clips: find their columns, and read their rows."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from ..contracts.components import Subset
from ..data.labels import SUBSET_WORDS
from ..runtime.errors import SertkError
from ..runtime.text import shorten

COLUMNS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "file": ("file", "path", "filename", "file_name", "file_id"),
        "emotion": ("emotion", "label"),
        "speaker": ("speaker", "speaker_id"),
        "start": ("start", "start_s"),
        "end": ("end", "end_s"),
        "text": ("text", "transcript", "transcription", "sentence"),
        "split": ("split",),
    }
)
NEEDED = ("file", "emotion")
SUFFIXES = (".csv", ".tsv")
DELIMITERS = ",\t;|"
LONGEST_HEADER = 120


@dataclass(frozen=True)
class Row:
    """One row of a table: its line, and its values by column ('' where there is none)."""

    table: str
    line: int
    values: Mapping[str, str]

    @property
    def where(self) -> str:
        """Return table and line, as errors name them."""
        return f"{self.table} line {self.line}"

    def get(self, column: str) -> str:
        """Return the value, '' where there is none."""
        return self.values.get(column, "")

    def needed(self, column: str) -> str:
        """Return the value. Raises SertkError where there is none."""
        if not self.get(column):
            raise SertkError(
                f"{self.where} has no {column}", f"Write one, or delete line {self.line}"
            )
        return self.get(column)

    def seconds(self, column: str) -> float | None:
        """Return the value in seconds, None where there is none. Raises SertkError for others."""
        text = self.get(column)
        try:
            value = float(text) if text else None
        except ValueError:
            value = math.nan
        if value is None or 0 <= value < math.inf:
            return value
        raise SertkError(f"{self.where}: {column} in seconds expected, received '{text}'")

    def subset(self) -> Subset | None:
        """Return the subset that the table prescribes. Raises SertkError for other words."""
        text = self.get("split")
        if text and text.lower() not in SUBSET_WORDS:
            expected = "split expects train, validation or test"
            raise SertkError(f"{self.where}: {expected}, received '{text}'")
        return SUBSET_WORDS.get(text.lower())


@dataclass(frozen=True)
class Table:
    """A table with the columns that clips need.

    Attributes:
        path: The file.
        text: Its content.
        delimiter: What separates its values.
        header: The names of its columns, as they are written.
        columns: The index of each column that is used.
    """

    path: Path
    text: str
    delimiter: str
    header: tuple[str, ...]
    columns: Mapping[str, int]

    @property
    def name(self) -> str:
        """Return the name of the file."""
        return self.path.name

    @property
    def ignored(self) -> tuple[str, ...]:
        """Return the names of columns that are not used."""
        used = set(self.columns.values())
        return tuple(name for index, name in enumerate(self.header) if name and index not in used)

    def rows(self) -> Iterator[Row]:
        """Yield the rows. Raises SertkError for one that has more or fewer values than columns."""
        records = _records(self.name, self.text, self.delimiter)
        next(records)
        for line, values in records:
            if len(values) != len(self.header):
                counts = f"{len(self.header)} values expected, received {len(values)}"
                todo = "Quote values with delimiters"
                raise SertkError(f"{self.name} line {line}: {counts}", todo)
            row = {column: values[index] for column, index in self.columns.items()}
            yield Row(self.name, line, row)


def open_table(path: Path) -> Table:
    """Return the table in a file. Raises SertkError where it lacks a column that is needed."""
    text = _text(path)
    tables = [_with_delimiter(path, text, mark) for mark in DELIMITERS]
    table = max(tables, key=lambda one: len(one.columns))
    _check_columns(table)
    return table


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise SertkError(f"{path.name} is not UTF-8 text", "Save it as CSV in UTF-8") from error
    except OSError as error:
        problem = f"{path.name} cannot be read: {error.strerror}"
        raise SertkError(problem, "Check its permissions") from error


def _with_delimiter(path: Path, text: str, delimiter: str) -> Table:
    """Return the table with the header that its first line gives with this delimiter."""
    first = next((line for line in text.split("\n") if line.strip()), "")
    _, header = next(_records(path.name, first, delimiter), (0, []))
    return Table(path, text, delimiter, tuple(header), _columns(header))


def _columns(header: list[str]) -> dict[str, int]:
    names = [name.lower() for name in header]
    present = {column: [a for a in aliases if a in names] for column, aliases in COLUMNS.items()}
    return {column: names.index(aliases[0]) for column, aliases in present.items() if aliases}


def _check_columns(table: Table) -> None:
    missing = [column for column in NEEDED if column not in table.columns]
    if missing:
        received = shorten(", ".join(table.header), LONGEST_HEADER) or "nothing"
        raise SertkError(
            f"{table.name} has no column {' and no column '.join(missing)}, its first line has: "
            f"{received}",
            "Columns: file, emotion; optional: speaker, start, end, text, split",
        )
    if _predicted(table):
        raise SertkError(
            f"{table.name} has predictions of a network, not true emotions",
            "Give a table with a column emotion",
        )


def _predicted(table: Table) -> bool:
    """Say whether the emotions are those that `sertk predict --csv` writes."""
    names = [name.lower() for name in table.header]
    return names[table.columns["emotion"]] == "label" and "uncertain" in names


def _records(name: str, text: str, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield line number and stripped values of each record that is not blank.

    Args:
        name: What errors call the table.
        text: Its content.
        delimiter: What separates values.
    """
    records = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    while True:
        try:
            values = [value.strip() for value in next(records)]
        except StopIteration:
            return
        except csv.Error as error:
            raise SertkError(f"{name} line {records.line_num}: {error}") from error
        if any(values):
            yield records.line_num, values
