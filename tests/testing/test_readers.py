"""Readers that are bad in one way each: that check fails, and no other."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest

from ser_toolkit.contracts.components import Clip, Match, Reader, Reading
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.testing import CheckFailed, NotChecked, checks_for

WORDS = {"a": "anger", "h": "happiness", "n": "neutral"}


def lab(folder: Path) -> None:
    """Return nine recordings of three speakers."""
    for speaker in ("cyd", "ann", "ben"):
        for code in WORDS:
            (folder / f"{speaker}_{code}.wav").write_bytes(b"RIFF")


@dataclass(frozen=True)
class Lab(Reader):
    """SPEAKER_CODE.wav in one folder."""

    name: ClassVar[str] = "lab"

    def recognises(self, root: Path) -> Match | None:
        files = list(root.glob("*.wav"))
        fitting = [path for path in files if self.fields(path)]
        return Match(len(fitting) / len(files), "names like ann_a.wav") if fitting else None

    def read(self, root: Path) -> Reading:
        clips: list[Clip] = []
        skipped: dict[str, str] = {}
        for path in self.listed(root):
            fields = self.fields(path)
            if fields is None:
                skipped[path.name] = self.why()
            else:
                speaker, code = fields
                clip = Clip(path, path.name, "lab", WORDS[code], speaker)
                clips.append(self.altered(clip))
        if not clips:
            raise SertkError(f"no recording in {root}", "Check the folder")
        return Reading(tuple(clips), skipped)

    def listed(self, root: Path) -> Iterable[Path]:
        return sorted(root.glob("*.wav"))

    def fields(self, path: Path) -> list[str] | None:
        parts = path.stem.split("_")
        return parts if len(parts) == 2 and parts[1] in WORDS else None

    def why(self) -> str:
        return "not named SPEAKER_CODE.wav"

    def altered(self, clip: Clip) -> Clip:
        return clip


@dataclass(frozen=True)
class Vain(Lab):
    """Recognises everything."""

    def recognises(self, root: Path) -> Match | None:
        return Match(0.5, "looks like mine")


@dataclass(frozen=True)
class Fragile(Lab):
    """Falls over what is no folder."""

    def recognises(self, root: Path) -> Match | None:
        list(root.iterdir())
        return super().recognises(root)


@dataclass(frozen=True)
class Content(Lab):
    """Has nothing to say of an empty folder."""

    def read(self, root: Path) -> Reading:
        return super().read(root) if any(root.iterdir()) else Reading((), {})


@dataclass(frozen=True)
class Shy(Lab):
    """Recognises nothing."""

    def recognises(self, root: Path) -> Match | None:
        return None


@dataclass(frozen=True)
class Certain(Lab):
    """Is more than sure."""

    def recognises(self, root: Path) -> Match | None:
        return replace(found, score=2.0) if (found := super().recognises(root)) else None


@dataclass(frozen=True)
class Lost(Lab):
    """Looks elsewhere."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, path=clip.path.parent / "wav" / clip.path.name)


@dataclass(frozen=True)
class Absolute(Lab):
    """Shows where the corpus lies."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, relative=f"/{clip.relative}")


@dataclass(frozen=True)
class Twice(Lab):
    """Gives the last clip twice."""

    def read(self, root: Path) -> Reading:
        found = super().read(root)
        return replace(found, clips=(*found.clips, found.clips[-1]))


@dataclass(frozen=True)
class Wordy(Lab):
    """Uses words of its own."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, emotion="Angry" if clip.emotion == "anger" else clip.emotion)


@dataclass(frozen=True)
class Moody(Lab):
    """Knows one emotion."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, emotion="anger")


@dataclass(frozen=True)
class Anonymous(Lab):
    """Forgets who speaks."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, speaker=None)


@dataclass(frozen=True)
class Unsorted(Lab):
    """Takes files as they come."""

    def listed(self, root: Path) -> Iterable[Path]:
        return [path for path in root.iterdir() if path.suffix == ".wav"]


@dataclass(frozen=True)
class Walking(Lab):
    """Walks, in the order of the file system."""

    def listed(self, root: Path) -> Iterable[Path]:
        for folder, _, names in os.walk(root):
            yield from (Path(folder, name) for name in names if name.endswith(".wav"))


@dataclass(frozen=True)
class Mute(Lab):
    """Passes over what it cannot use."""

    def read(self, root: Path) -> Reading:
        return replace(super().read(root), skipped={})


@dataclass(frozen=True)
class Greedy(Lab):
    """Recognises any audio."""

    def recognises(self, root: Path) -> Match | None:
        audio = [*root.glob("*.wav"), *root.glob("*.flac")]
        return Match(1.0, f"{len(audio)} recordings") if audio else None


