"""Decode the audio of clips."""

from __future__ import annotations

from ..contracts.components import Clip, Utterance
from ..runtime.audio.decode import Audio, content_hash, read_audio
from ..runtime.errors import AudioError, SertkError

# Times of segments are rounded, and decoders of lossy formats add or leave out some milliseconds.
MOST_PAST_END_S = 0.2


def read_clip(clip: Clip) -> Audio:
    """Decode the audio of a clip. Raises AudioError where the file ends before the clip does."""
    audio = read_audio(clip.path, clip.start_s, clip.end_s, clip.relative, clip.channel)
    end_s = clip.start_s + audio.duration_s
    if clip.end_s is not None and clip.end_s > end_s + MOST_PAST_END_S:
        raise AudioError(
            f"'{clip.relative}' ends at {end_s:.1f} s, before the end at {clip.end_s:g} s"
        )
    return audio


def read_utterance(utterance: Utterance) -> Audio:
    """Decode the audio of an utterance. Raises SertkError where it is another than was checked."""
    audio = read_clip(utterance.clip)
    if content_hash(audio) != utterance.hash:
        raise SertkError(
            f"{utterance.name} is another recording than at the check: its file has changed since",
            "Start again when nothing writes to the data any more",
        )
    return audio
