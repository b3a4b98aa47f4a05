"""Find out who reads which folder, and what a corpus is called."""

from __future__ import annotations

import itertools
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..contracts.components import Clip, Match, Reader, Reading
from ..plugins.errors import DefectError, broken
from ..plugins.loader import PluginComponent
from ..plugins.registry import Plugins
from ..plugins.sandbox import attempt, captured
from ..runtime.errors import SertkError
from ..runtime.text import listed
from ..utils.files import cache_dir
from ..utils.progress import Callback

SHOWN = 8


@dataclass(frozen=True)
class Source:
    """A folder or table with its reader.

    Attributes:
        reader: Who reads it.
        root: Where it is.
        why: Why this reader reads it, in words.
        shown: What messages call it.
        name: The name that the user gives the corpus; None leaves it to the reader.
    """

    reader: Reader
    root: Path
    why: str
    shown: str
    name: str | None = None


def sources_of(
    data: Sequence[str | Path], plugins: Plugins, callback: Callback, reader: str | None
) -> list[Source]:
    """Return who reads each of `data`.

    Args:
        data: Folders, tables, names of readers that make their own corpus; or NAME=PATH.
        plugins: Plugins with the readers.
        callback: Receiver of the readers' reasons where none recognises a folder.
        reader: Name of the reader; None chooses the best match.

    Raises:
        SertkError: Where nothing is there, or no reader or several read it.
    """
    if not data:
        data = _without_data(plugins, reader)
    return [_source(plugins, where, callback, reader) for where in data]


def _without_data(plugins: Plugins, reader: str | None) -> list[str]:
    if reader is not None and not plugins.get("reader", reader).needs_folder:
        return [reader]
    raise SertkError("no data given", "Add --data DIR, or --data synthetic for the built-in corpus")


def _source(plugins: Plugins, where: str | Path, callback: Callback, reader: str | None) -> Source:
    name, root = named_path(where)
    named = None if reader is None else plugins.get("reader", reader)
    shown = name or root.name or str(root)
    if not _exists(root):
        made = _made(plugins, str(root), named)
        return Source(made, cache_dir() / "corpora", "made by the toolkit", shown, name)
    if named is not None:
        return Source(named, root, "as --reader says", shown, name)
    best, why = _recognised(plugins, root, callback)
    return Source(best, root, why, shown, name)


def named_path(where: str | Path) -> tuple[str | None, Path]:
    """Return the name, None where there is none, and the path of NAME=PATH.

    A path that is there and has a '=' in it is a path.
    """
    name, equals, path = (part.strip() for part in str(where).partition("="))
    if not equals or "/" in name or _exists(where):
        return None, Path(where)
    if not name or not path:
        raise SertkError(f"NAME=PATH expected, received '{where}'", "Example: --data mine=DIR")
    return name, Path(path)


def _exists(path: str | Path) -> bool:
    # Path.exists raises for a name that is too long.
    return os.path.exists(path)  # noqa: PTH110


def _made(plugins: Plugins, word: str, named: Reader | None) -> Reader:
    """Return the reader that makes the corpus of this name."""
    for candidate in plugins.all("reader"):
        if candidate.name == word and not candidate.needs_folder:
            if named not in (None, candidate):
                raise SertkError(
                    f"'{word}' makes its own corpus, which '{named.name}' does not read",
                    "Leave out --reader, or give it a folder with --data",
                )
            return candidate
    raise SertkError(
        f"data folder '{word}' does not exist",
        "Check the path; --data synthetic uses the built-in corpus",
    )


def _recognised(plugins: Plugins, root: Path, callback: Callback) -> tuple[Reader, str]:
    results = _matches(plugins, root)
    best = _best(results)
    if len(best) == 1:
        return best[0][0], best[0][1].why
    if best:
        names = ", ".join(reader.name for reader, _ in best)
        raise SertkError(f"several readers fit '{root}': {names}", "Choose one with --reader")
    for _, result in results:
        if isinstance(result, Exception):
            raise result
    raise _unrecognised(plugins, root, [reader for reader, _ in results], callback)


