"""Check readers of corpora."""

from __future__ import annotations

import hashlib
import math
import os
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.components import Clip, Match, Reader, Reading
from ..data.labels import canonical_emotion
from ..runtime.errors import SertkError
from .check import Check, CheckFailed, expect
from .compare import raised
from .given import Given
from .order import elsewhere, key, listing

Table = dict[str, tuple[str, Callable[[Reader, Given], None]]]
SHOWN = 3


def reader_checks(component: Reader, given: Given) -> Iterator[Check]:
    """Yield the checks of a reader, without those of every component."""
    table: Table = {
        "strangers": ("what is not its corpus is not recognised, and is no crash", _strangers),
        "recognised": ("its corpus is recognised, with a reason", _recognised),
        "files": ("the file of every clip exists, each clip once", _files),
        "labels": ("emotions are declared in canonical words", _labels),
        "speakers": ("every clip has a speaker", _speakers),
        "order": ("the same order however the folder is listed", _order),
        "reasons": ("what is left out is left out for a reason", _reasons),
        "corpus_unchanged": ("the corpus stays as it was", _corpus_unchanged),
    }
    folder = ("strangers", "recognised", "reasons", "corpus_unchanged")
    for name, (about, run) in table.items():
        if component.needs_folder or name not in folder:
            yield Check(name, about, partial(run, component, given))


def _read(component: Reader, root: Path) -> Reading:
    found = component.read(root)
    expect(
        isinstance(found, Reading),
        "read(root) to return a Reading",
        type(found).__name__,
        "Return Reading(tuple(clips), skipped)",
    )
    expect(
        isinstance(found.clips, tuple) and found.clips,
        "read(root) to find clips in its corpus, as a tuple",
        f"{type(found.clips).__name__} of {len(found.clips)}",
        "Return Reading(tuple(clips), skipped), and look below sub-folders too",
    )
    for clip in found.clips:
        _clip(clip)
    return found


def _clip(clip: Clip) -> None:
    valid = isinstance(clip, Clip) and isinstance(clip.path, Path)
    expect(
        valid, "clips that are Clip(path=Path(…), …)", f"{clip!r:.120}", "Write Clip(Path(…), …)"
    )
    texts = {"relative": clip.relative, "corpus": clip.corpus, "emotion": clip.emotion}
    texts |= {"speaker": clip.speaker or "", "text": clip.text or ""}
    odd = [f"{name}={value!r:.60}" for name, value in texts.items() if not isinstance(value, str)]
    todo = "Write str(…): names are sorted, compared and written to JSON"
    expect(not odd, "relative, corpus, emotion, speaker and text to be texts", ", ".join(odd), todo)


def _strangers(component: Reader, given: Given) -> None:
    del given
    with tempfile.TemporaryDirectory(prefix="sertk-check-") as name:
        root = Path(name).resolve()
        (empty := root / "empty").mkdir()
        (text := root / "readme.txt").write_text("no audio\n", "utf-8")
        (other := root / "other").mkdir()
        for index in range(3):
            (other / f"take {index} (final).flac").touch()
        for place, words in ((empty, "an empty folder"), (text, "a text file")):
            _unknown(component, place, words)
        _unknown(component, other, "a folder of audio with other names")
        try:
            component.read(empty)
        except SertkError:
            return
        raise CheckFailed(
            "read of an empty folder to raise SertkError",
            "no error",
            'Raise SertkError("no recording in …", "Check the folder"): it has nothing to train on',
        )


def _unknown(component: Reader, place: Path, words: str) -> None:
    todo = "Return None from recognises where the names do not fit"
    try:
        found = component.recognises(place)
    except Exception as error:
        expected = f"recognises of {words} to return None"
        raise CheckFailed(expected, raised(error), todo) from error
    expect(found is None, f"recognises of {words} to return None", repr(found), todo)


def _match(found: object) -> None:
    if found is None:
        return
    valid = isinstance(found, Match) and 0 <= found.score <= 1 and found.why
    todo = "Return Match(share of fitting names, why in words), or None"
    expect(valid, "a Match with a score from 0 to 1 and a reason", repr(found), todo)


