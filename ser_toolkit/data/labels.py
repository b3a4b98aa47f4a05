"""Name emotions: canonical names, aliases that corpora use, selections and mappings."""

from __future__ import annotations

import dataclasses
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

from ..contracts.components import Clip, Subset
from ..runtime.errors import SertkError
from ..runtime.text import listed

EMOTIONS = (
    "anger",
    "boredom",
    "calm",
    "contempt",
    "disgust",
    "fear",
    "happiness",
    "neutral",
    "sadness",
    "surprise",
)
"""The canonical names of emotions. Other words are allowed in a corpus and stay as they are."""

ALIASES: Mapping[str, str] = MappingProxyType(
    {
        word: emotion
        for emotion, words in (
            ("anger", "ang angry"),
            ("boredom", "bor bored"),
            ("calm", "calmness"),
            ("contempt", "contemptuous"),
            ("disgust", "dis disgusted"),
            ("fear", "anxiety anxious fea fearful"),
            ("happiness", "hap happy joy"),
            ("neutral", "neu neutrality"),
            ("sadness", "sad"),
            ("surprise", "pleasant_surprise pleasant_surprised ps sur surprised"),
        )
        for word in words.split()
    }
)

SUBSET_WORDS: Mapping[str, Subset] = MappingProxyType(
    {
        "train": "train",
        "training": "train",
        "validation": "validation",
        "valid": "validation",
        "val": "validation",
        "dev": "validation",
        "test": "test",
    }
)
"""Words for the subsets, in lower case, as tables and folders have them."""

OTHER_WORDS = """
admiration affection amazed amazement amused amusement annoyance annoyed apologetic assertive
awe concern concerned confidence confident confused confusion content contentment curiosity
curious delight delighted despair disappointed disappointment embarrassed embarrassment
encouraging enthusiasm enthusiastic envy exc excited excitement fru frustrated frustration
gratitude grief guilt guilty hate hatred hope hopeful interest interested irritated irritation
jealous jealousy lonely loneliness love negative nervous nervousness panic passion pleased
pleasure positive pride proud rage regret relief relieved remorse satisfaction satisfied scared
shame shy shyness sorrow sympathy tender tenderness triumph trust worried worry
"""
OTHER_EMOTIONS = frozenset(OTHER_WORDS.split())
"""Words of corpora for emotions that stay as they are, each a label of its own."""
LABELS_SHOWN = 6


def canonical(word: str) -> str | None:
    """Return the canonical emotion for a word in any case, or None where there is none.

    A number before it counts for nothing: corpora have folders `03Happy` and `4_sad`.
    """
    key = re.sub(r"[\s_-]+", "_", word.strip().lower())
    for form in (key, key.lstrip("0123456789").lstrip("_")):
        if form in EMOTIONS:
            return form
        if form in ALIASES:
            return ALIASES[form]
    return None


def canonical_emotion(word: str) -> str:
    """Return the canonical emotion for a word, else the word itself in lower case."""
    return canonical(word) or word.strip().lower()


def check_labels(clips: Iterable[Clip]) -> None:
    """Raise SertkError where labels are other words than emotions: numbers, names, sessions."""
    counts = Counter(clip.emotion for clip in clips)
    other = sorted(set(counts) - set(EMOTIONS) - OTHER_EMOTIONS)
    if not other:
        return
    shown = listed([f"'{word}' ({counts[word]})" for word in other], LABELS_SHOWN)
    kept = ",".join(sorted(set(counts) - set(other)))
    leave_out = f", leave them out with --emotions {kept}" if "," in kept else ""
    raise SertkError(
        f"emotions expected as labels, received {shown}",
        f"Rename them with --map {other[0]}=anger{leave_out}, or add --labels-as-they-are",
    )


def parse_mapping(pairs: Iterable[str]) -> dict[str, str]:
    """Parse `old=new` (several, or comma-separated) into a mapping from label to label."""
    mapping: dict[str, str] = {}
    for pair in (part for text in pairs for part in text.split(",") if part.strip()):
        old, equals, new = (part.strip() for part in pair.partition("="))
        if not (old and equals and new):
            raise SertkError(f"a mapping old=new expected, received '{pair.strip()}'")
        source, target = canonical_emotion(old), canonical_emotion(new)
        if mapping.setdefault(source, target) != target:
            raise SertkError(f"'{old}' is mapped both to '{mapping[source]}' and to '{new}'")
    return mapping


def parse_emotions(text: str) -> tuple[str, ...]:
    """Parse `a,b,c` into labels, each once."""
    words = [canonical_emotion(word) for word in text.split(",") if word.strip()]
    if not words:
        raise SertkError(f"emotions separated by commas expected, received '{text}'")
    return tuple(dict.fromkeys(words))


def class_names(clips: Iterable[Clip]) -> tuple[str, ...]:
    """Return the labels of the clips, sorted: the order of the classes."""
    return tuple(sorted({clip.emotion for clip in clips}))


def select(
    clips: Sequence[Clip],
    emotions: Sequence[str] = (),
    mapping: Mapping[str, str] | None = None,
) -> tuple[Clip, ...]:
    """Map labels, then keep the clips of `emotions`.

    Args:
        clips: All clips.
        emotions: Labels to keep after mapping; empty keeps all.
        mapping: New labels by old ones, applied at once: a=b with b=a swaps the two.

    Raises:
        SertkError: For a word that is no label of the data.
    """
    mapped = _mapped(clips, mapping or {})
    labels = class_names(mapped)
    kept = {_label(word, labels) for word in emotions} or set(labels)
    return tuple(clip for clip in mapped if clip.emotion in kept)


def _mapped(clips: Sequence[Clip], mapping: Mapping[str, str]) -> list[Clip]:
    labels = class_names(clips)
    new = {_label(old, labels): canonical_emotion(to) for old, to in mapping.items()}
    return [dataclasses.replace(c, emotion=new.get(c.emotion, c.emotion)) for c in clips]


def _label(word: str, labels: Sequence[str]) -> str:
    for candidate in (word, canonical_emotion(word)):
        if candidate in labels:
            return candidate
    have = ", ".join(labels) or "none"
    raise SertkError(f"'{word}' is not an emotion of this data; it has: {have}")