Results = list[tuple[Reader, "Match | Exception | None"]]


def _matches(plugins: Plugins, root: Path) -> Results:
    return [(one.component, _match(plugins, one, root)) for one in plugins.components("reader")]


def _best(results: Results) -> list[tuple[Reader, Match]]:
    """Return the surest reader, several of them where they are equally sure."""
    matches = [(reader, result) for reader, result in results if isinstance(result, Match)]
    highest = max((match.score for _, match in matches), default=0.0)
    return [(reader, match) for reader, match in matches if match.score == highest]


def _match(plugins: Plugins, offer: PluginComponent, root: Path) -> Match | Exception | None:
    """Return how a reader recognises a folder; report a defective reader, and go on without it."""
    with captured():
        doing = f"asking reader '{offer.name}' of {offer.plugin.label}"
        result: object = attempt(lambda: offer.component.recognises(root), doing)
    if result is None or isinstance(result, Match | SertkError | OSError):
        return result
    if not isinstance(result, BaseException):
        kind = type(result).__name__
        result = DefectError(f"recognises of '{offer.name}' expects Match or None, gave {kind}")
    plugins.report(broken(offer.plugin, result))
    return None


def _unrecognised(
    plugins: Plugins, root: Path, readers: Sequence[Reader], callback: Callback
) -> SertkError:
    """Return the error for a folder that no reader recognises, after each reader's reason."""
    if parts := list(_corpora_in(plugins, root)):
        return SertkError(
            f"'{root}' is not one corpus, it holds {listed(parts, SHOWN)}",
            "Give each corpus with --data; files of one corpus lie in EMOTION/SPEAKER/",
        )
    readers = [reader for reader in readers if reader.needs_folder]
    for reader in readers if root.is_dir() else ():
        callback.note(f"{reader.name}: {_reason(reader, root)}")
    names = ", ".join(reader.name for reader in readers)
    return SertkError(
        f"no reader recognises '{root}'",
        f"Expected a known corpus, a folder per emotion or a CSV; or choose --reader: {names}",
    )


def _corpora_in(plugins: Plugins, root: Path) -> Iterator[str]:
    """Yield the folders in `root` that a reader recognises, with its name."""
    for path in sorted(root.iterdir()) if root.is_dir() else ():
        if path.is_dir() and path.name[0] != ".":
            best = _best(_matches(plugins, path))
            if len(best) == 1:
                yield f"{path.name}/ ({best[0][0].name})"


def _reason(reader: Reader, root: Path) -> str:
    """Return what the reader would say if it had been chosen."""
    with captured():
        result = attempt(lambda: reader.read(root))
    if isinstance(result, Reading):
        emotions = sorted({clip.emotion for clip in result.clips})
        return f"not recognised, but could read {len(result.clips)} clips of {listed(emotions, 4)}"
    return result.problem if isinstance(result, SertkError) else "not recognised"


def named_apart(corpora: Sequence[Sequence[Clip]], sources: Sequence[Source]) -> list[list[Clip]]:
    """Give each corpus the name that the user chose, others of one name that of the folder above.

    Speakers of a published corpus, which has its reader's name, are the same in all its copies.

    Args:
        corpora: Clips of each source.
        sources: Where they come from, in the same order.
    """
    given = [_renamed(clips, one.name) for clips, one in zip(corpora, sources, strict=True)]
    names = Counter(name for clips in given for name in {clip.corpus for clip in clips})
    taken = {one.name for one in sources if one.name}
    named = []
    for clips, one in zip(given, sources, strict=True):
        twice = {c.corpus for c in clips if names[c.corpus] > 1} - {one.reader.name, one.name}
        above = one.root.resolve().parent.name
        others = {name: _free(f"{above}-{name}", taken) for name in twice}
        taken |= set(others.values())
        named.append([replace(c, corpus=others.get(c.corpus, c.corpus)) for c in clips])
    return named


def _renamed(clips: Sequence[Clip], name: str | None) -> list[Clip]:
    return [replace(clip, corpus=name or clip.corpus) for clip in clips]


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)
