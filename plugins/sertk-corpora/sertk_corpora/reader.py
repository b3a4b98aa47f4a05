"""Read every corpus whose file names say what is in the files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ser_toolkit import (
    AudioError,
    Clip,
    Match,
    Reader,
    Reading,
    SertkError,
    audio_files,
    read_audio,
)

Pairs = tuple[tuple[str, str], ...]
LOSSY = (".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac")
BEGINNING_S = 0.05


@dataclass(frozen=True, kw_only=True)
class CorpusReader(Reader):
    """Read a corpus whose file names have speaker, emotion and text.

    `pattern` is matched against the end of the path without suffix. Its named groups are emotion
    and speaker, and where the corpus has one, text; all its groups together name the utterance, so
    that a second copy elsewhere in the tree is left out. `emotions` and `speakers` turn codes
    into names; a speaker without an entry keeps its code. Folders named in `ignored` hold files
    that come with the corpus and are not part of it.
    """

    # `field()`: without it a dataclass would take the attribute of the base for a default.
    name: str = field()  # type: ignore[misc]
    example: str
    pattern: str
    emotions: Pairs
    n_files: int
    language: str
    licence: str = field()
    citation: str = field()
    homepage: str = field()
    speakers: Pairs = ()
    ignored: tuple[str, ...] = ()

    def recognises(self, root: Path) -> Match | None:
        """Return the share of audio files that are named as in this corpus; None under a half."""
        files = self._files(root) if root.is_dir() else {}
        fitting = sum(match is not None for _, match in files.values())
        if not fitting or 2 * fitting < len(files):
            return None
        why = f"{fitting} of {len(files)} audio files are named like {self.example}"
        return Match(fitting / len(files), why)

    def read(self, root: Path) -> Reading:
        """Return every utterance once; of several copies the first that decodes.

        Lossless copies come first, then those in fewer folders.
        """
        copies: dict[tuple[str | None, ...], list[Clip]] = {}
        skipped: dict[str, str] = {}
        for relative, (path, match) in self._files(root).items():
            if match is None or match["emotion"] not in dict(self.emotions):
                skipped[relative] = self._why_not(match)
                continue
            clip = self._clip(match, path, relative)
            copies.setdefault(self._utterance(match), []).append(clip)
        if not copies:
            todo = f"Its files are named like {self.example}"
            raise SertkError(f"no file of the corpus '{self.name}' below '{root}'", todo)
        clips = sorted(map(_chosen, copies.values()), key=lambda clip: clip.relative)
        n_copies = sum(map(len, copies.values())) - len(clips)
        return Reading(tuple(clips), skipped, self._notes(len(clips), n_copies))

    def _files(self, root: Path) -> dict[str, tuple[Path, re.Match[str] | None]]:
        """Return audio files outside of ignored folders, with the match of their names."""
        # With the root's own name in front, a speaker's folder can be given as the root.
        pattern, base = re.compile(rf"(?:.*/)?(?:{self.pattern})\.[^./]+"), root.resolve().name
        return {
            relative: (path, pattern.fullmatch(f"{base}/{relative}"))
            for relative, path in audio_files(root).items()
            if not set(relative.split("/")[:-1]) & set(self.ignored)
        }

    def _clip(self, match: re.Match[str], path: Path, relative: str) -> Clip:
        return Clip(
            path=path,
            relative=relative,
            corpus=self.name,
            emotion=dict(self.emotions)[match["emotion"]],
            speaker=self._speaker(match),
            text=match.groupdict().get("text"),
        )

    def _speaker(self, match: re.Match[str]) -> str:
        return dict(self.speakers).get(match["speaker"], match["speaker"])

    def _utterance(self, match: re.Match[str]) -> tuple[str | None, ...]:
        """Return what identifies the utterance: all groups, the speaker by its true name."""
        at = match.re.groupindex["speaker"] - 1
        groups = match.groups()
        return (*groups[:at], self._speaker(match), *groups[at + 1 :])

    def _why_not(self, match: re.Match[str] | None) -> str:
        if match is None:
            return f"not named like {self.example}"
        return f"unknown emotion code '{match['emotion']}'"

    def _notes(self, n_clips: int, n_copies: int) -> tuple[str, ...]:
        notes = []
        if n_clips != self.n_files:
            notes.append(f"{n_clips} of the {self.n_files} files of {self.name} are here")
        if n_copies:
            notes.append(f"{n_copies} further copies of the same utterances were left out")
        return tuple(notes)


def _chosen(copies: Sequence[Clip]) -> Clip:
    """Return the best copy of an utterance: some are pointers to what was never downloaded."""
    ordered = sorted(copies, key=_preference)
    decoded = (clip for clip in ordered if len(ordered) == 1 or _decodes(clip.path))
    return next(decoded, ordered[0])


def _preference(clip: Clip) -> tuple[bool, int, str]:
    return clip.path.suffix.lower() in LOSSY, clip.relative.count("/"), clip.relative


def _decodes(path: Path) -> bool:
    try:
        return bool(len(read_audio(path, end_s=BEGINNING_S).samples))
    except AudioError:
        return False