@dataclass(frozen=True)
class Renaming(Lab):
    """Shows a path that is not there."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, relative=f"wav/{clip.relative}")


@dataclass(frozen=True)
class Ending(Lab):
    """Ends before it starts."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, start_s=2.0, end_s=1.0)


@dataclass(frozen=True)
class Tidy(Lab):
    """Makes a folder for later."""

    def recognises(self, root: Path) -> Match | None:
        found = super().recognises(root)
        if found is not None:
            (root / "cache").mkdir(exist_ok=True)
        return found


@dataclass(frozen=True)
class Numbered(Lab):
    """Counts people."""

    def altered(self, clip: Clip) -> Clip:
        return replace(clip, speaker=["ann", "ben", "cyd"].index(str(clip.speaker)) + 1)  # type: ignore[arg-type]


@dataclass(frozen=True)
class Silent(Lab):
    """Leaves out, and says nothing."""

    def why(self) -> str:
        return ""


@dataclass(frozen=True)
class Writing(Lab):
    """Leaves an index behind."""

    def read(self, root: Path) -> Reading:
        found = super().read(root)
        (root / "index.json").write_text("{}")
        return found


BAD: list[tuple[str, Reader]] = [
    ("strangers", Vain()),
    ("strangers", Fragile()),
    ("strangers", Content()),
    ("strangers", Greedy()),
    ("recognised", Shy()),
    ("recognised", Certain()),
    ("files", Lost()),
    ("files", Absolute()),
    ("files", Twice()),
    ("files", Renaming()),
    ("files", Ending()),
    ("labels", Wordy()),
    ("labels", Moody()),
    ("speakers", Anonymous()),
    ("order", Unsorted()),
    ("order", Walking()),
    ("reasons", Silent()),
    ("reasons", Mute()),
    ("corpus_unchanged", Writing()),
    ("corpus_unchanged", Tidy()),
]


def test_a_good_one_fails_nothing(failing: Any) -> None:
    assert failing(Lab(), corpora={"lab": lab}) == {}


@pytest.fixture(scope="module")
def failures() -> dict[type, dict[str, str]]:
    """What each bad reader fails; `order`, which starts processes, only where that is bad."""
    found: dict[type, dict[str, str]] = {}
    for name, bad in BAD:
        found[type(bad)] = {}
        for check in checks_for(bad, corpora={"lab": lab}):
            if check.name == "order" and name != "order":
                continue
            try:
                check()
            except CheckFailed as failed:
                found[type(bad)][check.name] = str(failed)
    return found


@pytest.mark.parametrize(("name", "bad"), BAD, ids=lambda one: str(one).split("(")[0])
def test_a_bad_one_fails_that_check_alone(
    failures: dict[type, dict[str, str]], name: str, bad: Reader
) -> None:
    assert set(failures[type(bad)]) == {name}


def test_messages_say_what_to_do(failures: dict[type, dict[str, str]]) -> None:
    output_text = {kind: " ".join(found.values()) for kind, found in failures.items()}
    assert "received 'Angry'. Write 'anger'" in output_text[Wordy]
    assert "Sort what glob, iterdir and os.walk give" in output_text[Unsorted]
    assert "NotADirectoryError" in output_text[Fragile]
    assert "'index.json' changed" in output_text[Writing]
    assert "none for 'ann_a.wav', 'ann_h.wav', 'ann_n.wav' and 6 more" in output_text[Anonymous]
    assert "received 1 fewer in clips and 0 more in skipped" in output_text[Mute]


def test_what_is_no_text_is_named(failing: Any) -> None:
    found = failing(Numbered(), corpora={"lab": lab})
    assert "received speaker=1" in str(found["speakers"]), str(found["speakers"])


def test_every_check_has_a_bad_reader() -> None:
    names = {check.name for check in checks_for(Lab())}
    assert names == {name for name, _ in BAD} | {"declared", "json"}


def test_without_a_corpus_what_needs_one_is_not_checked() -> None:
    open_ = set()
    for check in checks_for(Lab()):
        try:
            check()
        except NotChecked as missing:
            open_.add(check.name)
            assert "give corpora={'lab': function}" in str(missing)
    assert open_ == {name for name, _ in BAD} - {"strangers"}


def test_folders_are_listed_as_before_afterwards(tmp_path: Path, failing: Any) -> None:
    before = os.listdir, os.scandir
    failing(Unsorted(), corpora={"lab": lab})
    assert (os.listdir, os.scandir) == before
