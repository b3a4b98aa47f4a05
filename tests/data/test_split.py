"""Speaker-disjoint protocols and the leakage audit."""

from __future__ import annotations

import itertools
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ser_toolkit.contracts.components import Clip, Subset, Utterance
from ser_toolkit.data.corpus import summary
from ser_toolkit.data.leakage import audit, audit_summary
from ser_toolkit.data.split import (
    Split,
    count_folds,
    make_splits,
    parse_protocol,
    protocol_hash,
)
from ser_toolkit.runtime.errors import SertkError

EMOTIONS = ("anger", "neutral", "sadness")


def corpus(
    speakers: int,
    texts: int = 6,
    corpus: str = "c",
    emotions: tuple[str, ...] = EMOTIONS,
    known: bool = True,
) -> list[Utterance]:
    return [
        Utterance(
            Clip(
                Path("x"),
                f"{speaker}/{emotion}{text}.wav",
                corpus,
                emotion,
                f"s{speaker:02d}" if known else None,
                f"t{text}",
            ),
            f"{hash((corpus, speaker, emotion, text)) % 2**64:016x}".ljust(64, "0"),
            1.0,
        )
        for speaker in range(speakers)
        for emotion in emotions
        for text in range(texts)
    ]


def speakers_of(items: tuple[Utterance, ...]) -> set[str | None]:
    return {item.speaker for item in items}


@settings(deadline=None, max_examples=40)
@given(
    speakers=st.integers(3, 12),
    seed=st.integers(0, 1000),
    protocol=st.sampled_from(["holdout", "loso", "kfold:3"]),
)
def test_no_speaker_is_ever_on_two_sides(speakers: int, seed: int, protocol: str) -> None:
    clips = corpus(speakers, texts=2)
    for split in make_splits(clips, protocol, seed):
        sides = [speakers_of(side) for side in (split.train, split.validation, split.test)]
        assert not sides[0] & sides[1] and not sides[0] & sides[2] and not sides[1] & sides[2]
        assert Counter(u.name for _, u in split.subsets()) == Counter(u.name for u in clips)
        assert {u.emotion for u in split.train} == set(EMOTIONS)
        assert audit(split)["clean"]


@pytest.mark.parametrize(("protocol", "folds"), [("loso", 7), ("kfold:3", 3), ("holdout", 1)])
def test_every_clip_is_tested_once_over_the_folds(protocol: str, folds: int) -> None:
    clips = corpus(7)
    splits = make_splits(clips, protocol, 0)
    assert len(splits) == folds
    tested = Counter(u.name for split in splits for u in split.test)
    assert max(tested.values()) == 1
    if folds > 1:
        assert len(tested) == len(clips)


def test_two_speakers_validate_by_text_and_say_so_first() -> None:
    for split in make_splits(corpus(2), "loso", 0):
        assert len(speakers_of(split.train)) == 1
        assert speakers_of(split.train) == speakers_of(split.validation)
        assert not {u.text for u in split.train} & {u.text for u in split.validation}
        assert "by text" in split.caveats[0]
        assert not speakers_of(split.test) & speakers_of(split.train)


def test_two_speakers_with_few_texts_validate_by_clip() -> None:
    (split, _) = make_splits(corpus(2, texts=4), "loso", 0)
    assert "by clip" in split.caveats[0]
    assert {u.emotion for u in split.validation} == set(EMOTIONS)


def test_the_hash_knows_clips_labels_and_sides_alone() -> None:
    clips = corpus(6)
    first = make_splits(clips, "holdout", 0)
    assert protocol_hash(first) == protocol_hash(make_splits(clips[::-1], "holdout", 0))
    assert protocol_hash(first) != protocol_hash(make_splits(clips[:-1], "holdout", 0))
    seeds = {protocol_hash(make_splits(clips, "holdout", seed)) for seed in range(12)}
    assert len(seeds) > 1


def renamed(clips: list[Utterance], names: dict[str, str]) -> list[Utterance]:
    return [replace(u, clip=replace(u.clip, corpus=names[u.clip.corpus])) for u in clips]


def test_a_corpus_that_is_renamed_has_the_same_subsets() -> None:
    one, two = corpus(7), corpus(2)
    both = corpus(6, corpus="c") + corpus(5, corpus="d")
    protocols = ("holdout", "kfold:3", "loso", "random")
    for clips, kinds in (
        (one, protocols),
        (two, protocols[2:]),
        (both, (*protocols, "cross-corpus")),
    ):
        for protocol, seed in itertools.product(kinds, range(3)):
            before = make_splits(clips, protocol, seed)
            after = make_splits(renamed(clips, {"c": "z", "d": "a"}), protocol, seed)
            for split, other in zip(before, after, strict=True):
                assert [(s, u.hash) for s, u in split.subsets()] == [
                    (s, u.hash) for s, u in other.subsets()
                ]
            assert protocol_hash(before) == protocol_hash(after)


