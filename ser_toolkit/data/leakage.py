"""The leakage audit: what the subsets of a split share that they should not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from ..contracts.components import Utterance
from ..runtime.errors import SertkError
from ..runtime.text import plural
from .split import Split

PAIRS = (("train", "test"), ("validation", "test"), ("train", "validation"))
SHARED = {
    "speakers": "speakers",
    "one_person": "pairs of names of one person",
    "duplicate_audio": "recordings",
    "overlapping": "overlapping segments",
    "source_files": "source files",
    "texts": "texts",
}
WORDS = {"train": "training", "validation": "validation", "test": "test"}
Key = Callable[[Utterance], str | None]


def audit(split: Split) -> dict[str, Any]:
    """Return what each pair of subsets shares, and what emotions are tied to.

    `clean` is true when no test speaker, no test audio, and no part of a test segment occurs in
    another subset. Shared texts and source files are only reported: in most corpora every speaker
    says the same sentences. What is unknown is None, and never 0.
    """
    items = [item for _, item in split.subsets()]
    known = {
        "texts_known": all(item.text is not None for item in items),
        "speakers_known": all(item.speaker is not None for item in items),
    }
    report: dict[str, Any] = {
        f"{left}-{right}": _pair(getattr(split, left), getattr(split, right), known)
        for left, right in PAIRS
    }
    touching = (report["train-test"], report["validation-test"])
    clean = known["speakers_known"] and not any(
        pair[key]
        for pair in touching
        for key in ("speakers", "one_person", "duplicate_audio", "overlapping")
    )
    tied = {"speaker": _tied(items, lambda u: u.speaker), "text": _tied(items, lambda u: u.text)}
    return {**report, **known, "one_emotion": tied, "clean": clean}


def _pair(
    left: Sequence[Utterance], right: Sequence[Utterance], known: dict[str, bool]
) -> dict[str, Any]:
    speakers = _shared(left, right, lambda item: item.speaker)
    texts = _shared(left, right, lambda item: item.text)
    return {
        "speakers": speakers if known["speakers_known"] or speakers else None,
        "one_person": _one_person(left, right),
        "duplicate_audio": _shared(left, right, lambda item: item.hash),
        "source_files": len(_shared(left, right, _source)),
        "overlapping": _overlapping(left, right),
        "texts": len(texts) if known["texts_known"] else None,
    }


def _shared(left: Iterable[Utterance], right: Iterable[Utterance], key: Key) -> list[str]:
    both = {key(item) for item in left} & {key(item) for item in right}
    return sorted(value for value in both if value is not None)


def _one_person(left: Sequence[Utterance], right: Sequence[Utterance]) -> list[str]:
    """Return pairs of names that share a recording, with one in each of two subsets."""
    names = [{item.speaker for item in items} for items in (left, right)]
    pairs = {
        " = ".join(sorted((str(item.speaker), other)))
        for items, others in ((left, names[1]), (right, names[0]))
        for item in items
        for other in item.other_speakers
        if other in others
    }
    return sorted(pairs)


def _source(item: Utterance) -> str:
    return f"{item.clip.corpus}/{item.clip.relative} {item.clip.path}"


def _overlapping(left: Sequence[Utterance], right: Sequence[Utterance]) -> list[str]:
    """Return the segments of `right` that share audio with one of `left`, by name."""
    segments = defaultdict(list)
    for item in left:
        segments[_source(item)].append((item.clip.start_s, item.clip.start_s + item.seconds))
    return sorted(
        item.name
        for item in right
        if any(
            item.clip.start_s < end and start < item.clip.start_s + item.seconds
            for start, end in segments.get(_source(item), ())
        )
    )


def refuse_overlapping(splits: Iterable[Split]) -> None:
    """Raise SertkError where a segment shares audio with one of another subset."""
    for split in splits:
        for left, right in PAIRS:
            if found := _overlapping(getattr(split, left), getattr(split, right)):
                raise SertkError(
                    f"{_overlap(found, right, left)}, e.g. of '{found[0]}' ({split.name})",
                    "Cut segments that do not overlap, or keep each file to one speaker or one "
                    "split; --overlapping trains on them as they are",
                )


def _overlap(found: Sequence[str], subset: str, other: str) -> str:
    segments = plural(len(found), f"{WORDS[subset]} segment")
    return f"part of {segments} is in {WORDS[other]} segments of the same file"


def _tied(items: Iterable[Utterance], key: Key) -> dict[str, int] | None:
    """Count what has several clips, and of these what has one emotion; None where one is unknown.

    What has one clip cannot have two emotions.
    """
    emotions: dict[str, list[str]] = defaultdict(list)
    for item in items:
        if (value := key(item)) is None:
            return None
        emotions[value].append(item.emotion)
    several = [found for found in emotions.values() if len(found) > 1]
    return {"of": len(several), "one_emotion": sum(len(set(found)) == 1 for found in several)}


def audit_caveats(report: dict[str, Any]) -> list[str]:
    """Return what a reader of the metrics must know: shared audio, and what emotions are tied to.

    A tie counts where it holds for half of the speakers or texts.
    """
    caveats = []
    for pair in ("train-test", "validation-test"):
        if found := report.get(pair, {}).get("overlapping"):
            words = _overlap(found, "test", pair.partition("-")[0])
            caveats.append(f"{words}: the network has seen what it is tested on")
    for what, numbers in report.get("one_emotion", {}).items():
        if numbers and numbers["of"] and 2 * numbers["one_emotion"] >= numbers["of"]:
            caveats.append(
                f"{numbers['one_emotion']} of {numbers['of']} {what}s have one emotion only: "
                f"the network may recognise the {what} in place of the emotion"
            )
    return caveats


def audit_summary(report: dict[str, Any]) -> str:
    """Return the audit in one line, for the terminal and the log."""
    pair = report["train-test"]
    if not report["speakers_known"]:
        start = "leakage audit: not every speaker is known"
    else:
        start = "leakage audit: clean" if report["clean"] else "leakage audit: NOT CLEAN"
    unknown = [name for name in ("speakers", "texts") if pair[name] is None]
    always = ("speakers", "duplicate_audio", "texts")
    counts = {
        name: pair[key] if isinstance(pair[key], int) else len(pair[key])
        for key, name in SHARED.items()
        if pair[key] or (key in always and pair[key] is not None)
    }
    shared = ", ".join(f"{count} {name}" for name, count in counts.items())
    line = f"{start}; train and test share {shared}"
    return f"{line}; {' and '.join(unknown)} unknown" if unknown else line
