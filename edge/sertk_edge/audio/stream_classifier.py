"""Classify a stream: audio in, predictions and changes out. No clock, no thread, no file.

    samples ─┬─ resampler ─▶ vad ─▶ segmenter ──┐ which sound belongs to an utterance
             └─ resampler ─▶ ring buffer ───────┴▶ features ─▶ windows ─▶ network ─▶ smoother

Each utterance is treated as a clip is in training: its features begin with it, a short one fills
the window as a short clip does, and its last window ends with it. So what is predicted in an
utterance is what `Classifier.window_probabilities` gives for its samples, at the hop of the stream,
whatever the chunk size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import isinf

import numpy as np

from ser_toolkit.runtime.audio.level import FLOOR_DBFS, level_of_frames
from ser_toolkit.runtime.features.base import F32
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.classifier import Classifier
from ser_toolkit.runtime.inference.streaming import AudioWindow, AudioWindows, window_at

from ..settings import SmoothingSettings, StreamSettings
from .level_range import level_range
from .resampler import Resampler
from .ring_buffer import RingBuffer
from .segments import Segmenter, Step
from .smoothing import Smoother, StateChange, WindowPrediction
from .vad import FRAME_S, RATE_HZ, Frame, SpeechDetector, VoiceActivityDetector

BLOCK_S = 0.1
BATCH_S = 0.5
# An utterance is held back until enough of it was speech, but not longer than this.
HELD_BACK_S = 3.0
# Beside what is held back: the onset, and what two resamplers may be apart.
SPARE_S = 1.0


@dataclass(frozen=True, eq=False)
class SpeechSegment:
    """A stretch of speech that has ended; seconds of audio since the source was opened."""

    start_s: float
    end_s: float
    classified: bool


@dataclass(frozen=True)
class StreamResult:
    """What a chunk of audio brought."""

    predictions: list[WindowPrediction] = field(default_factory=list)
    changes: list[StateChange] = field(default_factory=list)
    segments: list[SpeechSegment] = field(default_factory=list)

    def __iadd__(self, other: StreamResult) -> StreamResult:
        self.predictions.extend(other.predictions)
        self.changes.extend(other.changes)
        self.segments.extend(other.segments)
        return self


Found = WindowPrediction | SpeechSegment | float


class StreamClassifier:
    """Classifies one source of audio. One thread at a time may use it."""

    def __init__(
        self,
        classifier: Classifier,
        stream: StreamSettings,
        smoothing: SmoothingSettings,
        detector: Callable[[], SpeechDetector],
        start_s: float = 0.0,
    ) -> None:
        """Prepare for audio.

        Args:
            classifier: The bundle at work.
            stream: What counts as an utterance, and how often it is classified.
            smoothing: What counts as a change.
            detector: Makes a voice activity detector for each unbroken stretch of audio.
            start_s: Seconds of audio that the source has given before.
        """
        self.classifier = classifier
        self._settings = stream
        self._window = window_at(classifier.window, classifier.extractor, stream.hop_s)
        self._detector = detector
        self._smoother = Smoother(classifier.labels, smoothing, classifier.uncertain_below)
        self._rate_hz = 0
        self._begin_s = start_s
        self._samples = 0
        self._unbroken: _UnbrokenStream | None = None

    @property
    def offset_s(self) -> float:
        """Return the seconds of audio since the source was opened."""
        return self._begin_s + (self._samples / self._rate_hz if self._rate_hz else 0.0)

    @property
    def speech(self) -> bool:
        """Say whether an utterance goes on."""
        return self._unbroken is not None and self._unbroken.open

    @property
    def label(self) -> str | None:
        """Return the emotion that goes on, or `uncertain`; None in silence."""
        return self._smoother.label

    @property
    def reason(self) -> str:
        """Return why the label is `uncertain`, else ''."""
        return self._smoother.reason

    @property
    def probabilities(self) -> F32 | None:
        """Return the average (n,) that the label rests on."""
        return self._smoother.probabilities

    def push(self, samples: F32, rate_hz: int) -> StreamResult:
        """Classify mono samples (n,) float32, full scale 1, at any rate."""
        result = StreamResult()
        if rate_hz != self._rate_hz or self._unbroken is None:
            result += self._close()
            self._restart(rate_hz)
        block = max(1, int(BLOCK_S * rate_hz))
        for first in range(0, len(samples), block):
            piece = samples[first : first + block]
            self._samples += len(piece)
            assert self._unbroken is not None
            result += self._smoothed(self._unbroken.push(piece))
        return result

    def gap(self, lost_s: float = 0.0) -> StreamResult:
        """End the utterance because audio is missing, and begin anew with what comes next."""
        result = self._close()
        self._begin_s, self._samples = self.offset_s + lost_s, 0
        return result

    def finish(self) -> StreamResult:
        """Classify what is left, and end the emotion that goes on: nothing more comes."""
        result = self._close()
        if (change := self._smoother.finish(self.offset_s)) is not None:
            result.changes.append(change)
        return result

    def _restart(self, rate_hz: int) -> None:
        self._begin_s, self._samples, self._rate_hz = self.offset_s, 0, rate_hz
        self._unbroken = _UnbrokenStream(
            self.classifier, self._window, self._settings, self._detector(), rate_hz
        )

    def _close(self) -> StreamResult:
        unbroken, self._unbroken = self._unbroken, None
        return StreamResult() if unbroken is None else self._smoothed(unbroken.finish())

    def _smoothed(self, found: Iterator[Found]) -> StreamResult:
        """Shift times to those of the source; find changes from predictions and from silence."""
        result, begin_s = StreamResult(), self._begin_s
        for item in found:
            change = None
            if isinstance(item, WindowPrediction):
                times = (begin_s + item.start_s, begin_s + item.end_s)
                prediction = replace(item, start_s=times[0], end_s=times[1])
                result.predictions.append(prediction)
                change = self._smoother.update(prediction)
            elif isinstance(item, SpeechSegment):
                ends = (begin_s + item.start_s, begin_s + item.end_s)
                result.segments.append(SpeechSegment(*ends, item.classified))
            else:
                change = self._smoother.silence(begin_s + item)
            if change is not None:
                result.changes.append(change)
        return result


class _UnbrokenStream:
    """Unbroken audio of one rate, from its first sample on."""

    def __init__(
        self,
        classifier: Classifier,
        window: Window,
        settings: StreamSettings,
        detector: SpeechDetector,
        rate_hz: int,
    ) -> None:
        self._classifier = classifier
        self._window = window
        self._min_speech_s = settings.min_speech_s
        self._level_range = level_range(classifier.speech_level, settings)
        self._hz = classifier.extractor.rate_hz
        self._to_vad = Resampler(rate_hz, RATE_HZ)
        self._to_network = Resampler(rate_hz, self._hz)
        self._vad = VoiceActivityDetector(detector)
        self._segmenter = Segmenter(settings)
        held_s = HELD_BACK_S + settings.pre_roll_s + settings.hangover_s + SPARE_S
        self._ring = RingBuffer(int(held_s * self._hz))
        self._levels = _Levels()
        self._steps: deque[tuple[Step, Frame | None]] = deque()
        self._segment: _OpenSegment | None = None

    @property
    def open(self) -> bool:
        return self._segment is not None

    def push(self, samples: F32) -> Iterator[Found]:
        yield from self._append(self._to_vad.push(samples), self._to_network.push(samples))

    def finish(self) -> Iterator[Found]:
        yield from self._append(self._to_vad.finish(), self._to_network.finish())
        self._steps.append((self._segmenter.finish(), None))
        yield from self._advance(everything=True)

    def _append(self, for_vad: F32, samples: F32) -> Iterator[Found]:
        self._ring.append(samples)
        for frame in self._vad.push(for_vad):
            self._steps.append((self._segmenter.push(frame.speech), frame))
        yield from self._advance()

    def _advance(self, everything: bool = False) -> Iterator[Found]:
        """Go through the steps whose sound has come out of the resampler."""
        while self._steps:
            step, frame = self._steps[0]
            if not everything and round(step.now_s * self._hz) > self._ring.end:
                return
            self._steps.popleft()
            yield from self._step(step, frame)

    def _step(self, step: Step, frame: Frame | None) -> Iterator[Found]:
        if frame is not None:
            self._levels.add(step.now_s, frame.energy)
        if step.opened_s is not None:
            self._segment = self._begin(round(step.opened_s * self._hz))
        segment = self._segment
        if segment is None or step.until_s is None:
            yield step.now_s
            return
        if self._is_speech(segment, step):
            until = self._ring.end if isinf(step.until_s) else round(step.until_s * self._hz)
            # Features of many frames at once cost a quarter of the same in small pieces.
            if step.closed or segment.is_due(until, int(BATCH_S * self._hz)):
                for window in segment.feed(self._ring, until):
                    yield self._prediction(segment, window)
        if step.closed:
            yield from self._ended(segment, step)

    def _begin(self, first: int) -> _OpenSegment:
        extractor, normalizers = self._classifier.extractor, self._classifier.normalizers
        return _OpenSegment(first, AudioWindows(extractor, normalizers, self._window))

    def _is_speech(self, segment: _OpenSegment, step: Step) -> bool:
        """Say whether enough of it was speech, or it lasts too long to hold it back."""
        enough = step.speech_s >= self._min_speech_s
        return enough or step.now_s - segment.first / self._hz > HELD_BACK_S

    def _ended(
        self, segment: _OpenSegment, step: Step
    ) -> Iterator[WindowPrediction | SpeechSegment]:
        self._segment = None
        classified = self._is_speech(segment, step)
        if classified and (window := segment.windows.finish()) is not None:
            yield self._prediction(segment, window)
        yield SpeechSegment(segment.first / self._hz, segment.fed / self._hz, classified)

    def _prediction(self, segment: _OpenSegment, window: AudioWindow) -> WindowPrediction:
        start_s, end_s = ((segment.first + at) / self._hz for at in (window.start, window.end))
        inputs = {name: array[None] for name, array in window.inputs.items()}
        probabilities = self._classifier.network(inputs)[0]
        level_dbfs = self._levels.between(start_s, end_s)
        reason = self._level_range.reason_against(level_dbfs)
        return WindowPrediction(start_s, end_s, probabilities, level_dbfs, reason)


class _OpenSegment:
    """The utterance that goes on: its first sample, the one to be fed next, its windows."""

    def __init__(self, first: int, windows: AudioWindows) -> None:
        self.first = first
        self.fed = first
        self.windows = windows

    def is_due(self, until: int, batch: int) -> bool:
        """Say whether the sound up to sample `until` completes a window, or is a whole batch."""
        return until - self.first >= self.windows.next_end or until - self.fed >= batch

    def feed(self, ring: RingBuffer, until: int) -> Iterator[AudioWindow]:
        """Yield every window that the sound up to sample `until` completes."""
        samples = ring.read(self.fed, until)
        self.fed += len(samples)
        return self.windows.push(samples)


class _Levels:
    """The energy of the last frames."""

    def __init__(self) -> None:
        # Half a minute: windows are not longer.
        self._energies: deque[tuple[float, float]] = deque(maxlen=1024)

    def add(self, end_s: float, energy: float) -> None:
        """Note a frame by its end."""
        self._energies.append((end_s, energy))

    def between(self, start_s: float, end_s: float) -> float:
        """Return the speech level of this stretch, in dB of full scale."""
        inside = [e for at_s, e in self._energies if start_s < at_s <= end_s + FRAME_S]
        return level_of_frames(np.array(inside)) if inside else FLOOR_DBFS
