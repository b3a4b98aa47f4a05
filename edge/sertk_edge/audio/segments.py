"""From frames that are speech or not to utterances with a beginning and an end."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from ..settings import StreamSettings
from .vad import FRAME_S

# Speech begins with this many frames of it, one after another: a click is shorter.
ONSET_FRAMES = 3


@dataclass(frozen=True)
class Step:
    """What a frame means for the utterance: in seconds since the stream began.

    `opened_s` is where an utterance begins, `until_s` up to where its sound may be used by now,
    `closed` that it ends there; `speech_s` is how much of it was speech so far.
    """

    now_s: float
    opened_s: float | None = None
    until_s: float | None = None
    closed: bool = False
    speech_s: float = 0.0


class Segmenter:
    """Opens an utterance after 96 ms of speech, closes it after `hangover_s` without.

    The utterance begins `pre_roll_s` before its first frame of speech and ends as long after its
    last one: what lies between is known when the next frame is, so no sound is used twice.
    """

    def __init__(self, settings: StreamSettings) -> None:
        self._roll_s = settings.pre_roll_s
        self._after_s = min(settings.pre_roll_s, settings.hangover_s)
        self._hangover_s = settings.hangover_s
        self._frames = 0
        self._run = 0
        self._speech = 0
        self._last_s = 0.0
        self._closed_s = 0.0
        self._open = False

    def push(self, speech: bool) -> Step:
        """Take the next frame."""
        self._frames += 1
        self._run = self._run + 1 if speech else 0
        return self._inside(speech) if self._open else self._outside()

    def finish(self) -> Step:
        """Close what is open: the stream has ended."""
        now_s = self._now_s
        if not self._open:
            return Step(now_s)
        self._open = False
        until_s = self._last_s + self._after_s
        # Speech to the last: with it goes what does not fill a frame.
        until_s = inf if until_s > now_s else until_s
        return Step(now_s, until_s=until_s, closed=True, speech_s=self._speech * FRAME_S)

    @property
    def _now_s(self) -> float:
        return self._frames * FRAME_S

    def _outside(self) -> Step:
        if self._run < ONSET_FRAMES:
            return Step(self._now_s)
        self._open, self._speech, self._last_s = True, self._run, self._now_s
        first_s = (self._frames - self._run) * FRAME_S
        # Two utterances share no sound.
        opened_s = max(self._closed_s, first_s - self._roll_s)
        return Step(self._now_s, opened_s, self._now_s, speech_s=self._speech * FRAME_S)

    def _inside(self, speech: bool) -> Step:
        if speech:
            self._speech += 1
            self._last_s = self._now_s
        until_s = min(self._now_s, self._last_s + self._after_s)
        closed = self._now_s - self._last_s >= self._hangover_s - FRAME_S / 2
        if closed:
            self._open, self._run, self._closed_s = False, 0, until_s
        return Step(self._now_s, None, until_s, closed, self._speech * FRAME_S)
