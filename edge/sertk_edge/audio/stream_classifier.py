"""The ear: audio in, judgements and changes out. No clock, no thread, no file.

    samples ─┬─ resampler ─▶ gate ─▶ segmenter ─┐ which sound belongs to an utterance
             └─ resampler ─▶ ring ──────────────┴▶ features ─▶ windows ─▶ network ─▶ smoother

Each utterance is treated as a clip is in training: its features begin with it, a short one fills
the window as a short clip does, and its last window ends with it. So what is heard in an utterance
is what `Classifier.windows` gives for its samples, at the hop of the stream, whatever the chunk
size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from math import isinf

import numpy as np

from ser_toolkit.runtime.classifier import Classifier
from ser_toolkit.runtime.extractor import F32
from ser_toolkit.runtime.inference.streaming import AudioWindow, AudioWindows, window_at
from ser_toolkit.runtime.window import Window

from ..settings import SmoothingSettings, StreamSettings
from .resampler import Resampler
from .ring_buffer import RingBuffer
from .segments import Segmenter, Step
from .smoothing import Smoother, StateChange, WindowPrediction
from .vad import FRAME_S, RATE_HZ, Frame, SpeechDetector, VoiceActivityDetector, decibels

BLOCK_S = 0.1
BATCH_S = 0.5
# An utterance is held back until enough of it was speech, but not longer than this.
HELD_BACK_S = 3.0
# Beside what is held back: the onset, and what two resamplers may be apart.
SPARE_S = 1.0


@dataclass(frozen=True, eq=False)
class Utterance:
    """A stretch of speech that has ended; seconds of audio since the source was opened."""

    start_s: float
    end_s: float
    classified: bool


@dataclass(frozen=True)
class StreamResult:
    """What a chunk of audio brought."""

    predictions: list[WindowPrediction] = field(default_factory=list)
    changes: list[StateChange] = field(default_factory=list)
    utterances: list[Utterance] = field(default_factory=list)

    def __iadd__(self, other: StreamResult) -> StreamResult:
        self.predictions.extend(other.predictions)
        self.changes.extend(other.changes)
        self.utterances.extend(other.utterances)
        return self


class StreamClassifier:
    """Listens with a classifier to one source. One thread at a time may use it."""

    def __init__(
        self,
        classifier: Classifier,
        stream: StreamSettings,
        smoothing: SmoothingSettings,
        detector: Callable[[], SpeechDetector],
        start_s: float = 0.0,
    ) -> None:
        self.classifier = classifier
        self._settings = stream
        self._window = window_at(classifier.manifest.window, classifier.extractor, stream.hop_s)
        self._detector = detector
        self._smoother = Smoother(
            classifier.labels, smoothing, classifier.manifest.thresholds["uncertain"]
        )
        self._rate_hz = 0
        self._begin_s = start_s
        self._samples = 0
        self._line: _ContinuousStream | None = None

    @property
    def offset_s(self) -> float:
        """Seconds of audio since the source was opened."""
        return self._begin_s + (self._samples / self._rate_hz if self._rate_hz else 0.0)

    @property
    def speech(self) -> bool:
        """Whether an utterance is going on."""
        return self._line is not None and self._line.open

    @property
    def label(self) -> str | None:
        """The emotion that goes on, or `uncertain`; None in silence."""
        return self._smoother.label

    @property
    def probabilities(self) -> F32 | None:
        """The average (n,) that the label rests on."""
        return self._smoother.probabilities

    def push(self, samples: F32, rate_hz: int) -> StreamResult:
        """Listen to mono samples (n,) float32, full scale 1, at any rate."""
        heard = StreamResult()
        if rate_hz != self._rate_hz or self._line is None:
            heard += self._close()
            self._restart(rate_hz)
        block = max(1, int(BLOCK_S * rate_hz))
        for first in range(0, len(samples), block):
            piece = samples[first : first + block]
            self._samples += len(piece)
            assert self._line is not None
            heard += self._classified(self._line.push(piece))
        return heard

    def gap(self, lost_s: float = 0.0) -> StreamResult:
        """Audio is missing: end the utterance, and begin anew with what comes next."""
        heard = self._close()
        self._begin_s, self._samples = self.offset_s + lost_s, 0
        return heard

    def finish(self) -> StreamResult:
        """Nothing more comes: judge what is left, and end the emotion that goes on."""
        heard = self._close()
        if (change := self._smoother.finish(self.offset_s)) is not None:
            heard.changes.append(change)
        return heard

    def _restart(self, rate_hz: int) -> None:
        self._begin_s, self._samples, self._rate_hz = self.offset_s, 0, rate_hz
        self._line = _ContinuousStream(
            self.classifier, self._window, self._settings, self._detector(), rate_hz
        )

    def _close(self) -> StreamResult:
        line, self._line = self._line, None
        return StreamResult() if line is None else self._classified(line.finish())

    def _classified(self, found: Iterator[WindowPrediction | Utterance | float]) -> StreamResult:
        """Times of a line to times of the source; changes from judgements and from silence."""
        heard, begin_s = StreamResult(), self._begin_s
        for item in found:
            change = None
            if isinstance(item, WindowPrediction):
                times = (begin_s + item.start_s, begin_s + item.end_s)
                prediction = WindowPrediction(*times, item.probabilities, item.level_dbfs)
                heard.predictions.append(prediction)
                change = self._smoother.update(prediction)
            elif isinstance(item, Utterance):
                ends = (begin_s + item.start_s, begin_s + item.end_s)
                heard.utterances.append(Utterance(*ends, item.classified))
            else:
                change = self._smoother.silence(begin_s + item)
            if change is not None:
                heard.changes.append(change)
        return heard


class _ContinuousStream:
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
        self._hz = classifier.extractor.rate_hz
        self._to_gate = Resampler(rate_hz, RATE_HZ)
        self._to_network = Resampler(rate_hz, self._hz)
        self._gate = VoiceActivityDetector(detector)
        self._segmenter = Segmenter(settings)
        held_s = HELD_BACK_S + settings.pre_roll_s + settings.hangover_s + SPARE_S
        self._ring = RingBuffer(int(held_s * self._hz))
        self._levels = _Levels()
        self._steps: deque[tuple[Step, Frame | None]] = deque()
        self._utterance: _OpenSegment | None = None

    @property
    def open(self) -> bool:
        return self._utterance is not None

    def push(self, samples: F32) -> Iterator[WindowPrediction | Utterance | float]:
        yield from self._listen(self._to_gate.push(samples), self._to_network.push(samples))

    def finish(self) -> Iterator[WindowPrediction | Utterance | float]:
        yield from self._listen(self._to_gate.finish(), self._to_network.finish())
        self._steps.append((self._segmenter.finish(), None))
        yield from self._take(everything=True)

    def _listen(self, gated: F32, samples: F32) -> Iterator[WindowPrediction | Utterance | float]:
        self._ring.append(samples)
        for frame in self._gate.push(gated):
            self._steps.append((self._segmenter.push(frame.speech), frame))
        yield from self._take()

    def _take(self, everything: bool = False) -> Iterator[WindowPrediction | Utterance | float]:
        """Go through the steps whose sound has come out of the resampler."""
        while self._steps:
            step, frame = self._steps[0]
            if not everything and round(step.now_s * self._hz) > self._ring.end:
                return
            self._steps.popleft()
            yield from self._step(step, frame)

    def _step(
        self, step: Step, frame: Frame | None
    ) -> Iterator[WindowPrediction | Utterance | float]:
        if frame is not None:
            self._levels.add(step.now_s, frame.energy)
        if step.opened_s is not None:
            self._utterance = self._begin(round(step.opened_s * self._hz))
        utterance = self._utterance
        if utterance is None or step.until_s is None:
            yield step.now_s
            return
        if self._is_speech(utterance, step):
            until = self._ring.end if isinf(step.until_s) else round(step.until_s * self._hz)
            # Features of many frames at once cost a quarter of the same in small pieces.
            if step.closed or utterance.is_due(until, int(BATCH_S * self._hz)):
                for span in utterance.feed(self._ring, until):
                    yield self._prediction(utterance, span)
        if step.closed:
            yield from self._ended(utterance, step)

    def _begin(self, first: int) -> _OpenSegment:
        extractor, adapters = self._classifier.extractor, self._classifier.adapters
        return _OpenSegment(first, AudioWindows(extractor, adapters, self._window))

    def _is_speech(self, utterance: _OpenSegment, step: Step) -> bool:
        """Whether enough of it was speech, or it lasts too long to hold it back."""
        enough = step.speech_s >= self._min_speech_s
        return enough or step.now_s - utterance.first / self._hz > HELD_BACK_S

    def _ended(self, utterance: _OpenSegment, step: Step) -> Iterator[WindowPrediction | Utterance]:
        self._utterance = None
        classified = self._is_speech(utterance, step)
        if classified and (span := utterance.windows.finish()) is not None:
            yield self._prediction(utterance, span)
        yield Utterance(utterance.first / self._hz, utterance.fed / self._hz, classified)

    def _prediction(self, utterance: _OpenSegment, span: AudioWindow) -> WindowPrediction:
        start_s, end_s = ((utterance.first + at) / self._hz for at in (span.start, span.end))
        inputs = {name: array[None] for name, array in span.inputs.items()}
        probabilities = self._classifier.network(inputs)[0]
        return WindowPrediction(start_s, end_s, probabilities, self._levels.between(start_s, end_s))


class _OpenSegment:
    """The utterance that goes on: its first sample, the one to be fed next, its windows."""

    def __init__(self, first: int, windows: AudioWindows) -> None:
        self.first = first
        self.fed = first
        self.windows = windows

    def is_due(self, until: int, batch: int) -> bool:
        """Whether the sound up to sample `until` completes a window, or is a whole batch."""
        return until - self.first >= self.windows.next_end or until - self.fed >= batch

    def feed(self, ring: RingBuffer, until: int) -> Iterator[AudioWindow]:
        """Every window that the sound up to sample `until` completes."""
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
        """The level of this stretch, in dB of full scale."""
        inside = [e for at_s, e in self._energies if start_s < at_s <= end_s + FRAME_S]
        return decibels(float(np.mean(inside))) if inside else decibels(0.0)
