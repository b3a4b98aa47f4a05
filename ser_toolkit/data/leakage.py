"""The leakage audit: what the subsets of a split share and should not."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from typing import Any

from ..contracts.components import Utterance
from .split import Split

PAIRS = (("train", "test"), ("validation", "test"), ("train", "validation"))


def audit(split: Split) -> dict[str, Any]:
    """Return shared speakers, duplicate audio and shared texts for each pair of subsets.

    `clean` is true when no test speaker and no test audio occurs in another subset. Shared texts
    are only reported: in most corpora every speaker says the same sentences.
    """
    report: dict[str, Any] = {}
    for left, right in PAIRS:
        report[f"{left}-{right}"] = {
            "speakers": _shared(split, left, right, lambda item: item.speaker),
            "duplicate_audio": _shared(split, left, right, lambda item: item.hash),
            "texts": len(_shared(split, left, right, lambda item: item.text)),
        }
    report["texts_known"] = all(item.text is not None for _, item in split.subsets())
    report["speakers_known"] = all(item.speaker is not None for _, item in split.subsets())
    touching = (report["train-test"], report["validation-test"])
    report["clean"] = report["speakers_known"] and not any(
        pair["speakers"] or pair["duplicate_audio"] for pair in touching
    )
    return report


def _shared(
    split: Split, left: str, right: str, key: Callable[[Utterance], str | None]
) -> list[str]:
    values: dict[str, set[str]] = defaultdict(set)
    for subset, item in split.subsets():
        if (value := key(item)) is not None:
            values[subset].add(value)
    return sorted(values[left] & values[right])


def audit_summary(report: dict[str, Any]) -> str:
    """Return the audit in one line, for the terminal and the log."""
    pair = report["train-test"]
    if not report["speakers_known"]:
        start = "leakage audit: speakers unknown"
    else:
        start = "leakage audit: clean" if report["clean"] else "leakage audit: NOT CLEAN"
    return (
        f"{start}; train and test share {len(pair['speakers'])} speakers, "
        f"{len(pair['duplicate_audio'])} recordings, {pair['texts']} texts"
    )
