"""Readers whose order is another one in every process, and what no other process finds."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import pytest

from ser_toolkit.contracts.components import Clip, Match, Reader, Reading
from ser_toolkit.testing import CheckFailed, checks_for

HOME = os.getpid()


def write(folder: Path) -> None:
    for speaker in ("cyd", "ann", "ben"):
        for emotion in ("anger", "sadness", "neutral"):
            (folder / f"{speaker}_{emotion}.wav").touch()


@dataclass(frozen=True)
class Lab(Reader):
    """SPEAKER_EMOTION.wav in one folder."""

    name: ClassVar[str] = "lab"

    def recognises(self, root: Path) -> Match | None:
        return Match(1.0, "names like ann_anger.wav") if list(root.glob("*_*.wav")) else None

    def read(self, root: Path) -> Reading:
        return Reading(tuple(self.clip(path) for path in self.listed(root)), {})

    def listed(self, root: Path) -> Iterable[Path]:
        return sorted(root.glob("*.wav"))

    def clip(self, path: Path) -> Clip:
        speaker, emotion = path.stem.split("_")
        return Clip(path, path.name, "lab", emotion, speaker)


@dataclass(frozen=True)
class Hashed(Lab):
    """Goes through a set."""

    def listed(self, root: Path) -> Iterable[Path]:
        return map(Path, {str(path) for path in root.glob("*.wav")})


@dataclass(frozen=True)
class Ranked(Lab):
    """Sorts by the places of words in a set, which are the same ones every other time."""

    def read(self, root: Path) -> Reading:
        ranks = {word: rank for rank, word in enumerate({"anger", "rest"})}
        found = super().read(root)
        by_rank = sorted(found.clips, key=lambda clip: ranks.get(clip.emotion, ranks["rest"]))
        return replace(found, clips=tuple(by_rank))


@dataclass(frozen=True)
class Homely(Lab):
    """Reads in the process that set it up alone."""

    home: int = HOME

    def read(self, root: Path) -> Reading:
        if os.getpid() != self.home:
            raise ValueError("nobody set me up")
        return super().read(root)


@dataclass(frozen=True)
class Unsorted(Lab):
    """Takes files as they come."""

    def listed(self, root: Path) -> Iterable[Path]:
        return root.glob("*.wav")


def order(reader: Reader) -> None:
    (check,) = (one for one in checks_for(reader, corpora={"lab": write}) if one.name == "order")
    check()


def failure(reader: Reader) -> str:
    with pytest.raises(CheckFailed) as failed:
        order(reader)
    return str(failed.value)


def test_a_good_one_is_read_alike_everywhere() -> None:
    order(Lab())


def test_a_set_has_another_order_in_every_process() -> None:
    assert "expected the same clips in the same order" in failure(Hashed())
    found = failure(Ranked())
    assert "in the same order in every process" in found
    assert "Sort what a set gives" in found


def test_what_a_process_sets_up_for_itself_is_not_there_in_others() -> None:
    assert "to read the same clips, received ValueError: nobody set me up" in failure(Homely())


def test_where_no_other_process_finds_a_reader_this_one_compares_alone() -> None:
    @dataclass(frozen=True)
    class Hidden(Homely):
        """Made in a function."""

    @dataclass(frozen=True)
    class Loose(Unsorted):
        """Made in a function, and out of order in one process already."""

    order(Hidden())
    assert "whatever order the folder is listed in" in failure(Loose())
