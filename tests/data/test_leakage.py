"""The leakage audit: what subsets share, what is unknown, and what emotions are tied to."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from ser_toolkit.contracts.components import Clip, Utterance
from ser_toolkit.data.leakage import audit, audit_caveats, audit_summary, refuse_overlapping
from ser_toolkit.data.split import Split, make_splits
from ser_toolkit.runtime.errors import SertkError


def utterance(speaker: str | None, text: str | None, recording: int) -> Utterance:
    clip = Clip(Path("x"), f"{recording}.wav", "c", "fear", speaker, text)
    return Utterance(clip, f"{recording:064x}", 1.0)


def split(train: list[Utterance], test: list[Utterance]) -> Split:
    validation = utterance("v", "t9", 999)
    return Split("x", tuple(train), (validation,), tuple(test), ("fear",))


TIED = [
    *(("a", f"t{n}", "fear") for n in range(4)),
    *(("b", f"t{n}", "joy") for n in range(4)),
    *(("c", f"t{n}", ("fear", "joy")[n % 2]) for n in range(4)),
]


def replace_emotion(item: Utterance, emotion: str) -> Utterance:
    return replace(item, clip=replace(item.clip, emotion=emotion))


def test_the_audit_finds_what_is_shared() -> None:
    clean = audit(split([utterance("a", "t1", 1)], [utterance("b", "t1", 2)]))
    assert clean["clean"] and clean["speakers_known"] and clean["texts_known"]
    assert clean["train-test"] == {
        "speakers": [],
        "one_person": [],
        "duplicate_audio": [],
        "source_files": 0,
        "overlapping": [],
        "texts": 1,
    }
    assert audit_summary(clean).startswith("leakage audit: clean; train and test share 0 speakers")
    speaker = audit(split([utterance("a", "t1", 1)], [utterance("a", "t2", 2)]))
    assert not speaker["clean"]
    assert speaker["train-test"]["speakers"] == ["c/a"]
    assert "NOT CLEAN; train and test share 1 speakers" in audit_summary(speaker)
    audio = audit(split([utterance("a", "t1", 1)], [utterance("b", "t2", 1)]))
    assert not audio["clean"]
    assert audio["train-test"]["duplicate_audio"] == [f"{1:064x}"]
    held = audit(split([utterance("a", "t1", 1)], [utterance("v", "t2", 2)]))
    assert not held["clean"]
    assert held["validation-test"]["speakers"] == ["c/v"]
    unknown = audit(split([utterance(None, None, 1)], [utterance("b", None, 2)]))
    assert not unknown["clean"]
    assert not unknown["texts_known"]
    assert unknown["train-test"]["speakers"] is None and unknown["train-test"]["texts"] is None
    assert audit_summary(unknown) == (
        "leakage audit: not every speaker is known; train and test share 0 recordings; "
        "speakers and texts unknown"
    )
    named = replace(utterance("a", "t1", 1), other_speakers=("c/b",))
    twins = audit(split([named], [utterance("b", "t2", 2)]))
    assert not twins["clean"] and twins["train-test"]["one_person"] == ["c/a = c/b"]


def segment(start_s: float, speaker: str = "a") -> Utterance:
    clip = Clip(Path("long.wav"), "long.wav", "c", "fear", speaker, None, start_s, start_s + 4)
    return Utterance(clip, f"{int(10 * start_s):064x}", 4.0)


def test_the_audit_finds_segments_that_overlap() -> None:
    """Segments of 4 s every 2 s, in turn for training and testing."""
    segments = [segment(2.0 * number, "ab"[number % 2]) for number in range(8)]
    found = audit(split(segments[::2], segments[1::2]))
    assert not found["clean"] and len(found["train-test"]["overlapping"]) == 4
    assert "4 overlapping segments, 1 source files" in audit_summary(found)
    apart = audit(split([segment(0.0)], [segment(4.0, "b")]))
    assert apart["clean"] and apart["train-test"]["source_files"] == 1


def test_the_audit_counts_what_has_one_emotion() -> None:
    tied = [replace_emotion(utterance(s, t, n), e) for n, (s, t, e) in enumerate(TIED)]
    found = audit(split(tied[::2], tied[1::2]))
    assert found["one_emotion"]["speaker"] == {"of": 3, "one_emotion": 2}
    assert found["one_emotion"]["text"] == {"of": 4, "one_emotion": 0}
    (caveat,) = audit_caveats(found)
    assert caveat.startswith("2 of 3 speakers have one emotion only")
    nothing = audit(split([utterance("a", None, 1)], [utterance("b", None, 2)]))
    assert nothing["one_emotion"]["text"] is None


def test_the_audit_of_a_random_split_is_not_clean(utterances: tuple[Utterance, ...]) -> None:
    (found,) = make_splits(utterances, "random", 0)
    assert not audit(found)["clean"]
    assert audit(found)["train-test"]["speakers"] == ["synthetic/spk01", "synthetic/spk02"]


def test_segments_that_overlap_in_two_subsets_are_refused() -> None:
    apart = split([segment(0.0), segment(2.0)], [segment(10.0, "b")])
    refuse_overlapping([apart])
    both = split([segment(0.0)], [segment(2.0, "b"), segment(20.0, "b")])
    with pytest.raises(
        SertkError, match="part of 1 test segment is in training segments"
    ) as caught:
        refuse_overlapping([apart, both])
    assert "'c/long.wav@2s'" in str(caught.value) and "--overlapping" in str(caught.value)
    assert audit_caveats(audit(both))[0].startswith("part of 1 test segment is in training")
    assert not any("same file" in caveat for caveat in audit_caveats(audit(apart)))
