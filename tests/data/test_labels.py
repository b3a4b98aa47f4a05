"""Canonical emotions, mappings and subsets."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ser_toolkit.contracts.components import Clip
from ser_toolkit.data.labels import (
    ALIASES,
    EMOTIONS,
    canonical,
    canonical_emotion,
    check_labels,
    class_names,
    parse_emotions,
    parse_mapping,
    select,
)
from ser_toolkit.runtime.errors import SertkError


def clips(*emotions: str) -> tuple[Clip, ...]:
    names = [f"{index}.wav" for index in range(len(emotions))]
    return tuple(Clip(Path(n), n, "c", e) for n, e in zip(names, emotions, strict=True))


DATA = clips("anger", "calm", "neutral", "happiness", "anger", "my own")


WORDS = (
    ("anger", "anger"),
    ("Angry", "anger"),
    (" ANG ", "anger"),
    ("happy", "happiness"),
    ("hap", "happiness"),
    ("joy", "happiness"),
    ("03Happy", "happiness"),
    ("4_sad", "sadness"),
    ("05 - Neutral", "neutral"),
    ("ps", "surprise"),
    ("pleasant_surprised", "surprise"),
    ("Pleasant surprise", "surprise"),
    ("pleasant-surprised", "surprise"),
    ("fearful", "fear"),
    ("anxiety", "fear"),
    ("sad", "sadness"),
    ("Neutral", "neutral"),
    ("joyful", None),
    ("Actor_01", None),
    ("", None),
)


def test_canonical() -> None:
    for word, emotion in WORDS:
        assert canonical(word) == emotion, word


def test_every_emotion_is_its_own_name_and_every_alias_leads_to_one() -> None:
    assert [canonical(emotion) for emotion in EMOTIONS] == list(EMOTIONS)
    assert set(ALIASES.values()) <= set(EMOTIONS)
    assert not set(ALIASES) & set(EMOTIONS)


@given(st.text())
def test_any_word_gets_a_stable_label(word: str) -> None:
    assert canonical(word) in {None, *EMOTIONS}
    assert canonical_emotion(canonical_emotion(word)) == canonical_emotion(word)


def test_class_names_are_sorted_and_single() -> None:
    assert class_names(DATA) == ("anger", "calm", "happiness", "my own", "neutral")
    assert class_names(()) == ()


def test_everything_is_kept_by_default() -> None:
    assert select(DATA) == DATA


def test_a_subset_keeps_the_order_of_the_clips() -> None:
    kept = select(DATA, ("neutral", "angry", "My own"))
    assert kept == tuple(DATA[index] for index in (0, 2, 4, 5))


def test_labels_are_mapped_before_the_subset_is_taken() -> None:
    kept = select(DATA, ["neutral"], {"calm": "neutral"})
    assert [clip.relative for clip in kept] == ["1.wav", "2.wav"]
    assert class_names(kept) == ("neutral",)


def test_several_may_become_one_and_a_new_name_is_allowed() -> None:
    kept = select(DATA, mapping={"calm": "low", "neutral": "Low", "happy": "high"})
    assert class_names(kept) == ("anger", "high", "low", "my own")


def test_mapping_is_simultaneous() -> None:
    swapped = select(DATA, mapping={"calm": "anger", "anger": "calm"})
    assert [clip.emotion for clip in swapped] == [
        "calm",
        "anger",
        "neutral",
        "happiness",
        "calm",
        "my own",
    ]


def test_unknown_words_list_what_there_is() -> None:
    have = "it has: anger, calm, happiness, my own, neutral"
    with pytest.raises(SertkError) as caught:
        select(DATA, ["joyful"])
    assert str(caught.value) == f"'joyful' is not an emotion of this data; {have}"
    with pytest.raises(SertkError, match="'sadness' is not an emotion of this data"):
        select(DATA, mapping={"sadness": "anger"})


def test_an_emotion_that_was_mapped_away_is_unknown() -> None:
    with pytest.raises(SertkError, match=r"'calm' is not .* it has: anger, happiness, my own, neu"):
        select(DATA, ["calm"], {"calm": "neutral"})


def test_labels_that_are_no_emotions_are_asked_for() -> None:
    check_labels(clips("anger", "frustration", "positive"))
    words = ["0", "1", "anger", "fear", "laughter", *map(str, range(10, 20))]
    with pytest.raises(SertkError) as caught:
        check_labels(clips(*words))
    assert "received '0' (1), '1' (1), '10' (1)" in str(caught.value)
    assert "and 7 more" in str(caught.value)
    for todo in ("--map 0=anger", "--emotions anger,fear,", "--labels-as-they-are"):
        assert todo in str(caught.value)
    check_labels(select(clips("0", "sadness"), mapping={"0": "anger"}))


def test_no_clips_have_no_emotion() -> None:
    with pytest.raises(SertkError, match="it has: none"):
        select((), ["anger"])


def test_parse_mapping() -> None:
    assert parse_mapping(["calm=neutral", " Happy = Positive ,ps=positive"]) == {
        "calm": "neutral",
        "happiness": "positive",
        "surprise": "positive",
    }
    assert parse_mapping([]) == {}
    assert parse_mapping(["calm=neutral", "calm=neutral"]) == {"calm": "neutral"}


def test_what_is_no_mapping() -> None:
    for pair in ("calm", "calm=", "=neutral", "="):
        with pytest.raises(SertkError, match=f"old=new expected, received '{pair}'"):
            parse_mapping([pair])


def test_two_targets_for_one_word() -> None:
    with pytest.raises(SertkError, match="'angry' is mapped both to 'fear' and to 'sad'"):
        parse_mapping(["anger=fear", "angry=sad"])


def test_parse_emotions() -> None:
    assert parse_emotions("Anger, sad ,own,angry") == ("anger", "sadness", "own")
    with pytest.raises(SertkError, match="separated by commas"):
        parse_emotions(" , ")
