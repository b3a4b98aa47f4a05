"""The leakage audit: what the sides of a split share that they should not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..contracts.components import Utterance
from .split import Split

PAIRS = (("train", "test"), ("validation", "test"), ("train", "validation"))


def audit(split: Split) -> dict[str, Any]:
    """Return shared speakers, duplicate audio and shared texts for each pair of sides.

    `clean` is true when no test speaker and no test audio occurs on another side. Shared texts
    are reported, not judged: most corpora have every speaker say the same sentences.
    """
    report: dict[str, Any] = {}
    for left, right in PAIRS:
        report[f"{left}-{right}"] = {
            "speakers": _shared(split, left, right, lambda item: item.speaker),
            "duplicate_audio": _shared(split, left, right, lambda item: item.hash),
            "texts": len(_shared(split, left, right, lambda item: item.text)),
        }
    report["texts_known"] = all(item.text is not None for _, item in split.sides())
    report["speakers_known"] = all(item.speaker is not None for _, item in split.sides())
    touching = (report["train-test"], report["validation-test"])
    report["clean"] = report["speakers_known"] and not any(
        pair["speakers"] or pair["duplicate_audio"] for pair in touching
    )
    return report


def _shared(
    split: Split, left: str, right: str, key: Callable[[Utterance], str | None]
) -> list[str]:
    sides: dict[str, set[str]] = defaultdict(set)
    for side, item in split.sides():
        if (value := key(item)) is not None:
            sides[side].add(value)
    return sorted(sides[left] & sides[right])


def in_words(report: dict[str, Any]) -> str:
    """Return one line for the terminal and the log."""
    pair = report["train-test"]
    if not report["speakers_known"]:
        start = "leakage audit: speakers unknown"
    else:
        start = "leakage audit: clean" if report["clean"] else "leakage audit: NOT CLEAN"
    return (
        f"{start}; train and test share {len(pair['speakers'])} speakers, "
        f"{len(pair['duplicate_audio'])} recordings, {pair['texts']} texts"
    )
