"""Split clips by speaker-independent protocols, before augmentation and before any fitting."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..contracts.components import Clip, Subset, Utterance
from ..runtime.errors import SertkError
from ..runtime.text import listed
from .balance import (
    Subsets,
    balanced,
    corpus_ranks,
    count_clips,
    distribute,
    joined_speakers,
    members,
    speaker_order,
)

TEST_SHARE = 0.2
VALIDATION_SHARE = 0.15
# A class that is absent from training cannot be learnt; one from testing, not be scored.
VALIDATION = Subsets(np.array([1 - VALIDATION_SHARE, VALIDATION_SHARE]), np.array([100.0, 1.0]))
HOLDOUT = Subsets(
    np.array([*(VALIDATION.shares * (1 - TEST_SHARE)), TEST_SHARE]), np.array([1e4, 1.0, 100.0])
)
NOT_COMPARABLE = "random split: a speaker may be in two subsets, so its metrics are not comparable"
NAMES = "holdout, kfold:K, loso, official, cross-corpus, random"


@dataclass(frozen=True)
class Split:
    """One fold: utterances for training, validation and test, and the caveats of its metrics."""

    name: str
    train: tuple[Utterance, ...]
    validation: tuple[Utterance, ...]
    test: tuple[Utterance, ...]
    labels: tuple[str, ...]
    caveats: tuple[str, ...] = ()

    def subsets(self) -> list[tuple[Subset, Utterance]]:
        """Return every utterance with the name of its subset."""
        return [
            *(("train", item) for item in self.train),
            *(("validation", item) for item in self.validation),
            *(("test", item) for item in self.test),
        ]

    @property
    def summary(self) -> str:
        """Return the number of clips of each subset, in words."""
        subsets = (("training", self.train), ("validation", self.validation), ("test", self.test))
        return ", ".join(f"{len(items)} {name} clips" for name, items in subsets)

    @property
    def hash(self) -> str:
        """Return the hash of clips, labels and subsets; equal hashes mean comparable metrics."""
        return protocol_hash([self])


Rows = Sequence[tuple[str, str, str]]


def protocol_hash(splits: Sequence[Split]) -> str:
    """Return the hash of all folds together."""
    return hash_of(
        [
            (split.labels, [(item.hash, item.emotion, subset) for subset, item in split.subsets()])
            for split in splits
        ]
    )


def hash_of(folds: Sequence[tuple[Sequence[str], Rows]]) -> str:
    """Return 16 hexadecimal digits of a sha256 over labels and (clip, emotion, subset) rows."""
    content = [[list(labels), sorted(rows)] for labels, rows in folds]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def speaker_hash(speaker: str | None) -> str | None:
    """Return a hash that tells speakers apart without their name; None for an unknown speaker."""
    return None if speaker is None else hashlib.sha256(speaker.encode()).hexdigest()[:16]


def make_splits(utterances: Sequence[Utterance], protocol: str, seed: int) -> tuple[Split, ...]:
    """Return all folds of a protocol.

    Args:
        utterances: All clips, in any order.
        protocol: One of holdout, kfold:K, loso, official, cross-corpus, random.
        seed: Seed of every random draw.

    Raises:
        SertkError: Where the data cannot support the protocol.
    """
    kind, folds = parse_protocol(protocol)
    labels = _labels(utterances)
    ordered = _ordered(utterances)
    if kind == "random":
        return (_random(ordered, labels, seed),)
    if kind == "official":
        return (_official(ordered, labels, seed),)
    _check_speakers(ordered)
    if kind == "cross-corpus":
        groups = _speakers_by_corpus(ordered)
    elif kind == "loso":
        groups = [set(group) for group in joined_speakers(ordered)]
    elif kind == "kfold":
        groups = _speaker_folds(ordered, folds, seed)
    else:
        return (_holdout(ordered, labels, seed),)
    splits = [_by_speaker(ordered, group, labels, kind, seed) for group in groups]
    return tuple(splits)


def _ordered(utterances: Sequence[Utterance]) -> list[Utterance]:
    """Sort by what stays the same where a corpus is renamed."""
    ranks = corpus_ranks(utterances)

    def key(item: Utterance) -> tuple[int, str, float, str]:
        return ranks[item.clip.corpus], item.clip.relative, item.clip.start_s, item.hash

    return sorted(utterances, key=key)


def parse_protocol(protocol: str) -> tuple[str, int]:
    """Return ('kfold', 5) from 'kfold:5'; other names with 0."""
    match = re.fullmatch(r"(holdout|loso|official|cross-corpus|random)|kfold:(\d+)", protocol)
    if not match or (match[2] and int(match[2]) < 2):
        raise SertkError(f"protocol expects one of {NAMES}, received {protocol!r}")
    return ("kfold", int(match[2])) if match[2] else (protocol, 0)


def count_folds(clips: Sequence[Clip], protocol: str) -> int:
    """Return how many folds a protocol has, or for loso at most has, by what names say of clips.

    Raises SertkError where the protocol cannot be, whatever the audio is.
    """
    kind, folds = parse_protocol(protocol)
    named = [Utterance(clip, "", 0.0) for clip in clips]
    _labels(named)
    if kind == "official":
        _check_subsets(named)
    if kind in ("official", "random"):
        return 1
    _check_speakers(named)
    if kind == "kfold":
        _check_folds(folds, len(_speakers(named)))
    by_kind = {"kfold": folds, "loso": len(_speakers(named)), "holdout": 1}
    return by_kind[kind] if kind in by_kind else len(_speakers_by_corpus(named))


def _labels(utterances: Sequence[Utterance]) -> tuple[str, ...]:
    counts = Counter(item.emotion for item in utterances)
    if len(counts) < 2:
        received = ", ".join(counts) or "none"
        raise SertkError(
            f"at least two emotions expected, received {received}", "Check --data and --emotions"
        )
    for label, count in sorted(counts.items()):
        if count < 2:
            others = ",".join(sorted(set(counts) - {label}))
            raise SertkError(
                f"emotion '{label}' has one clip, which cannot be both learnt and tested",
                f"Add clips or leave it out: --emotions {others}",
            )
    return tuple(sorted(counts))


def _check_speakers(utterances: Sequence[Utterance]) -> None:
    unknown = sum(item.speaker is None for item in utterances)
    if unknown:
        raise SertkError(
            f"{unknown} of {len(utterances)} clips have no known speaker, so no split can keep "
            "speakers apart",
            "Lay files out as EMOTION/SPEAKER/file.wav, give a CSV with a speaker column, "
            "or use --protocol random (not comparable)",
        )
    if len(_speakers(utterances)) < 2:
        raise SertkError(
            "at least two speakers expected, received one",
            "Add speakers, or use --protocol random (not comparable)",
        )


def _speakers(utterances: Iterable[Utterance]) -> list[str]:
    return sorted({item.speaker for item in utterances if item.speaker is not None})


def _rng(seed: int, *words: str) -> np.random.Generator:
    digest = hashlib.sha256("|".join(words).encode()).digest()
    return np.random.default_rng([seed, int.from_bytes(digest[:8], "big")])


def _holdout(utterances: Sequence[Utterance], labels: tuple[str, ...], seed: int) -> Split:
    counts = count_clips(utterances)
    if len(counts.groups) < 3:
        return _by_speaker(utterances, set(counts.groups[seed % 2]), labels, "holdout", seed)
    chosen = distribute(counts, HOLDOUT, _rng(seed, "holdout"))
    speakers = [members(counts, chosen, subset) for subset in range(3)]
    train, validation, test = (
        tuple(item for item in utterances if item.speaker in names) for names in speakers
    )
    name = f"holdout, test {_short(speakers[2])}"
    return _checked(Split(name, train, validation, test, labels))


def _check_folds(folds: int, speakers: int) -> None:
    if folds > speakers:
        raise SertkError(
            f"kfold:{folds} needs {folds} speakers, received {speakers}",
            f"Use kfold:{speakers} or fewer",
        )


def _speaker_folds(utterances: Sequence[Utterance], folds: int, seed: int) -> list[set[str]]:
    counts = count_clips(utterances)
    _check_folds(folds, len(counts.groups))
    chosen = balanced(counts, folds, _rng(seed, "kfold"))
    return [members(counts, chosen, fold) for fold in range(folds)]


def _speakers_by_corpus(utterances: Sequence[Utterance]) -> list[set[str]]:
    corpora = list(corpus_ranks(utterances))
    if len(corpora) < 2:
        raise SertkError(
            f"cross-corpus expects at least two corpora, received {', '.join(corpora)}",
            "Give --data more than once",
        )
    return [
        set(_speakers(item for item in utterances if item.clip.corpus == name)) for name in corpora
    ]


def _by_speaker(
    utterances: Sequence[Utterance],
    test_speakers: set[str],
    labels: tuple[str, ...],
    kind: str,
    seed: int,
) -> Split:
    order = speaker_order(utterances)
    words = [f"{rank}/{name}" for rank, name in sorted(order[one] for one in test_speakers)]
    name = f"{kind}, test {_short(test_speakers)}"
    test = [item for item in utterances if item.speaker in test_speakers]
    rest = [item for item in utterances if item.speaker not in test_speakers]
    train, validation, caveats = _validation(rest, [kind, *words], seed)
    return _checked(Split(name, train, validation, tuple(test), labels, caveats))


def _short(speakers: Iterable[str]) -> str:
    return listed(sorted(speakers), 4)


TrainValidation = tuple[tuple[Utterance, ...], tuple[Utterance, ...], tuple[str, ...]]


def _validation(rest: Sequence[Utterance], words: Sequence[str], seed: int) -> TrainValidation:
    """Split off validation by speaker, else by text, else by clip; return both and caveats.

    Args:
        rest: What is no test clip.
        words: What the draw depends on besides the seed.
        seed: The seed.
    """
    rng = _rng(seed, "validation", *words)
    if len(_speakers(rest)) > 1 and len((counts := count_clips(rest)).groups) > 1:
        held = members(counts, distribute(counts, VALIDATION, rng), 1)
        return (*_partition(rest, lambda item: item.speaker in held), ())
    unknown = any(item.speaker is None for item in rest)
    within = (
        "speakers are unknown, so a test speaker may be in it"
        if unknown
        else "within the one training speaker; the test speaker is not in it"
    )
    texts = list(dict.fromkeys(item.text for item in rest if item.text is not None))
    if len(texts) >= 5 and all(item.text is not None for item in rest):
        held = set(rng.permutation(texts)[: max(1, round(TEST_SHARE * len(texts)))].tolist())
        caveat = f"validation is by text: {within}"
        return (*_partition(rest, lambda item: item.text in held), (caveat,))
    caveat = f"validation is by clip: {within}"
    picked = _stratified(rest, TEST_SHARE, rng)
    return (*_partition(rest, lambda item: item.hash in picked), (caveat,))


def _partition(
    items: Sequence[Utterance], held: Callable[[Utterance], bool]
) -> tuple[tuple[Utterance, ...], tuple[Utterance, ...]]:
    return (
        tuple(item for item in items if not held(item)),
        tuple(item for item in items if held(item)),
    )


def _stratified(items: Sequence[Utterance], share: float, rng: np.random.Generator) -> set[str]:
    """Draw hashes of about `share` of the clips of each emotion, at least one of two or more."""
    by_emotion: dict[str, list[str]] = defaultdict(list)
    for item in items:
        by_emotion[item.emotion].append(item.hash)
    picked: set[str] = set()
    for _, hashes in sorted(by_emotion.items()):
        count = max(1, round(share * len(hashes))) if len(hashes) > 1 else 0
        picked.update(rng.permutation(sorted(hashes))[:count].tolist())
    return picked


def _random(utterances: Sequence[Utterance], labels: tuple[str, ...], seed: int) -> Split:
    rng = _rng(seed, "random")
    test_hashes = _stratified(utterances, TEST_SHARE, rng)
    rest, test = _partition(utterances, lambda item: item.hash in test_hashes)
    held = _stratified(rest, TEST_SHARE, rng)
    train, validation = _partition(rest, lambda item: item.hash in held)
    return _checked(Split("random", train, validation, test, labels, (NOT_COMPARABLE,)))


def _official(utterances: Sequence[Utterance], labels: tuple[str, ...], seed: int) -> Split:
    by_subset = _check_subsets(utterances)
    train, validation = tuple(by_subset["train"]), tuple(by_subset["validation"])
    caveats: tuple[str, ...] = ()
    if not validation:
        train, validation, caveats = _validation(train, ["official"], seed)
    shared = set(_speakers(train)) & set(_speakers(by_subset["test"]))
    if shared:
        caveats += (f"the official split does not keep speakers apart ({len(shared)} shared)",)
    if any(item.speaker is None for item in utterances):
        caveats += ("speakers unknown: the official split may not keep them apart",)
    return _checked(Split("official", train, validation, tuple(by_subset["test"]), labels, caveats))


def _check_subsets(utterances: Sequence[Utterance]) -> dict[Hashable, list[Utterance]]:
    """Return the clips by the subset that their corpus gives; refuse clips without one."""
    by_subset: dict[Hashable, list[Utterance]] = defaultdict(list)
    for item in utterances:
        by_subset[item.clip.side].append(item)
    if not by_subset["train"] or not by_subset["test"] or by_subset[None]:
        raise SertkError(
            f"official expects a subset (train, validation, test) for every clip, "
            f"{len(by_subset[None])} of {len(utterances)} have none",
            "Use a CSV with a 'split' column, or another --protocol",
        )
    return by_subset


def _checked(split: Split) -> Split:
    missing = set(split.labels) - {item.emotion for item in split.train}
    if missing or not split.validation or not split.test:
        lacking = ", ".join(sorted(missing)) or "clips for validation or test"
        raise SertkError(
            f"the split ({split.name}) leaves no training clip of: {lacking}"
            if missing
            else f"the split ({split.name}) leaves no {lacking}",
            "Try another --seed or --protocol, or leave the emotion out with --emotions",
        )
    unvalidated = sorted(set(split.labels) - {item.emotion for item in split.validation})
    if not unvalidated:
        return split
    caveat = f"no validation clip of {', '.join(unvalidated)}: epochs are chosen without them"
    return replace(split, caveats=(*split.caveats, caveat))
