"""Read data without a published layout: a folder per emotion, and tables."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import ClassVar

from ..contracts.components import Clip, Match, Reader, Reading
from ..data.labels import SUBSET_WORDS, canonical, canonical_emotion
from ..runtime.audio.files import audio_files
from ..runtime.errors import SertkError
from .table import NEEDED, SUFFIXES, Row, Table, open_table


@dataclass(frozen=True)
class FolderReader(Reader):
    """A folder per emotion: ROOT/EMOTION/x.wav or ROOT/EMOTION/SPEAKER/x.wav.

    Where all inner folders are named train, validation or test, they are subsets, not speakers.
    """

    name: ClassVar[str] = "folders"

    def recognises(self, root: Path) -> Match | None:
        """Return half the share of audio files that are in folders named after emotions.

        Half, because a reader that recognises the corpus by its file names is more specific.
        """
        files = audio_files(root) if root.is_dir() else {}
        folders = [place[0] for place in map(_place, files) if place]
        emotions = [canonical(folder) for folder in folders if canonical(folder)]
        if 2 * len(emotions) < len(files) or len(set(emotions)) < 2:
            return None
        why = f"{len(emotions)} of {len(files)} audio files are in folders named after emotions"
        return Match(len(emotions) / len(files) / 2, why)

    def read(self, root: Path) -> Reading:
        """Return all clips; a folder named after no known emotion has its own name as label."""
        clips: list[Clip] = []
        skipped: dict[str, str] = {}
        files = audio_files(root)
        prescribed = _are_subsets(_place(relative) for relative in files)
        for relative, path in files.items():
            place = _place(relative)
            if place is None:
                skipped[relative] = "not in EMOTION/ or EMOTION/SPEAKER/"
                continue
            emotion, inner = canonical_emotion(place[0]), place[1]
            side = SUBSET_WORDS.get(str(inner).lower()) if prescribed else None
            speaker = None if prescribed else inner
            clips.append(
                Clip(path, relative, _folder_name(root), emotion, speaker=speaker, side=side)
            )
        if not clips:
            todo = "Expected EMOTION/x.wav or EMOTION/SPEAKER/x.wav below it"
            raise SertkError(f"no audio file in a folder per emotion below '{root}'", todo)
        return Reading(tuple(clips), skipped)


@dataclass(frozen=True)
class TableReader(Reader):
    """A CSV or TSV table with columns file and emotion, and optional ones.

    Optional columns: speaker, start and end in seconds, text, split. Paths are relative to the
    table's folder, or to `audio_folder` in it.
    """

    name: ClassVar[str] = "table"
    audio_folder: str = ""

    def recognises(self, root: Path) -> Match | None:
        """Match a table, or a folder with one table that has the required columns."""
        try:
            table = _find_table(root)
        except SertkError:
            if root.is_file() and root.suffix.lower() in SUFFIXES:
                raise  # whoever names a table asks what it lacks
            return None
        why = f"{table.name} has the columns {' and '.join(NEEDED)}"
        return Match(1.0 if root.is_file() else 0.9, why)

    def read(self, root: Path) -> Reading:
        """Return one clip per row; rows whose file is missing are left out with the reason."""
        table = _find_table(root)
        folder = table.path.parent / self.audio_folder
        corpus = table.path.stem if root.is_file() else _folder_name(root)
        kept: dict[tuple[Path, float, float | None], tuple[Clip, Row]] = {}
        skipped: dict[str, str] = {}
        rows = list(table.rows())
        above = _common_folder([row.needed("file") for row in rows], folder)
        for row in rows:
            clip = _clip(row, folder, above, corpus)
            place = (clip.path, clip.start_s, clip.end_s)
            if not _is_file(clip.path):
                skipped[f"{clip.relative} ({row.where})"] = "no such file"
            elif place in kept:
                _check_same(kept[place], clip, row)
                skipped[f"{clip.relative} ({row.where})"] = f"same as {kept[place][1].where}"
            else:
                kept[place] = (clip, row)
        if not kept:
            raise _nothing(table, _there(folder / rows[0].needed("file")) if rows else None)
        clips = tuple(clip for clip, _ in kept.values())
        return Reading(clips, skipped, ignored=table.ignored)


def _place(relative: str) -> tuple[str, str | None] | None:
    """Return the folders of emotion and speaker of a path below the root."""
    parts = relative.split("/")
    if len(parts) not in (2, 3):
        return None
    return parts[0], parts[1].strip() if len(parts) == 3 else None


def _are_subsets(places: Iterable[tuple[str, str | None] | None]) -> bool:
    """Say whether there are inner folders, and all are named after subsets."""
    inner = {place[1].lower() for place in places if place and place[1] is not None}
    return bool(inner) and inner <= set(SUBSET_WORDS)


def _folder_name(root: Path) -> str:
    return root.resolve().name


def _find_table(root: Path) -> Table:
    if root.is_file():
        return open_table(root)
    if not root.is_dir():
        raise SertkError(f"no table or folder '{root}'", "Give a CSV or TSV file, or its folder")
    tables, reasons = _tables_in(root)
    if len(tables) == 1:
        return tables[0]
    if not tables:
        problem = f"no CSV or TSV table with columns file and emotion in '{root}'"
        todo = "Give the path of a table, or add these columns"
        raise SertkError("; ".join([problem, *reasons]), todo)
    names = ", ".join(table.name for table in tables)
    raise SertkError(f"'{root}' holds several tables: {names}", "Give the path of one of them")


def _tables_in(folder: Path) -> tuple[list[Table], list[str]]:
    """Return the tables of clips in a folder, and what is wrong with its other tables."""
    tables, reasons = [], []
    for path in sorted(folder.iterdir()):
        if path.suffix.lower() in SUFFIXES and path.name[0] != "." and path.is_file():
            try:
                tables.append(open_table(path))
            except SertkError as error:
                reasons.append(error.problem)
    return tables, reasons


def _clip(row: Row, folder: Path, above: Path | None, corpus: str) -> Clip:
    """Return the clip of a row.

    Args:
        row: The row.
        folder: Where relative paths begin.
        above: Where the names of files elsewhere begin.
        corpus: Name of the corpus.
    """
    start_s, end_s = row.seconds("start") or 0.0, row.seconds("end")
    if end_s is not None and end_s <= start_s:
        raise SertkError(f"{row.where}: an end after the start expected, received {end_s} s")
    file = row.needed("file").replace("\\", "/")
    return Clip(
        path=_there(folder / file),
        relative=_relative(file, folder, above),
        corpus=corpus,
        emotion=canonical_emotion(row.needed("emotion")),
        speaker=row.get("speaker") or None,
        text=row.get("text") or None,
        start_s=start_s,
        end_s=end_s,
        side=row.subset(),
        where=row.where,
    )


def _is_file(path: Path) -> bool:
    # Path.is_file raises for a name that is too long.
    return os.path.isfile(path)  # noqa: PTH113


def _there(path: Path) -> Path:
    """Return the path in the Unicode form in which the file is there, if in any."""
    forms = [path, *(Path(unicodedata.normalize(form, str(path))) for form in ("NFC", "NFD"))]
    return next((one for one in (*forms, *map(_in_locale, forms)) if _is_file(one)), path)


def _in_locale(path: Path) -> Path:
    """Return the path as Python spells it where the locale has no such letters."""
    try:
        return Path(os.fsdecode(str(path).encode("utf-8", "surrogateescape")))
    except UnicodeEncodeError:  # half of a pair, as JSON may have it
        return path


def _common_folder(files: Iterable[str], folder: Path) -> Path | None:
    """Return the folder above all files that are not below `folder`; None where there is none."""
    base = folder.resolve()
    paths = [Path(file.replace("\\", "/")) for file in files]
    outside = [str(p.parent) for p in paths if p.is_absolute() and base not in p.parents]
    return Path(os.path.commonpath(outside)) if outside else None


def _relative(file: str, folder: Path, above: Path | None) -> str:
    """Return the path below the folder, or below the common folder of files elsewhere."""
    if not Path(file).is_absolute():
        return str(PurePosixPath(file))
    base = folder.resolve()
    start = base if above is None or base in Path(file).parents else above
    return Path(file).relative_to(start).as_posix()


def _check_same(kept: tuple[Clip, Row], clip: Clip, row: Row) -> None:
    before, line = kept[0].emotion, kept[1].line
    if before != clip.emotion:
        twice = f"'{clip.relative}' is {clip.emotion} here and {before} in line {line}"
        raise SertkError(f"{row.where}: {twice}", "Keep one of the two rows")


def _nothing(table: Table, tried: Path | None) -> SertkError:
    if tried is None:
        return SertkError(f"{table.name} has no rows", "Add a row for each clip")
    return SertkError(
        f"none of the files of {table.name} is there: '{tried}' is none, for one",
        "Paths in a table are relative to its folder",
    )
