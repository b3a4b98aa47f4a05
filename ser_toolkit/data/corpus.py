"""Turn folders into usable utterances: read, select emotions, leave out unusable files."""

from __future__ import annotations

import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..contracts.components import Clip, Reader, Reading, Utterance
from ..plugins.registry import Plugins
from ..runtime.audio.channels import MIX
from ..runtime.audio.decode import check_speech, content_hash
from ..runtime.errors import AudioError, SertkError
from ..runtime.text import listed, plural, unicode_name
from ..utils.progress import Callback
from .clip_audio import read_clip
from .labels import select
from .sources import named_apart, sources_of

COLUMNS_SHOWN = 12
Check = Callable[[Sequence[Clip]], None]
EMPTY = {"", "nan", "na", "<na>", "n/a", "null", "none"}


@dataclass(frozen=True)
class Corpus:
    """Usable utterances and the licence and citation of each source."""

    utterances: tuple[Utterance, ...]
    synthetic: bool
    sources: tuple[dict[str, str], ...]


def load_corpus(
    data: Sequence[str | Path],
    plugins: Plugins,
    callback: Callback,
    span_s: tuple[float, float] | None = None,
    reader: str | None = None,
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
    check: Check = lambda clips: None,
    channel: str = MIX,
) -> Corpus:
    """Read a corpus, leave out clips that a recipe cannot use, and note how many remain.

    Args:
        data: Folders, or names of readers that make their own corpus; NAME=PATH names a corpus.
        plugins: Plugins with the readers.
        callback: Receiver of notes, warnings and progress.
        span_s: The part of each clip that the recipe uses; None is the whole clip.
        reader: Name of the reader; None chooses the best match.
        emotions: Labels to keep; empty keeps all.
        mapping: New labels by old ones.
        check: Called with the selected clips before their audio is decoded; it may refuse them.
        channel: Channel of the files, in place of the reader's.
    """
    renamed = dict(mapping or {})
    corpus = read_corpus(data, plugins, callback, reader, emotions, renamed, check, channel)
    corpus = drop_clips_shorter_than(corpus, span_s, callback)
    callback.note(summary(corpus.utterances))
    return corpus


def read_corpus(
    data: Sequence[str | Path],
    plugins: Plugins,
    callback: Callback,
    reader: str | None = None,
    emotions: Sequence[str] = (),
    mapping: dict[str, str] | None = None,
    check: Check = lambda clips: None,
    channel: str = MIX,
) -> Corpus:
    """Read corpora, select emotions, decode and check. Raises SertkError where nothing is usable.

    Single unusable files are left out with a warning.

    Args:
        data: Folders, or names of readers that make their own corpus; NAME=PATH names a corpus.
        plugins: Plugins with the readers.
        callback: Receiver of notes, warnings and progress.
        reader: Name of the reader; None chooses the best match.
        emotions: Labels to keep; empty keeps all.
        mapping: New labels by old ones.
        check: As for `load_corpus`.
        channel: Channel of the files, in place of the reader's.
    """
    chosen = sources_of(data, plugins, callback, reader)
    corpora: list[list[Clip]] = []
    for source in chosen:
        callback.note(f"{source.shown}: read as '{source.reader.name}' ({source.why})")
        corpora.append(_clips(_read(source.reader, source.root), source.reader, callback))
    clips = [clip for named in named_apart(corpora, chosen) for clip in named]
    if channel != MIX:
        clips = [replace(clip, channel=channel) for clip in clips]
    selected = select(clips, tuple(emotions), mapping or {})
    check(selected)
    utterances = _unique(_decoded(selected, callback), callback)
    readers = [source.reader for source in chosen]
    facts = tuple(
        {"reader": one.name, "licence": one.licence, "citation": one.citation} for one in readers
    )
    return Corpus(utterances, any(one.synthetic for one in readers), facts)


def _read(reader: Reader, root: Path) -> Reading:
    reading = reader.read(root)
    if not isinstance(reading, Reading):
        raise SertkError(
            f"read of reader '{reader.name}' expects a Reading, received {type(reading).__name__}",
            "Report it to its author; `sertk plugins check` shows it",
        )
    return reading


def _clips(reading: Reading, reader: Reader, callback: Callback) -> list[Clip]:
    for note in reading.notes:
        callback.note(f"{reader.name}: {note}")
    if reading.ignored:
        callback.note(f"{reader.name}: ignored: {listed(reading.ignored, COLUMNS_SHOWN)}")
    clips = [_composed(clip) for clip in reading.clips]
    skipped = dict(reading.skipped)
    skipped |= {c.relative: f"no emotion: '{c.emotion}'" for c in clips if _says_nothing(c.emotion)}
    if skipped:
        callback.warn(
            f"{reader.name}: {len(skipped)} files left out",
            [f"{name}: {why}" for name, why in sorted(skipped.items())],
        )
    return [clip for clip in clips if not _says_nothing(clip.emotion)]


