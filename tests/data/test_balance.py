"""Speakers over the subsets of a split: classes, shares, and two names of one person."""

from __future__ import annotations

import itertools
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.model_selection import StratifiedGroupKFold

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.data.balance import Counts, Subsets, balanced, count_clips, distribute, objective
from ser_toolkit.data.leakage import audit
from ser_toolkit.data.split import HOLDOUT, Split, make_splits

Row = tuple[str, str, str]


def utterances(rows: Sequence[Row]) -> list[Utterance]:
    """One clip for each corpus, speaker and emotion."""
    return [
        Utterance(Clip(Path("x"), f"{number}.wav", corpus, emotion, speaker), f"{number:064x}", 1.0)
        for number, (corpus, speaker, emotion) in enumerate(rows)
    ]


def confounded(seed: int, most_speakers: int = 30) -> list[Utterance]:
    """A corpus many of whose speakers have one emotion only, and clips of very different number."""
    rng = np.random.default_rng(seed)
    emotions, alone = int(rng.integers(2, 8)), rng.choice([0.1, 0.5, 0.9])
    rows: list[Row] = []
    for speaker in range(int(rng.integers(3, most_speakers + 1))):
        shares = np.eye(emotions)[rng.integers(emotions)]
        if rng.random() > alone:
            shares = rng.dirichlet(np.full(emotions, rng.choice([0.2, 1.0, 5.0])))
        drawn = rng.choice(emotions, int(np.exp(rng.normal(2.5, 1))) + 1, p=shares)
        rows += [("c", f"s{speaker:02d}", f"e{emotion}") for emotion in drawn]
    return utterances(rows)


def urdu_like() -> list[Utterance]:
    """400 clips of 29 speakers, 26 of whom have one emotion only."""
    rows: list[Row] = []
    for speaker in range(26):
        emotion = ("anger", "happiness", "neutral", "sadness")[speaker % 4]
        rows += [("urdu", f"SM{speaker}", emotion)] * (4 + 3 * (speaker % 5))
    for speaker in range(3):
        rows += [("urdu", f"SF{speaker}", e) for e in ("anger", "happiness", "neutral") * 10]
    return utterances(rows)


def table(rows: dict[str, Sequence[int]], corpus: str = "c") -> list[Row]:
    """Rows from numbers of clips per emotion."""
    return [
        (corpus, speaker, f"e{number}")
        for speaker, numbers in rows.items()
        for number, clips in enumerate(numbers)
        for _ in range(clips)
    ]


def of_manifest(path: Path, parse: Callable[[str], tuple[str, str]]) -> list[Utterance]:
    names = [line.split(",")[0] for line in path.read_text("utf-8").splitlines()[1:]]
    wavs = [Path(name).stem for name in names if name.endswith(".wav")]
    return utterances([(path.stem, *parse(name)) for name in wavs])


def real(data: Path) -> Iterator[list[Utterance]]:
    """Speakers and emotions of real corpora, from the names of their files."""
    manifests = data / "manifests"
    yield of_manifest(manifests / "emodb.csv", lambda name: (name[:2], name[5]))
    yield of_manifest(manifests / "ravdess.csv", lambda name: (name[-2:], name[6:8]))
    yield of_manifest(manifests / "cremad.csv", lambda name: (name[:4], name[9:12]))
    ased = [path.stem.split("-") for path in (data / "ased").rglob("*.flac")]
    yield utterances([("ased", parts[-1], parts[0][0].lower()) for parts in ased])


def absent(items: Sequence[Utterance], *subsets: Sequence[Utterance]) -> int:
    """How many classes lack a clip in the subsets, over all of them."""
    classes = {item.emotion for item in items}
    return sum(len(classes - {item.emotion for item in subset}) for subset in subsets)


def sklearn_folds(items: Sequence[Utterance], folds: int) -> list[set[str | None]]:
    truth = [item.emotion for item in items]
    groups = [item.speaker for item in items]
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [{groups[i] for i in test} for _, test in splitter.split(truth, truth, groups)]


def cost_of(counts: Counts, folds: Sequence[set[str | None]]) -> float:
    inside = [[bool(group & fold) for group in counts.groups] for fold in folds]
    subsets = Subsets(np.full(len(folds), 1 / len(folds)), np.ones(len(folds)))
    return float(objective(counts, subsets, np.array(inside, np.int64) @ counts.clips))


def assert_no_worse_than_sklearn(items: Sequence[Utterance], folds: int) -> None:
    theirs = sklearn_folds(items, folds)
    ours = [{u.speaker for u in split.test} for split in make_splits(items, f"kfold:{folds}", 0)]
    counts = count_clips(items)
    assert cost_of(counts, ours) <= cost_of(counts, theirs) + 1e-9


