"""Read the rows of local folders, without the network and without writing into them.

`datasets` reads what `save_to_disk` wrote. Audio folders are read here: the library would require
torchcodec, and so PyTorch, though nothing is decoded.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ser_toolkit import SertkError, audio_files, cache_dir, write_bytes

SAVED = ("dataset_dict.json", "state.json")
METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
FILE = "file_name"


@dataclass(frozen=True)
class Row:
    """Hold one recording: its name for messages, its file (None: none), its other columns."""

    shown: str
    path: Path | None
    values: Mapping[str, Any]


def saved(root: Path) -> bool:
    """Say whether `save_to_disk` wrote this folder."""
    return any((root / name).is_file() for name in SAVED)


def metadata_of(root: Path) -> list[Path]:
    """Return the metadata files of a folder and of the folders in it, in their order."""
    places = [root, *sorted(path for path in root.iterdir() if path.is_dir())]
    return [place / name for place in places for name in METADATA if (place / name).is_file()]


def names_files(table: Path) -> bool:
    """Say whether metadata have the column of files; a CSV table of another kind has not."""
    if table.suffix != ".csv":
        return True
    with table.open(encoding="utf-8-sig", newline="", errors="replace") as file:
        return FILE in next(csv.reader(file), [])


def open_dataset(root: Path) -> dict[str, list[Row]]:
    """Return the rows of each split."""
    if not root.is_dir():
        raise SertkError(f"no folder '{root}'", "Give the folder of the dataset")
    try:
        if saved(root):
            return _saved(root)
        tables = metadata_of(root)
        return _described(root, tables) if tables else _labelled(root)
    except SertkError:
        raise
    except Exception as error:  # datasets, pyarrow and pandas each raise their own
        why = " ".join(str(error.__cause__ or error).split())[:200] or type(error).__name__
        raise SertkError(
            f"the dataset cannot be read: {why}", "Write it again with datasets"
        ) from error


def _described(root: Path, tables: list[Path]) -> dict[str, list[Row]]:
    """Return rows of metadata by split, which is the folder of the table or of the file."""
    splits: dict[str, list[Row]] = {}
    for table in tables:
        for number, values in enumerate(_records(table)):
            if not values.get(FILE):
                columns = ", ".join(map(str, values))
                raise SertkError(f"{table.name}: a row without {FILE}; columns: {columns}")
            path = table.parent / str(values[FILE]).replace("\\", "/")
            shown = _below(root, path, f"{number:06d}")
            known = {str(key): value for key, value in values.items() if key != FILE}
            split = table.parent.name if table.parent != root else shown.split("/")[0]
            splits.setdefault(split, []).append(Row(shown, path, known))
    return splits


def _records(table: Path) -> list[dict[str, Any]]:
    """Return the rows of a table with texts as they are written: speaker 03 is not 3."""
    if table.suffix == ".csv":
        return list(_table_rows(table))
    if table.suffix == ".jsonl":
        # JSON texts may hold other ends of lines that Python knows, such as U+2028.
        lines = table.read_text("utf-8-sig").split("\n")
        return [dict(json.loads(line)) for line in lines if line.strip()]
    import pyarrow.parquet

    rows: list[dict[str, Any]] = pyarrow.parquet.read_table(table).to_pylist()
    return rows


def _table_rows(table: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a CSV table. Raises SertkError for one that has other columns."""
    with table.open(encoding="utf-8-sig", newline="") as file:
        records = csv.reader(file, strict=True)
        header = next(records, [])
        for values in filter(None, records):
            if len(values) != len(header):
                counts = f"{len(header)} values expected, received {len(values)}"
                where = f"{table.name} line {records.line_num}"
                raise SertkError(f"{where}: {counts}", "Quote values that have commas")
            yield dict(zip(header, values, strict=True))


def _labelled(root: Path) -> dict[str, list[Row]]:
    """Return the files of SPLIT/LABEL/ folders by split."""
    splits: dict[str, list[Row]] = {}
    for relative, path in audio_files(root).items():
        parts = relative.split("/")
        if len(parts) != 3:
            continue
        splits.setdefault(parts[0], []).append(Row(relative, path, {"label": parts[1]}))
    return splits


def _saved(root: Path) -> dict[str, list[Row]]:
    with _quiet():
        import datasets

        dataset = datasets.load_from_disk(str(root))
        tables = dataset if isinstance(dataset, datasets.DatasetDict) else {"train": dataset}
        return {str(split): _rows(root, str(split), table) for split, table in tables.items()}


def _rows(root: Path, split: str, table: Any) -> list[Row]:
    """Return rows with audio as path or bytes and labels as words; the toolkit decodes."""
    import datasets

    kinds = table.features
    audio = [name for name, kind in kinds.items() if isinstance(kind, datasets.Audio)]
    if len(audio) != 1:
        raise SertkError(
            f"one column of audio expected, received {', '.join(audio) or 'none'}",
            f"Columns: {', '.join(kinds)}",
        )
    rows = []
    for number, row in enumerate(table.cast_column(audio[0], datasets.Audio(decode=False))):
        shown, path = _place(root, f"{split}/{number:06d}", row.pop(audio[0]) or {})
        rows.append(Row(shown, path, {key: _word(kinds[key], row[key]) for key in row}))
    return rows


def _word(kind: Any, value: Any) -> Any:
    import datasets

    if not isinstance(kind, datasets.ClassLabel) or value is None:
        return value
    return kind.int2str(value) if value >= 0 else None


def _place(root: Path, number: str, audio: Mapping[str, Any]) -> tuple[str, Path | None]:
    """Return the file; audio within the table is written into the cache."""
    name, content = audio.get("path") or "", audio.get("bytes")
    if content:
        suffix = Path(name).suffix.lower() or ".wav"
        return number + suffix, _stored(content, suffix)
    if not name:
        return number, None
    path = root.resolve() / name
    return _below(root.resolve(), path, number), path


def _below(root: Path, path: Path, number: str) -> str:
    """Return the path below the root; the name after its number for a file elsewhere."""
    relative = os.path.relpath(path, root).replace(os.sep, "/")
    return f"{number}/{path.name}" if relative.startswith("../") else relative


def _stored(content: bytes, suffix: str) -> Path:
    """Return a file in the toolkit's cache, named by its sha256."""
    name = hashlib.sha256(content).hexdigest()
    path = cache_dir() / "datasets" / name[:2] / f"{name}{suffix}"
    if not path.is_file():
        write_bytes(path, content)
    return path


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence progress bars and warnings of other libraries; restore everything afterwards."""
    import datasets

    silent = datasets.are_progress_bars_disabled()
    datasets.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        if not silent:
            datasets.enable_progress_bars()
