"""Measure features, network and gates in one process, beside what they are compared with."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import Any

import librosa
import numpy as np
from features import on
from lines import Line
from numpy.typing import NDArray

from ser_toolkit.runtime.features import dsp
from ser_toolkit.runtime.features.base import F32, Signal, Stack
from ser_toolkit.runtime.features.pitch import Lags, fft_length
from ser_toolkit.runtime.features.spectral import LogMel, Pitch
from ser_toolkit.runtime.inference.classifier import Classifier
from ser_toolkit.runtime.inference.streaming import AudioWindows, window_at
from sertk_edge.audio.stream_classifier import StreamClassifier
from sertk_edge.audio.vad import detectors
from sertk_edge.settings import SmoothingSettings, StreamSettings

RATE_HZ = 16_000
HOP_S = StreamSettings().hop_s
CALLS = 5
# A microphone gives sound in pieces of this length.
PIECE_S = 0.05
GATES = ("silero", "energy", "off")
Measure = Callable[[], float]
Times = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, eq=False)
class Subject:
    """Hold what is measured: a bundle, the Keras network that it was made from, and sound."""

    bundle: Path
    classifier: Classifier
    keras: Any
    samples: F32

    @property
    def hop(self) -> int:
        """Return the samples from one window of the stream to the next."""
        extractor = self.classifier.extractor
        window = window_at(self.classifier.window, extractor, HOP_S)
        return window.hop_frames * extractor.hop_length

    @property
    def window(self) -> F32:
        """Return the sound of one window."""
        length = self.classifier.window.length_frames
        return self.samples[: self.classifier.extractor.sample_count(length)]


def alternating(measures: Mapping[str, Measure], rounds: int) -> Times:
    """Take every measure once per round; every other round has them in reverse order."""
    results: dict[str, list[float]] = {name: [] for name in measures}
    for measure in measures.values():
        measure()
    for index in range(rounds):
        names = list(measures)
        for name in names if index % 2 else reversed(names):
            results[name].append(measures[name]())
    return {name: np.array(values) for name, values in results.items()}


def clock(run: Callable[[], object], calls: int = CALLS) -> Measure:
    """Measure milliseconds of one call, the mean of a few in a row."""

    def measure() -> float:
        start = time.perf_counter()
        for _ in range(calls):
            run()
        return 1000 * (time.perf_counter() - start) / calls

    return measure


def with_fft(classifier: Classifier, fft: dsp.Fft) -> Classifier:
    """Return the same classifier with another FFT."""
    assert isinstance(classifier.extractor, Stack)
    parts = tuple(on(part, fft) for part in classifier.extractor.parts)  # type: ignore[arg-type]
    return dataclasses.replace(classifier, extractor=Stack(parts))


def floor(
    extractor: Stack, samples: F32, hop: int, fft: dsp.Fft, at_once: bool = False
) -> Callable[[], None]:
    """Run only the FFTs of one hop, in the extractor's blocks or all at once.

    Args:
        extractor: A stack of log-mel and pitch.
        samples: At its rate.
        hop: Samples from one window to the next.
        fft: The FFT to measure.
        at_once: Whether all frames are one block.
    """
    mel, pitch = extractor.parts
    assert isinstance(mel, LogMel) and isinstance(pitch, Pitch)
    count = hop // extractor.hop_length
    short, long = (
        np.array(dsp.frame_view(samples, part.frame_length, part.hop_length)[:count], np.float64)
        for part in (mel, pitch)
    )
    longest = Lags.between(pitch.rate_hz, pitch.f0_min_hz, pitch.f0_max_hz).longest
    size = fft_length(pitch.frame_length, longest)
    spectra = fft.rfft(long, size)
    few, many = dsp.block_rows(8 * size), dsp.block_rows(short[0].nbytes)
    if at_once:
        few = many = count

    def run() -> None:
        for start in range(0, count, many):
            fft.rfft(short[start : start + many])
        for start in range(0, count, few):
            fft.rfft(long[start : start + few], size)
            fft.irfft(spectra[start : start + few], size)

    return run


class Timed(Stack):
    """Measure how long a stack takes."""

    spent_s = 0.0

    def step(self, signal: Signal, state: Any) -> tuple[F32, Any]:
        start = time.perf_counter()
        result = super().step(signal, state)
        object.__setattr__(self, "spent_s", self.spent_s + time.perf_counter() - start)
        return result


def in_the_daemon(classifier: Classifier, samples: F32, hop: int) -> Measure:
    """Measure the extractor per hop in milliseconds, in the daemon's stream of short pieces.

    Args:
        classifier: The opened bundle.
        samples: The sound.
        hop: Samples from one window to the next.
    """
    timed = Timed(classifier.extractor.parts)  # type: ignore[attr-defined]
    timed_classifier = dataclasses.replace(classifier, extractor=timed)
    settings = StreamSettings(gate="off")

    def measure() -> float:
        stream = StreamClassifier(
            timed_classifier, settings, SmoothingSettings(), detectors(settings)
        )
        object.__setattr__(timed, "spent_s", 0.0)
        push_pieces(stream, samples)
        return 1000 * timed.spent_s / (len(samples) / hop)

    return measure


def push_pieces(stream: StreamClassifier, samples: F32) -> None:
    """Push sound in pieces, as it comes from a microphone."""
    piece = int(PIECE_S * RATE_HZ)
    for start in range(0, len(samples), piece):
        stream.push(samples[start : start + piece], RATE_HZ)
    stream.finish()


def feature_lines(subject: Subject, rounds: int) -> Iterator[Line]:
    """Measure incremental features beside the floor and the whole window, for each FFT."""
    hop, measures = subject.hop, {}
    ffts = list(dict.fromkeys((dsp.numpy_fft(), dsp.best_fft())))
    for fft in ffts:
        classifier = with_fft(subject.classifier, fft)
        extractor = classifier.extractor
        assert isinstance(extractor, Stack)
        stream, sound = extractor.stream(), subject.samples[:hop]
        stream.push(subject.samples)
        measures |= {
            f"{fft.name} floor": clock(floor(extractor, subject.samples, hop, fft)),
            f"{fft.name} at once": clock(floor(extractor, subject.samples, hop, fft, at_once=True)),
            f"{fft.name} hop": clock(lambda s=stream, x=sound: s.push(x)),  # type: ignore[misc]
            f"{fft.name} daemon": in_the_daemon(classifier, subject.samples, hop),
            f"{fft.name} window": clock(
                lambda e=extractor: e.frames(Signal(subject.window, e.rate_hz))  # type: ignore[misc]
            ),
        }
    ms = alternating(measures, rounds)
    for fft in ffts:
        base, window = ms[f"{fft.name} floor"], ms[f"{fft.name} window"]
        least = ms[f"{fft.name} at once"]
        yield Line(f"{fft.name}: FFT floor of a hop of {HOP_S} s", float(np.median(base)), " ms")
        for name, key in (("a hop at once", "hop"), ("in the daemon", "daemon")):
            ours = ms[f"{fft.name} {key}"]
            about = f"{fft.name}: features, {name}"
            yield Line(f"{about}, to the floor", ratio(ours, base), "x", most=2, note=cost(ours))
            yield Line(f"{about}, to FFTs all at once", ratio(ours, least), "x", note=cost(least))
            anew = f"{about}, less than the window anew"
            yield Line(anew, ratio(window, ours), "x", least=4, note=cost(window))


def ratio(over: NDArray[Any], under: NDArray[Any]) -> float:
    """Return the median of the ratios within a round."""
    return float(np.median(over / under))


def cost(ms: NDArray[Any]) -> str:
    """Return a time, to stand beside a ratio."""
    return f"({np.median(ms):.3g} ms)"


def network_lines(subject: Subject, rounds: int) -> Iterator[Line]:
    """Measure features and network per hop, beside librosa and Keras on the window."""
    classifier, window = with_fft(subject.classifier, dsp.numpy_fft()), subject.window
    theirs = librosa_calls(window)
    (name,) = classifier.manifest.inputs
    values = np.zeros((1, *classifier.manifest.inputs[name]), np.float32)
    predict = clock(lambda: subject.keras.predict(values, verbose=0), 1)
    measures = {"ours": clock(one_hop(classifier, subject.samples, subject.hop)), "keras": predict}
    ms = alternating(measures | {key: clock(call, 1) for key, call in theirs.items()}, rounds)
    yield Line("features and int8 network per hop", float(np.median(ms["ours"])), " ms")
    yield Line("keras.Model.predict of one window", float(np.median(ms["keras"])), " ms")
    for key in theirs:
        total = ms[key] + ms["keras"]
        most = {"most": inf, "least": 50.0} if key == "mel + pyin" else {}
        what = f"less than librosa ({key}) and predict"
        yield Line(what, ratio(total, ms["ours"]), "x", note=cost(total), **most)


def librosa_calls(window: F32) -> Mapping[str, Callable[[], object]]:
    """Return calls of librosa like our features: pyin gives voicing too, as our pitch does."""
    grid = {"n_fft": 512, "hop_length": 256}
    pitch = {"fmin": 60.0, "fmax": 500.0, "sr": 16000, "frame_length": 1024, "hop_length": 256}
    feature = librosa.feature

    def mel() -> Any:
        return np.log(feature.melspectrogram(y=window, sr=16000, n_mels=64, **grid) + 1e-7)

    return {
        "mel + pyin": lambda: (mel(), librosa.pyin(window, **pitch)),
        "mel + yin": lambda: (mel(), librosa.yin(window, **pitch)),
        "mfcc": lambda: feature.mfcc(y=window, sr=16000, n_mfcc=40, **grid),
    }


def one_hop(classifier: Classifier, samples: F32, hop: int) -> Callable[[], object]:
    """Push one hop of sound into a stream of windows and classify the window that it completes.

    Args:
        classifier: The opened bundle.
        samples: The sound.
        hop: Samples from one window to the next.
    """
    window = window_at(classifier.window, classifier.extractor, HOP_S)
    windows = AudioWindows(classifier.extractor, classifier.normalizers, window)
    list(windows.push(samples[: -(-len(samples) // hop) * hop]))

    def run() -> None:
        for span in windows.push(samples[:hop]):
            classifier.network({name: array[None] for name, array in span.inputs.items()})

    return run


def gate_lines(subject: Subject, rounds: int) -> Iterator[Line]:
    """Measure the whole stream classifier with each gate: time per second of sound."""
    classifier, samples = with_fft(subject.classifier, dsp.numpy_fft()), subject.samples
    seconds = len(samples) / RATE_HZ
    measures, speech = {}, {}
    for kind in GATES:
        settings = StreamSettings(gate=kind)  # type: ignore[arg-type]
        detector = detectors(settings)

        def run(settings: StreamSettings = settings, detector: Any = detector) -> None:
            stream = StreamClassifier(classifier, settings, SmoothingSettings(), detector)
            push_pieces(stream, samples)

        measures[kind] = clock(run, 1)
        stream = StreamClassifier(classifier, settings, SmoothingSettings(), detector)
        utterances = [*stream.push(samples, RATE_HZ).utterances, *stream.finish().utterances]
        lengths_s = [item.end_s - item.start_s for item in utterances if item.classified]
        speech[kind] = sum(lengths_s) / seconds
    for kind, ms in alternating(measures, rounds).items():
        note = f"one core busy; {100 * speech[kind]:.0f} % of the sound taken for speech"
        yield Line(f"gate {kind}", float(np.median(ms)) / seconds / 10, " %", note=note)