@pytest.mark.slow
def test_folds_are_no_worse_than_those_of_sklearn_on_200_corpora() -> None:
    compared = 0
    for seed in range(200):
        items = confounded(seed)
        counts = count_clips(items)
        folds = min(5, len(counts.groups))
        try:
            theirs = sklearn_folds(items, folds)
        except ValueError:  # no class has as many clips as there are folds
            continue
        chosen = balanced(counts, folds, np.random.default_rng(seed))
        ours = [
            {name for number in np.flatnonzero(chosen == fold) for name in counts.groups[number]}
            for fold in range(folds)
        ]
        assert cost_of(counts, ours) <= cost_of(counts, theirs) + 1e-9, seed
        compared += 1
    assert compared > 150


def test_real_corpora(data_dir: Path) -> None:
    """No worse than sklearn; at ten seeds every class is everywhere, and test has its share."""
    for items in real(data_dir):
        assert_no_worse_than_sklearn(items, 5)
        for seed in range(10):
            (split,) = make_splits(items, "holdout", seed)
            assert absent(items, split.train, split.validation, split.test) == 0
            assert abs(len(split.test) / len(items) - 0.2) <= 0.05
        assert len({make_splits(items, "holdout", seed)[0].hash for seed in range(10)}) > 4


@settings(max_examples=60)
@given(st.integers(0, 10_000))
def test_no_choice_has_fewer_absent_classes(seed: int) -> None:
    """Compared with every possible choice; training comes first, then testing."""
    counts = count_clips(confounded(seed, most_speakers=7))
    if counts.classes.shape[1] < 2:
        return
    every = np.array(list(itertools.product(range(3), repeat=len(counts.groups))))
    sums = (every[:, None, :] == np.arange(3)[None, :, None]).astype(np.int64) @ counts.clips
    lowest = objective(counts, HOLDOUT, sums[sums.sum(axis=2).min(axis=1) > 0]).min()
    chosen = distribute(counts, HOLDOUT, np.random.default_rng(seed))
    ours = (chosen[None, :] == np.arange(3)[:, None]).astype(np.int64) @ counts.clips
    assert int(objective(counts, HOLDOUT, ours)) <= int(lowest)


def test_speakers_with_one_emotion_each_leave_no_class_out() -> None:
    items = urdu_like()
    for seed in range(4):
        (split,) = make_splits(items, "holdout", seed)
        assert absent(items, split.train, split.validation, split.test) == 0
        assert abs(len(split.test) / len(items) - 0.2) <= 0.05
        for fold in make_splits(items, "kfold:5", seed):
            assert absent(items, fold.train, fold.validation, fold.test) == 0


def test_shares_count_clips_and_not_speakers() -> None:
    sizes = {f"s{number}": (n // 2, n - n // 2) for number, n in enumerate((400, 300, 9, 8, 7))}
    items = utterances(table({**sizes, **{f"t{number}": (20, 20) for number in range(20)}}))
    for seed in range(5):
        (split,) = make_splits(items, "holdout", seed)
        assert abs(len(split.test) / len(items) - 0.2) <= 0.05
        assert abs(len(split.validation) / len(items) - 0.12) <= 0.05


def test_every_corpus_of_several_has_its_share() -> None:
    rows = table({f"a{n}": (9, 9) for n in range(20)}, "a")
    items = utterances(rows + table({f"b{n}": (2, 3) for n in range(20)}, "b"))
    for seed in range(5):
        (split,) = make_splits(items, "holdout", seed)
        for corpus, clips in Counter(item.clip.corpus for item in items).items():
            tested = sum(item.clip.corpus == corpus for item in split.test)
            assert abs(tested / clips - 0.2) <= 0.05


@pytest.mark.parametrize("protocol", ["holdout", "kfold:3", "loso"])
def test_two_names_of_one_recording_stay_together(protocol: str) -> None:
    items = utterances(table({f"s{number}": (3, 3) for number in range(8)}))
    items[0] = replace(items[0], other_speakers=("c/s7", "c/of-none-other"))
    for seed in range(5):
        for split in make_splits(items, protocol, seed):
            sides = [{u.speaker for u in side} for side in parts(split)]
            assert sum({"c/s0", "c/s7"} <= side for side in sides) == 1
            assert audit(split)["clean"]


def parts(split: Split) -> tuple[tuple[Utterance, ...], ...]:
    return split.train, split.validation, split.test
