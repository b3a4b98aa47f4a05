"""Turn a recording into the panels of its picture: spectrograms, cepstra, recipe features."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..contracts.components import FrameAugmenter
from ..plugins.assemble import Assembly
from ..plugins.registry import Plugins
from ..runtime.audio.decode import resample
from ..runtime.component import AssetLoader, assets_of, fields_of
from ..runtime.features import normalizer as normalizers
from ..runtime.features.base import F32, Extractor, FrameExtractor, Heatmap, Signal, Stack
from ..runtime.features.dsp import hz_to_mel
from ..runtime.features.spectral import LogMel, Mfcc
from ..runtime.inference.inputs import features
from .panels import STANDARD, Cell, Curve, Image, Panel, Strips, Ticks, Vector, Wave

BANDS = 128
HIGHEST_HZ = 8000.0
LONGEST_FRAME_S, HOP_S = 0.064, 0.01
RANGE_DB = 80.0
NARROW = 4
TICKS_HZ = (250, 500, 1000, 2000, 4000, 8000)
LN_TO_DB = float(10 / np.log(10))


@dataclass(frozen=True)
class Sound:
    """An augmented recording: name, parameters, samples (N,)."""

    name: str
    detail: str
    samples: F32


@dataclass(frozen=True)
class View:
    """A recording and the recipe that it is drawn for; `signal` is the part that it uses."""

    signal: Signal
    assembly: Assembly
    extractor: Extractor
    plugins: Plugins

    def panels(self, load: AssetLoader) -> tuple[Panel, ...]:
        """Return waveform, log-mel, MFCC, heatmaps, and the other features of the recipe."""
        mel = log_mel(self.signal.rate_hz)
        title = f"Log-mel spectrogram: {mel.n_mels} bands to {mel.fmax_hz / 1000:g} kHz"
        mfcc = self._part("mfcc") or mfcc_of(self.signal.rate_hz)
        return (
            Wave("Waveform", self.signal.samples, self.signal.rate_hz),
            mel_image(title, mel, self._frames(mel), self._reference),
            standardised(
                f"MFCC: {len(mfcc.columns)} coefficients", mfcc, self._frames(mfcc), "coefficient"
            ),
            *self._heatmaps(load),
            *self._others(),
        )

    def cells(self, sounds: Sequence[Sound]) -> Iterator[Cell]:
        """Yield waveform and spectrogram of each sound, in the colour scale of the recording."""
        mel, rate_hz = log_mel(self.signal.rate_hz), self.signal.rate_hz
        for sound in sounds:
            frames = features(mel, Signal(sound.samples, rate_hz), self._window)["frames"]
            image = mel_image("", mel, frames, self._reference)
            wave = Wave("", sound.samples, rate_hz, self.signal.samples)
            longer = len(sound.samples) != len(self.signal)
            length = f"lasts {len(sound.samples) / rate_hz:.2f} s" if longer else ""
            detail = "; ".join(text for text in (sound.detail, length) if text)
            yield Cell(sound.name, detail, image, wave)

    def augmented_frames(
        self, frame_augmenters: Sequence[tuple[FrameAugmenter, np.random.Generator]]
    ) -> Iterator[Cell]:
        """Yield the first window of the recipe's log-mel after each frame augmenter.

        Training standardises by all its clips, this by the recording alone.
        """
        part = self._part("log_mel")
        hop = self.extractor.hop_length
        mel = part if isinstance(part, LogMel) else log_mel(self.signal.rate_hz, hop)
        frames = self._frames(mel)
        scale = normalizers.fit([frames])
        first = self._window.cut(scale.apply(frames)[0])[0]
        for augmenter, rng in frame_augmenters:
            values = augmenter.augment_frames(first, rng) * scale.std + scale.mean
            detail = f"{parameters(augmenter)}; on the first window of {mel.n_mels} bands"
            yield Cell(augmenter.name, detail, mel_image("", mel, values, float(frames.max())))

    @property
    def _window(self) -> Any:
        return self.assembly.recipe.window

    @property
    def _reference(self) -> float:
        return float(self._frames(log_mel(self.signal.rate_hz)).max())

    @property
    def _parts(self) -> tuple[Extractor, ...]:
        whole = self.extractor
        return whole.parts if isinstance(whole, Stack) else (whole,)

    def _part(self, name: str) -> FrameExtractor | None:
        """Return the first part of the recipe's extractor with this name, None without one."""
        parts = (p for p in self._parts if p.name == name and isinstance(p, FrameExtractor))
        return next(parts, None)

    def _frames(self, extractor: FrameExtractor) -> F32:
        def compute() -> F32:
            return features(extractor, self.signal, self._window)["frames"]

        return self.signal.memo(("frames", extractor), compute)

    def _heatmaps(self, load: AssetLoader) -> Iterator[Panel]:
        """Yield a heatmap of each installed extractor that declares one, with recipe settings."""
        for offered in self.plugins.all("extractor"):
            part = self._part(offered.name)
            if part is None and any(assets_of(offered)):
                continue
            extractor = part or offered
            if isinstance(extractor, FrameExtractor) and extractor.heatmap is not None:
                yield self._heatmap(part or extractor.prepare(load), extractor.heatmap)

    def _heatmap(self, extractor: Any, shape: Heatmap) -> Image:
        samples = resample(self.signal.samples, self.signal.rate_hz, extractor.rate_hz)
        frames = features(extractor, Signal(samples, extractor.rate_hz), self._window)["frames"]
        order = [column for _, columns in shape.blocks for column in columns]
        ends = np.cumsum([len(columns) for _, columns in shape.blocks]) - 0.5
        middles = (ends + np.array([-0.5, *ends[:-1]])) / 2
        labels = [label for label, _ in shape.blocks]
        return Image(
            shape.title,
            frames[:, order].T * np.float32(shape.scale),
            *_grid(extractor),
            shape.ylabel,
            shape.unit,
            tuple(zip(middles.tolist(), labels, strict=True)),
            tuple(ends[:-1].tolist()),
        )

    def _others(self) -> Iterator[Panel]:
        """Yield the parts of the recipe that are neither log-mel nor MFCC nor drawn as heatmaps."""
        if not isinstance(self.extractor, FrameExtractor):
            yield from self._vectors()
            return
        others = [p for p in self._parts if p.name not in ("log_mel", "mfcc")]
        frame_parts = [p for p in others if isinstance(p, FrameExtractor) and p.heatmap is None]
        narrow = [part for part in frame_parts if len(part.columns) <= NARROW]
        curves = [curve for part in narrow for curve in self._curves(part)]
        if curves:
            names = ", ".join(part.name for part in narrow)
            yield Strips(f"Also in the recipe: {names}", tuple(curves))
        for part in frame_parts:
            if part not in narrow:
                title = f"Also in the recipe: {part.name}, {_columns(part)}"
                yield standardised(title, part, self._frames(part), "column")

    def _curves(self, part: FrameExtractor) -> Iterator[Curve]:
        frames, (start_s, step_s) = self._frames(part), _grid(part)
        times_s = start_s + step_s * (np.arange(len(frames)) + 0.5)
        for name, values in zip(part.columns, frames.T, strict=True):
            yield Curve(name, times_s, values)

    def _vectors(self) -> Iterator[Panel]:
        arrays = features(self.extractor, self.signal, self._window)
        names = self.extractor.columns
        flat = {name: values.reshape(len(values), -1) for name, values in arrays.items()}
        whole = sum(values.shape[1] for values in flat.values()) == len(names)
        first = 0
        for name, values in flat.items():
            size = values.shape[1]
            columns = names[first : first + size] if whole else (name,) * size
            first += size
            title = f"The recipe's features: {name}, {size} values, {len(values)} window(s)"
            yield Vector(title, values, tuple(columns))