def _recognised(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        found = component.recognises(root)
        todo = "Return Match(share of fitting names, why in words) where the names fit"
        expect(found is not None, "its own corpus to be recognised", "None", todo)
        _match(found)


def _files(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        clips = _read(component, root).clips
        gone = [clip.relative for clip in clips if not clip.path.is_file()]
        todo = "Make path from root and what lies below it; leave out what is not there, in skipped"
        expect(not gone, "the file of every clip to exist", _some(gone), todo)
        odd = [clip.relative for clip in clips if not _is_below(clip, root, component.needs_folder)]
        todo = "Use path.relative_to(root).as_posix(): it is shown in reports"
        expect(not odd, "relative to be the path below the corpus, with '/'", _some(odd), todo)
        places = Counter((clip.relative, clip.start_s, clip.end_s) for clip in clips)
        twice = [relative for (relative, _, _), times in places.items() if times > 1]
        todo = "Leave the second one out, in skipped: training and test could share the clip"
        expect(not twice, "each clip once", _some(twice), todo)
        wrong = [key(clip) for clip in clips if not _lasts(clip)]
        todo = "Give start_s and end_s in seconds, or leave both out: 0.0 and None are a whole file"
        expect(not wrong, "clips that end after they start", _some(wrong), todo)


def _is_below(clip: Clip, root: Path, exactly: bool) -> bool:
    relative = clip.relative
    if not relative or "\\" in relative or Path(relative).is_absolute():
        return False
    path = Path(os.path.normpath(clip.path))
    # Some corpora keep their audio elsewhere, and what a reader makes lies in a cache.
    if not (exactly and path.is_relative_to(root)):
        return ".." not in Path(relative).parts
    return path.relative_to(root).as_posix() == relative


def _lasts(clip: Clip) -> bool:
    end = math.inf if clip.end_s is None else clip.end_s
    return 0 <= clip.start_s < math.inf and clip.start_s < end


def _labels(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        clips = _read(component, root).clips
        empty = [clip.relative for clip in clips if not clip.emotion]
        todo = "Give every clip the emotion that was to be expressed; leave out what has none"
        expect(not empty, "an emotion for every clip", _some(empty), todo)
        words = {clip.emotion for clip in clips}
        odd = sorted(word for word in words if canonical_emotion(word) != word)
        better = ", ".join(f"'{canonical_emotion(word)}'" for word in odd[:SHOWN])
        todo = f"Write {better}: known words are canonical, all are lower case"
        expect(not odd, "emotions in canonical words", _some(odd), todo)
        emotions = sorted({clip.emotion for clip in clips})
        todo = "Let the corpus in the test have two emotions, and the reader tell them apart"
        expect(len(emotions) > 1, "two emotions or more", _some(emotions), todo)
        bare = [clip.relative for clip in clips if not clip.corpus]
        expect(not bare, "a corpus for every clip", _some(bare), "Give Clip the name of the corpus")


def _speakers(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        clips = _read(component, root).clips
        without = [clip.relative for clip in clips if not clip.speaker]
        todo = (
            "Take the speaker from the file's name: without one no metric can be claimed to hold "
            "for new people. Where the corpus does not tell it, expect this failure and say so"
        )
        expect(not without, "a speaker for every clip", f"none for {_some(without)}", todo)
        speakers = {clip.speaker for clip in clips}
        todo = "Let the corpus in the test have two speakers, and the reader tell them apart"
        expect(len(speakers) > 1, "two speakers or more", _some(sorted(map(str, speakers))), todo)


def _order(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        found = []
        for order in (sorted, _backwards):
            with listing(order):
                found.append([key(clip) for clip in _read(component, root).clips])
        todo = "Sort what glob, iterdir and os.walk give: splits and random generators follow it"
        _same(found[0], found[1], "whatever order the folder is listed in", todo)
        here = [key(clip) for clip in _read(component, root).clips]
        for there in elsewhere(component, root):
            todo = "Sort what a set gives, and use no hash(): both differ from run to run"
            _same(here, there, "in every process", todo)


def _same(first: list[str], second: list[str], when: str, todo: str) -> None:
    moved = [clip for clip, other in zip(first, second, strict=False) if clip != other]
    expect(
        first == second,
        f"the same clips in the same order {when}",
        f"another order from {moved[0]} on" if moved else "other clips",
        todo,
    )


def _backwards(names: Any) -> list[Any]:
    return sorted(names, reverse=True)


def _reasons(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        (root / "not of this corpus.wav").write_bytes(b"no audio")
        found = _read(component, root)
        bare = [name for name, reason in found.skipped.items() if not (name and reason)]
        todo = 'Write skipped[relative] = "why, in words": the user is shown it'
        expect(not bare, "a reason for every file left out", _some(bare), todo)
        taken = [clip.relative for clip in found.clips if "not of this corpus" in clip.relative]
        todo = "Match the whole name, and put what does not fit into skipped"
        expect(not taken, "a file with another kind of name to be left out", _some(taken), todo)
        _renamed(component, root, found)


def _renamed(component: Reader, root: Path, before: Reading) -> None:
    """Require that a file with a strange name stays a clip, is skipped, or is reported."""
    path = before.clips[0].path
    if not (path.is_relative_to(root) and path.is_file()):
        return
    path.rename(path.with_name(f"not of this corpus either{path.suffix}"))
    try:
        after = _read(component, root)
    except SertkError:
        return
    there = {clip.path for clip in after.clips}
    fewer = len({clip.path for clip in before.clips}) - len(there)
    more = len(after.skipped) - len(before.skipped)
    expect(
        fewer <= more,
        "a file that cannot be used any more (its name was changed) to be in skipped",
        f"{fewer} fewer in clips and {more} more in skipped",
        'Write skipped[relative] = "why, in words" wherever a file is passed over',
    )


def _corpus_unchanged(component: Reader, given: Given) -> None:
    with given.corpus(component) as root:
        before = _contents(root)
        component.recognises(root)
        _read(component, root)
        after = _contents(root)
    changed = sorted(name for name in before | after if before.get(name) != after.get(name))
    todo = "Write nothing there: corpora are shared, and often cannot be written to"
    expect(not changed, "the corpus to stay as it was", f"{_some(changed)} changed", todo)


def _contents(root: Path) -> dict[str, bytes]:
    return {path.relative_to(root).as_posix(): _content(path) for path in root.rglob("*")}


def _content(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).digest() if path.is_file() else b""


def _some(names: list[str]) -> str:
    shown = ", ".join(f"'{name}'" for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown
