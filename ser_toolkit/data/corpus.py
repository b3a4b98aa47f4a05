"""Turn folders into usable utterances: choose a reader, leave out unusable files."""

from __future__ import annotations

import itertools
import os
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from ..contracts.components import Clip, Match, Reader, Reading, Utterance
from ..plugins.errors import DefectError, broken
from ..plugins.loader import PluginComponent
from ..plugins.registry import Plugins
from ..plugins.sandbox import attempt, captured
from ..runtime.audio.decode import check_speech, content_hash, read_audio
from ..runtime.errors import AudioError, SertkError
from ..utils.files import cache_dir
from ..utils.progress import Callback
from .labels import select

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
) -> Corpus:
    """Read a corpus, leave out clips that a recipe cannot use, and note how many remain.

    Args:
        data: Folders, or names of readers that make their own corpus.
        plugins: Plugins with the readers.
        callback: Receiver of notes, warnings and progress.
        span_s: The part of each clip that the recipe uses; None is the whole clip.
        reader: Name of the reader; None chooses the best match.
        emotions: Labels to keep; empty keeps all.
        mapping: New labels by old ones.
        check: Called with the selected clips before their audio is decoded; it may refuse them.
    """
    corpus = read_corpus(data, plugins, callback, reader, emotions, dict(mapping or {}), check)
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
) -> Corpus:
    """Read corpora, select emotions, decode and check. Raises SertkError where nothing is usable.

    Single unusable files are left out with a warning.

    Args:
        data: Folders, or names of readers that make their own corpus.
        plugins: Plugins with the readers.
        callback: Receiver of notes, warnings and progress.
        reader: Name of the reader; None chooses the best match.
        emotions: Labels to keep; empty keeps all.
        mapping: New labels by old ones.
        check: As for `load_corpus`.
    """
    if not data:
        data = _without_data(plugins, reader)
    chosen = [_choose(plugins, where, reader) for where in data]
    corpora: list[list[Clip]] = []
    for (source, root, why), where in zip(chosen, data, strict=True):
        callback.note(f"{Path(where).name or where}: read as '{source.name}' ({why})")
        corpora.append(_clips(_read(source, root), source, callback))
    clips = [clip for named in named_apart(corpora, chosen) for clip in named]
    selected = select(clips, tuple(emotions), mapping or {})
    check(selected)
    utterances = _unique(_decoded(selected, callback), callback)
    sources = tuple(
        {"reader": source.name, "licence": source.licence, "citation": source.citation}
        for source, _, _ in chosen
    )
    return Corpus(utterances, any(source.synthetic for source, _, _ in chosen), sources)


def _without_data(plugins: Plugins, reader: str | None) -> list[str]:
    if reader is not None and not plugins.get("reader", reader).needs_folder:
        return [reader]
    raise SertkError("no data given", "Add --data DIR, or --data synthetic for the built-in corpus")


def _choose(plugins: Plugins, where: str | Path, name: str | None) -> tuple[Reader, Path, str]:
    root = Path(where)
    named = None if name is None else plugins.get("reader", name)
    if not root.exists():
        for candidate in plugins.all("reader"):
            if candidate.name == str(where) and not candidate.needs_folder:
                if named not in (None, candidate):
                    raise SertkError(
                        f"'{where}' makes its own corpus, which '{name}' does not read",
                        "Leave out --reader, or give it a folder with --data",
                    )
                return candidate, cache_dir() / "corpora", "made by the toolkit"
        raise SertkError(
            f"data folder '{where}' does not exist",
            "Check the path; --data synthetic uses the built-in corpus",
        )
    if named is not None:
        return named, root, "as --reader says"
    return _recognised(plugins, root)


def _recognised(plugins: Plugins, root: Path) -> tuple[Reader, Path, str]:
    results = [
        (offer.component, _match(plugins, offer, root)) for offer in plugins.components("reader")
    ]
    matches = [(reader, result) for reader, result in results if isinstance(result, Match)]
    if not matches:
        for _, result in results:
            if isinstance(result, Exception):
                raise result
        names = ", ".join(reader.name for reader, _ in results if reader.needs_folder)
        raise SertkError(
            f"no reader recognises '{root}'",
            f"Expected a known corpus, a folder per emotion or a CSV; or choose --reader: {names}",
        )
    best = max(match.score for _, match in matches)
    winners = [(reader, match) for reader, match in matches if match.score == best]
    if len(winners) > 1:
        names = ", ".join(reader.name for reader, _ in winners)
        raise SertkError(f"several readers fit '{root}': {names}", "Choose one with --reader")
    reader, match = winners[0]
    return reader, root, match.why


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
    emotion = unicodedata.normalize("NFC", clip.emotion)
    speaker, text = (
        None if name is None else unicodedata.normalize("NFC", name)
        for name in (clip.speaker, clip.text)
    )
    return replace(clip, emotion=emotion, speaker=speaker, text=text)


def _says_nothing(emotion: str) -> bool:
    """Say whether a word is what programs write into an empty cell."""
    return emotion.strip().lower() in EMPTY


def named_apart(
    corpora: Sequence[Sequence[Clip]], sources: Sequence[tuple[Reader, Path, str]]
) -> list[list[Clip]]:
    """Give folders and tables of one name other names, by the folder above them.

    Speakers of a published corpus, which has its reader's name, are the same in all its copies.

    Args:
        corpora: Clips of each source.
        sources: Reader and path of each, in the same order.
    """
    names = Counter(name for clips in corpora for name in {clip.corpus for clip in clips})
    taken: set[str] = set()
    named = []
    for clips, (reader, root, _) in zip(corpora, sources, strict=True):
        twice = {c.corpus for c in clips if names[c.corpus] > 1 and c.corpus != reader.name}
        others = {name: _free(f"{root.resolve().parent.name}-{name}", taken) for name in twice}
        taken |= set(others.values())
        named.append([replace(c, corpus=others.get(c.corpus, c.corpus)) for c in clips])
    return named


def _free(name: str, taken: set[str]) -> str:
    numbered = (f"{name}-{number}" for number in itertools.count(2))
    return next(one for one in itertools.chain([name], numbered) if one not in taken)


def _decoded(clips: Sequence[Clip], callback: Callback) -> list[Utterance]:
    usable: list[Utterance] = []
    unusable: list[str] = []
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(_decode, clips)
        for result in callback.track(results, "Checking audio", len(clips)):
            if isinstance(result, Utterance):
                usable.append(result)
            else:
                unusable.append(result)
    if unusable and not usable:
        problem = f"none of {len(unusable)} files is usable; the first: {unusable[0]}"
        raise SertkError(problem, "Check --data, and play one of the files")
    if unusable:
        callback.warn(f"{len(unusable)} of {len(clips)} files are unusable and left out", unusable)
    return usable


def _decode(clip: Clip) -> Utterance | str:
    try:
        audio = read_audio(clip.path, clip.start_s, clip.end_s, shown=clip.relative)
        check_speech(audio, clip.relative)
    except AudioError as error:
        return str(error)
    return Utterance(clip, content_hash(audio), len(audio.samples) / audio.rate_hz)


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
    speakers = {item.speaker for item in utterances if item.speaker is not None}
    minutes = sum(item.seconds for item in utterances) / 60
    per_class = ", ".join(f"{label} {count}" for label, count in sorted(counts.items()))
    return f"{len(utterances)} clips, {minutes:.1f} min, {len(speakers)} speakers: {per_class}"