def parameters(component: Any) -> str:
    """Return the fields of an augmenter as text, without its probability."""
    values = {key: value for key, value in fields_of(component).items() if key != "p"}
    return ", ".join(
        f"{key} {value:g}" if isinstance(value, float) else f"{key} {value}"
        for key, value in values.items()
    )


def log_mel(rate_hz: int, hop_length: int = 0) -> LogMel:
    """Return the spectrogram drawn of every sound, in dB: frames of 64 ms or more, 10 ms hop."""
    grid = (rate_hz, _frame_length(rate_hz), hop_length or round(HOP_S * rate_hz))
    ends_hz = (0.0, min(HIGHEST_HZ, rate_hz / 2))
    return LogMel(*grid, BANDS, *ends_hz, "slaney", "slaney", log="db", floor=1e-12)


def mfcc_of(rate_hz: int) -> Mfcc:
    """Return 20 coefficients on the grid of `log_mel`, for a recipe without MFCC."""
    grid = (rate_hz, _frame_length(rate_hz), round(HOP_S * rate_hz))
    return Mfcc(*grid, fmax_hz=min(HIGHEST_HZ, rate_hz / 2))


def _frame_length(rate_hz: int) -> int:
    return int(2 ** np.ceil(np.log2(LONGEST_FRAME_S * rate_hz)))


def mel_image(title: str, mel: LogMel, frames: F32, reference: float) -> Image:
    """Return the image of log-mel frames in dB below a reference.

    Args:
        title: Its title.
        mel: The extractor of the frames.
        frames: float32 (T, F).
        reference: The value of 0 dB, in the unit of the frames.
    """
    factor = LN_TO_DB if mel.log == "ln" else 1.0
    values = (frames - np.float32(reference)).T * np.float32(factor)
    unit = "dB, 0 at the loudest"
    limits = (-RANGE_DB, 0.0)
    return Image(title, values, *_grid(mel), "frequency in Hz", unit, _ticks(mel), (), limits)


def standardised(title: str, extractor: FrameExtractor, frames: F32, rows: str) -> Image:
    """Return the image of frames, each column standardised over the recording.

    Unstandardised, the column of the widest range would hide the others.

    Args:
        title: Its title.
        extractor: The extractor of the frames.
        frames: float32 (T, F).
        rows: Name of a row.
    """
    values = normalizers.fit([frames]).apply(frames)[0].T
    unit, limits = "standard deviations", (-3.0, 3.0)
    return Image(
        f"{title}, each standardised over the recording",
        values,
        *_grid(extractor),
        rows,
        unit,
        limits=limits,
        colours=STANDARD,
    )


def _columns(extractor: Extractor) -> str:
    return f"{len(extractor.columns)} columns"


def _grid(extractor: Extractor) -> tuple[float, float]:
    """Return start and width of frame 0 in the picture in seconds; its centre is the frame's."""
    step_s = extractor.hop_length / extractor.rate_hz
    return extractor.frame_length / extractor.rate_hz / 2 - step_s / 2, step_s


def _ticks(mel: LogMel) -> Ticks:
    inside = np.array([hz for hz in TICKS_HZ if mel.fmin_hz < hz <= mel.fmax_hz], np.float64)
    low, high = hz_to_mel(np.array([mel.fmin_hz, mel.fmax_hz]), mel.mel_scale)
    places = (hz_to_mel(inside, mel.mel_scale) - low) / (high - low) * (mel.n_mels + 1) - 1
    return tuple((float(at), f"{hz:g}") for at, hz in zip(places, inside, strict=True))
