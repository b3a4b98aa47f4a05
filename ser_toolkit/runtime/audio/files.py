"""Find audio files below a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..errors import SertkError
from ..text import unicode_name
from .formats import AUDIO_SUFFIXES, LIBSNDFILE_SUFFIXES


def audio_files(root: Path) -> dict[str, Path]:
    """List every audio file below `root`, by suffix: path below `root` with '/' -> path, sorted.

    Hidden files and folders are passed over; linked folders are followed, each folder once. Beside
    `x.wav` an `x.m4a` or a video `x.mp4` counts as another copy of it, and is passed over.
    Raises SertkError where `root` or a folder in it cannot be read.
    """
    if not root.is_dir():
        what = "is a file, not a folder" if root.exists() else "is not there"
        raise SertkError(f"the folder '{root}' {what}", "Give the folder that holds the corpus")
    paths = (folder / name for folder, names in _folders(root) for name in names if name[0] != ".")
    audio = [path for path in paths if path.suffix.lower() in AUDIO_SUFFIXES]
    named = ((path.relative_to(root).as_posix(), path) for path in _without_copies(audio))
    return dict(sorted((unicode_name(relative), path) for relative, path in named))


def _without_copies(paths: Iterable[Path]) -> Iterator[Path]:
    paths = list(paths)
    native = {path for path in paths if path.suffix.lower() in LIBSNDFILE_SUFFIXES}
    stems = {path.with_suffix("") for path in native}
    return (path for path in paths if path in native or path.with_suffix("") not in stems)


def _folders(root: Path) -> Iterator[tuple[Path, list[str]]]:
    seen: set[tuple[int, int]] = set()
    for folder, inside, names in os.walk(root, followlinks=True, onerror=_refuse):
        status = Path(folder).stat()
        if (status.st_dev, status.st_ino) in seen:
            inside.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        inside[:] = sorted(name for name in inside if name[0] != "." and name != "__MACOSX")
        yield Path(folder), names


def _refuse(error: OSError) -> None:
    name = Path(str(error.filename)).name
    problem = f"the folder '{name}' cannot be read: {error.strerror}"
    raise SertkError(problem, "Check its permissions") from error
