"""Distribute speakers over the subsets of a split: every class in each, and its share of clips."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ..contracts.components import Utterance

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]
STARTS = 16
SWAPS_UP_TO = 150
TOLERANCE = 0.03


@dataclass(frozen=True)
class Counts:
    """Clips int64 (G, K): of each group of speakers, per pair of corpus and class.

    `classes` (K, C) and `corpora` (K, D) are 0/1 matrices that sum columns by class and by corpus.
    """

    groups: tuple[frozenset[str], ...]
    clips: I64
    classes: I64
    corpora: I64


@dataclass(frozen=True)
class Subsets:
    """The subsets to fill: share of all clips, and weight of a class that is absent, each (P,)."""

    shares: F64
    absent: F64


def count_clips(utterances: Sequence[Utterance]) -> Counts:
    """Count the clips of known speakers by group of speakers, corpus and class."""
    utterances = [item for item in utterances if item.speaker is not None]
    groups = joined_speakers(utterances)
    of_speaker = {name: number for number, group in enumerate(groups) for name in group}
    ranks = corpus_ranks(utterances)
    pairs = {(item.clip.corpus, item.emotion) for item in utterances}
    columns = sorted(pairs, key=lambda pair: (ranks[pair[0]], pair[1]))
    of_column = {column: number for number, column in enumerate(columns)}
    clips = np.zeros((len(groups), len(columns)), np.int64)
    for item in utterances:
        column = of_column[item.clip.corpus, item.emotion]
        clips[of_speaker[str(item.speaker)], column] += 1
    corpora, classes = zip(*columns, strict=True)
    return Counts(groups, clips, _indicators(classes), _indicators(corpora))


def joined_speakers(utterances: Sequence[Utterance]) -> tuple[frozenset[str], ...]:
    """Return groups of speakers that share no recording: two names of one are one group.

    Where that would leave fewer than three groups, each speaker is one; the audit tells.
    """
    group_of: dict[str, set[str]] = {str(item.speaker): {str(item.speaker)} for item in utterances}
    for item in utterances:
        for name in item.other_speakers:
            one, other = group_of[str(item.speaker)], group_of.get(name, set())
            if one is not other:
                one |= other
                group_of.update(dict.fromkeys(other, one))
    groups = {frozenset(group) for group in group_of.values()}
    alone = {frozenset({name}) for name in group_of}
    order = speaker_order(utterances)
    chosen = groups if len(groups) > 2 else alone
    return tuple(sorted(chosen, key=lambda group: sorted(order[name] for name in group)))


def corpus_ranks(utterances: Iterable[Utterance]) -> dict[str, int]:
    """Number corpora by what they hold: a corpus may be renamed, and no draw depends on names."""
    lowest: dict[str, str] = {}
    for item in utterances:
        corpus = item.clip.corpus
        lowest[corpus] = min(lowest.get(corpus, item.hash), item.hash)
    ordered = sorted(lowest, key=lambda corpus: (lowest[corpus], corpus))
    return {corpus: rank for rank, corpus in enumerate(ordered)}


def speaker_order(utterances: Sequence[Utterance]) -> dict[str, tuple[int, str]]:
    """Return what known speakers are sorted by: the rank of the corpus, and the name in it."""
    ranks = corpus_ranks(utterances)
    return {
        item.speaker: (ranks[item.clip.corpus], str(item.clip.speaker))
        for item in utterances
        if item.speaker is not None
    }


def _indicators(names: Sequence[str]) -> I64:
    known = sorted(set(names))
    return np.array([[name == other for other in known] for name in names], np.int64)


def distribute(counts: Counts, subsets: Subsets, rng: np.random.Generator) -> I64:
    """Return the subset of each group, int64 (G,).

    Fewest absent classes come first, then shares: the first draw that is within `TOLERANCE` of its
    shares is taken, so that seeds differ; otherwise the best one after moves and swaps.

    Args:
        counts: At least as many groups as subsets.
        subsets: What to fill.
        rng: Generator of the draws.
    """
    best, lowest = None, np.inf
    for _ in range(STARTS):
        drawn = improve(counts, subsets, _draw(counts, subsets, rng), TOLERANCE)
        cost = float(objective(counts, subsets, _sums(counts, subsets, drawn)))
        if best is None or cost < lowest:
            best, lowest = drawn, cost
        if lowest < 1 and _within(counts, subsets, _sums(counts, subsets, best), TOLERANCE):
            break
    assert best is not None
    return best


def balanced(counts: Counts, folds: int, rng: np.random.Generator) -> I64:
    """Return the fold of each group, int64 (G,): folds as alike as moves and swaps can make them.

    Args:
        counts: At least `folds` groups.
        folds: Number of folds.
        rng: Generator of the draws.
    """
    subsets = Subsets(np.full(folds, 1 / folds), np.ones(folds))
    drawn = [improve(counts, subsets, _draw(counts, subsets, rng)) for _ in range(STARTS)]
    costs = [float(objective(counts, subsets, _sums(counts, subsets, one))) for one in drawn]
    return drawn[int(np.argmin(costs))]


def objective(counts: Counts, subsets: Subsets, sums: I64) -> F64:
    """Return the cost (…) of clips (…, P, K) per subset: absent classes, then uneven shares.

    An absent class costs its weight, at least 1; uneven shares cost less than 1 together: the mean
    squared difference of the share of each pair of corpus and class, and of each corpus.

    Args:
        counts: Clips of the groups.
        subsets: What is filled.
        sums: Clips int64 (…, P, K).
    """
    by_class, by_corpus = sums @ counts.classes, sums @ counts.corpora
    absent = ((by_class == 0) * subsets.absent[:, None]).sum(axis=(-2, -1))
    uneven: F64 = sum(
        np.square(part / part.sum(axis=-2, keepdims=True) - subsets.shares[:, None]).mean((-2, -1))
        for part in (sums, by_corpus)
    )
    cost: F64 = absent + uneven / 2
    return cost


def improve(counts: Counts, subsets: Subsets, given: I64, tolerance: float | None = None) -> I64:
    """Move one group or swap two, whatever lowers the cost most, until nothing does.

    Args:
        counts: Clips of the groups.
        subsets: What is filled.
        given: Subset of each group, int64 (G,).
        tolerance: With no absent class, stop where shares differ by no more than this.

    Returns:
        Subset of each group, int64 (G,).
    """
    chosen: I64 = given.copy()
    while True:
        sums = _sums(counts, subsets, chosen)
        cost = float(objective(counts, subsets, sums))
        if tolerance is not None and cost < 1 and _within(counts, subsets, sums, tolerance):
            return chosen
        options = [_best_move(counts, subsets, chosen, sums)]
        if len(chosen) <= SWAPS_UP_TO:
            options.append(_best_swap(counts, subsets, chosen, sums))
        lower, changed = min(options, key=lambda option: option[0])
        if lower >= cost - 1e-12:
            return chosen
        chosen = changed


def _sums(counts: Counts, subsets: Subsets, chosen: I64) -> I64:
    chosen_by = chosen[None, :] == np.arange(len(subsets.shares))[:, None]
    result: I64 = chosen_by.astype(np.int64) @ counts.clips
    return result


def _within(counts: Counts, subsets: Subsets, sums: I64, tolerance: float) -> bool:
    by_corpus = sums @ counts.corpora
    shares = by_corpus / by_corpus.sum(axis=0)
    return bool((np.abs(shares - subsets.shares[:, None]) <= tolerance).all())


def _draw(counts: Counts, subsets: Subsets, rng: np.random.Generator) -> I64:
    """Give each group, in a random order, to the subset that lacks most of its share."""
    sizes = counts.clips.sum(axis=1)
    filled, wanted = np.zeros(len(subsets.shares)), subsets.shares * sizes.sum()
    chosen = np.zeros(len(sizes), np.int64)
    for group in rng.permutation(len(sizes)):
        chosen[group] = np.argmin(filled / wanted)
        filled[chosen[group]] += sizes[group]
    return chosen


def _best_move(counts: Counts, subsets: Subsets, chosen: I64, sums: I64) -> tuple[float, I64]:
    """Return the lowest cost after a move of one group, and the subsets then."""
    groups, targets = len(chosen), len(subsets.shares)
    moved = np.broadcast_to(sums, (groups, targets, *sums.shape)).copy()
    rows, to = np.meshgrid(np.arange(groups), np.arange(targets), indexing="ij")
    np.subtract.at(moved, (rows, to, chosen[rows]), counts.clips[rows])
    np.add.at(moved, (rows, to, to), counts.clips[rows])
    costs = objective(counts, subsets, moved)
    group, target = np.unravel_index(int(costs.argmin()), costs.shape)
    changed = chosen.copy()
    changed[group] = target
    return float(costs[group, target]), changed


def _best_swap(counts: Counts, subsets: Subsets, chosen: I64, sums: I64) -> tuple[float, I64]:
    """Return the lowest cost after a swap of two groups, and the subsets then."""
    one, other = np.triu_indices(len(chosen), 1)
    apart = chosen[one] != chosen[other]
    one, other = one[apart], other[apart]
    if not len(one):
        return np.inf, chosen
    swapped = np.broadcast_to(sums, (len(one), *sums.shape)).copy()
    pairs = np.arange(len(one))
    difference = counts.clips[other] - counts.clips[one]
    swapped[pairs, chosen[one]] += difference
    swapped[pairs, chosen[other]] -= difference
    costs = objective(counts, subsets, swapped)
    pair = int(costs.argmin())
    changed = chosen.copy()
    changed[[one[pair], other[pair]]] = chosen[[other[pair], one[pair]]]
    return float(costs[pair]), changed


def members(counts: Counts, chosen: I64, subset: int) -> set[str]:
    """Return the speakers of one subset.

    Args:
        counts: Has the groups.
        chosen: Subset of each group, int64 (G,).
        subset: Which one.
    """
    numbers = np.flatnonzero(chosen == subset)
    return {speaker for number in numbers for speaker in counts.groups[number]}