def test_cross_corpus_leaves_one_corpus_out() -> None:
    clips = corpus(3, corpus="a") + corpus(3, corpus="b")
    tested = [
        {u.clip.corpus for u in split.test} for split in make_splits(clips, "cross-corpus", 0)
    ]
    assert tested in ([{"a"}, {"b"}], [{"b"}, {"a"}])
    with pytest.raises(SertkError, match="at least two"):
        make_splits(corpus(3), "cross-corpus", 0)


def test_official_follows_the_corpus_and_reports_shared_speakers() -> None:
    sides: tuple[Subset, ...] = ("train", "validation", "test")
    clips = [
        Utterance(
            Clip(Path("x"), u.clip.relative, "c", u.emotion, u.clip.speaker, side=sides[i % 3]),
            u.hash,
            1.0,
        )
        for i, u in enumerate(corpus(3))
    ]
    (split,) = make_splits(clips, "official", 0)
    assert {u.clip.side for u in split.test} == {"test"}
    assert "does not keep speakers apart" in split.caveats[0]
    findings = audit(split)
    assert not findings["clean"] and "NOT CLEAN" in audit_summary(findings)
    with pytest.raises(SertkError, match="have none"):
        make_splits(corpus(3), "official", 0)
    nameless = [replace(u, clip=replace(u.clip, speaker=None)) for u in clips]
    (split,) = make_splits(nameless, "official", 0)
    assert split.caveats[0] == "speakers unknown: the official split may not keep them apart"
    assert "speakers unknown: " in summary(nameless) and "3 speakers: " in summary(clips)


def test_random_is_labelled_and_its_audit_not_clean() -> None:
    (split,) = make_splits(corpus(4), "random", 0)
    assert "not comparable" in split.caveats[0]
    assert not audit(split)["clean"]


UNSUPPORTED = (
    (corpus(1), "holdout", "at least two speakers"),
    (corpus(4, emotions=("anger",)), "holdout", "at least two emotions"),
    (corpus(4, known=False), "loso", "no known speaker"),
    (corpus(4), "kfold:9", "needs 9 speakers"),
    (corpus(4), "kfold:1", "protocol expects"),
    (corpus(4), "nonsense", "protocol expects"),
    ([*corpus(4), *corpus(1, 1, "d", ("fear",))], "holdout", "'fear' has one clip"),
    ([], "holdout", "at least two emotions"),
)


def test_what_the_data_cannot_support_is_refused() -> None:
    for clips, protocol, message in UNSUPPORTED:
        with pytest.raises(SertkError, match=message):
            make_splits(clips, protocol, 0)


def test_one_speaker_is_allowed_at_random() -> None:
    assert len(make_splits(corpus(1), "random", 0)[0].test) > 0
    assert len(make_splits(corpus(1, known=False), "random", 0)[0].test) > 0


def test_the_audit_finds_what_it_looks_for() -> None:
    clips = corpus(3)
    leaky = Split("x", tuple(clips[:6]), tuple(clips[6:9]), tuple(clips[5:12]), EMOTIONS)
    findings = audit(leaky)
    assert findings["train-test"]["duplicate_audio"] == [clips[5].hash]
    assert findings["train-test"]["speakers"] == ["c/s00"]
    assert findings["train-test"]["texts"] > 0
    assert not findings["clean"]


def test_protocols_parse() -> None:
    assert parse_protocol("kfold:12") == ("kfold", 12)
    assert parse_protocol("loso") == ("loso", 0)


def test_names_alone_tell_what_a_protocol_can_be() -> None:
    def clip(number: int, speaker: str | None = "", side: Any = None) -> Clip:
        emotion, who = ("anger", "fear")[number % 2], f"s{number % 4}"
        return Clip(
            Path(), f"{number}.wav", "c", emotion, who if speaker == "" else None, side=side
        )

    clips = [clip(number) for number in range(16)]
    counts = {"holdout": 1, "random": 1, "loso": 4, "kfold:3": 3}
    assert {protocol: count_folds(clips, protocol) for protocol in counts} == counts
    nameless = [clip(number, None) for number in range(16)]
    assert count_folds(nameless, "random") == 1
    subsets = [clip(number, side="test" if number > 9 else "train") for number in range(16)]
    assert count_folds(subsets, "official") == 1
    for those, protocol, part in (
        (clips, "kfold:5", "kfold:5 needs 5 speakers, received 4"),
        (clips, "official", "16 of 16 have none"),
        (clips, "cross-corpus", "at least two corpora"),
        (nameless, "loso", "16 of 16 clips have no known speaker"),
        (clips[::4], "random", "at least two emotions expected, received anger"),
        ([], "random", "received none"),
    ):
        with pytest.raises(SertkError, match=part):
            count_folds(those, protocol)