def _composed(clip: Clip) -> Clip:
    """Return the clip with names in one Unicode form: some systems write é as e and an accent."""
    emotion, corpus = _nfc(clip.emotion), _nfc(clip.corpus)
    speaker, text = (None if name is None else _nfc(name) for name in (clip.speaker, clip.text))
    relative = unicode_name(clip.relative)
    return replace(
        clip, relative=relative, corpus=corpus, emotion=emotion, speaker=speaker, text=text
    )


def _nfc(name: str) -> str:
    return unicodedata.normalize("NFC", unicode_name(name))


def _says_nothing(emotion: str) -> bool:
    """Say whether a word is what programs write into an empty cell."""
    return emotion.strip().lower() in EMPTY


def _decoded(clips: Sequence[Clip], callback: Callback) -> list[Utterance]:
    usable: list[Utterance] = []
    unusable: list[str] = []
    damaged: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_decode, clips)
        for utterance, problem in callback.track(results, "Checking audio", len(clips)):
            if utterance is None:
                unusable.append(problem)
                continue
            usable.append(utterance)
            damaged += [problem] if problem else []
    if unusable and not usable:
        problem = f"none of {len(unusable)} files is usable; the first: {unusable[0]}"
        raise SertkError(problem, "Check --data, and play one of the files")
    if unusable:
        callback.warn(f"{len(unusable)} of {len(clips)} files are unusable and left out", unusable)
    if damaged:
        callback.warn(
            f"{len(damaged)} of {len(clips)} files are damaged, and used as far as they go", damaged
        )
    return usable


def _decode(clip: Clip) -> tuple[Utterance | None, str]:
    """Return an utterance, or None, and what is wrong with its file."""
    row = f" ({clip.where})" if clip.where else ""
    try:
        audio = read_clip(clip)
        check_speech(audio, clip.relative)
    except AudioError as error:
        return None, f"{error}{row}"
    utterance = Utterance(clip, content_hash(audio), audio.duration_s)
    return utterance, audio.warning and f"{audio.warning}{row}"


def _unique(utterances: Sequence[Utterance], callback: Callback) -> tuple[Utterance, ...]:
    """Keep one utterance per recording, and none of a recording that carries two labels."""
    by_hash: dict[str, list[Utterance]] = defaultdict(list)
    for item in utterances:
        by_hash[item.hash].append(item)
    repeated = [group for group in by_hash.values() if len(group) > 1]
    contested = {group[0].hash for group in repeated if len({u.emotion for u in group}) > 1}
    if repeated:
        callback.warn(
            f"{sum(len(group) - 1 for group in repeated)} duplicate recordings left out"
            + (f", and {len(contested)} that carry two emotions" if contested else ""),
            [" = ".join(item.name for item in group) for group in repeated],
        )
    kept = tuple(_named(group) for key, group in by_hash.items() if key not in contested)
    if twins := Counter((u.speaker, name) for u in kept for name in u.other_speakers):
        callback.warn(
            f"{len(twins)} pairs of speakers share recordings: one person under two names? Each "
            "pair stays in one subset",
            [f"{one} = {other}: {number} recordings" for (one, other), number in twins.items()],
        )
    if not kept:
        raise SertkError(
            "no usable recording is left", "Every file is a duplicate with two emotions"
        )
    return kept


def _named(group: Sequence[Utterance]) -> Utterance:
    """Return the first of some utterances of one recording, with the speakers of the others."""
    others = {item.speaker for item in group if item.speaker is not None} - {group[0].speaker}
    return replace(group[0], other_speakers=tuple(sorted(others)))


def drop_clips_shorter_than(
    corpus: Corpus, span_s: tuple[float, float] | None, callback: Callback
) -> Corpus:
    """Drop clips that end before the part of a clip that the recipe uses begins.

    Args:
        corpus: All clips.
        span_s: Start and end of that part in seconds; None keeps every clip.
        callback: Receiver of the warning that names the dropped clips.
    """
    if span_s is None:
        return corpus
    kept = tuple(item for item in corpus.utterances if item.seconds > span_s[0])
    short = [item for item in corpus.utterances if item.seconds <= span_s[0]]
    reason = f"the recipe uses what comes after {span_s[0]:g} s"
    if not kept:
        raise SertkError(f"all clips are too short: {reason}", "Choose another recipe")
    if short:
        callback.warn(
            f"{len(short)} clips left out, {reason}",
            [f"{item.name}: {item.seconds:.2f} s" for item in short],
        )
    return replace(corpus, utterances=kept)


def summary(utterances: Sequence[Utterance]) -> str:
    """Return the number of clips, minutes, speakers and clips per emotion, in one line."""
    counts = Counter(item.emotion for item in utterances)
    known = {item.speaker for item in utterances if item.speaker is not None}
    speakers = plural(len(known), "speaker") if known else "speakers unknown"
    minutes = sum(item.seconds for item in utterances) / 60
    per_class = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    return f"{len(utterances)} clips, {minutes:.1f} min, {speakers}: {per_class}"
