"""Say in words what the test clips are too few, or too uneven, to show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from ..contracts.components import Utterance

FEWEST_OF_CLASS = 5
FEWEST_CLIPS = 30
FEWEST_SPEAKERS = 5


def caveats_of(tested: Sequence[Utterance], labels: Sequence[str]) -> list[str]:
    """Return the caveats of metrics over these clips: absent classes first, then small numbers.

    Args:
        tested: The test clips.
        labels: All classes of the network.
    """
    counts = Counter(item.emotion for item in tested)
    absent = [label for label in labels if not counts[label]]
    caveats = []
    if absent:
        have = "has" if len(absent) == 1 else "have"
        present = len(labels) - len(absent)
        caveats.append(
            f"{_listed(absent)} {have} no test clip: UAR is over {present} of {len(labels)} classes"
        )
    if small := _small(tested, {label: counts[label] for label in labels if counts[label]}):
        caveats.append(
            f"the test clips are few ({', '.join(small)}): their 95 % interval says little"
        )
    return caveats


def _small(tested: Sequence[Utterance], counts: dict[str, int]) -> list[str]:
    """Return what is below its least number, in words."""
    speakers = {item.speaker for item in tested if item.speaker is not None}
    small = [f"{len(tested)} clips"] if len(tested) < FEWEST_CLIPS else []
    if 0 < len(speakers) < FEWEST_SPEAKERS:
        small.append(f"{len(speakers)} speaker{'s' if len(speakers) > 1 else ''}")
    few = [f"{count} of {label}" for label, count in counts.items() if count < FEWEST_OF_CLASS]
    if len(few) > 2:
        few = [f"{len(few)} classes with under {FEWEST_OF_CLASS}"]
    return small + few


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:-1]) + " and " * (len(names) > 1) + names[-1]
