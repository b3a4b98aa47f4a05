"""Batches for the network: one variant and one window of every training clip per epoch."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from .contracts import FrameAugmenter, Utterance
from .runtime import adapter as adapters
from .runtime.adapter import Adapter
from .runtime.extractor import F32, FrameExtractor
from .runtime.predict import windows
from .store import Features, Store, clip_rng

# Numbers of the generators of one clip: variants take 0, 1, 2, …; epochs are kept apart from them.
EPOCH_BASE = 1 << 32
MEMORY_BYTES = 2 << 30

Inputs = dict[str, F32]


@dataclass(frozen=True)
class Batch:
    """Network inputs (B, …), one-hot targets (B, n) and sample weights (B,)."""

    inputs: Inputs
    targets: F32
    weights: F32


@dataclass
class Memory:
    """Standardised features kept between epochs, up to a bound of bytes."""

    limit: int = MEMORY_BYTES
    _held: OrderedDict[tuple[str, int], Inputs] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, key: tuple[str, int]) -> Inputs | None:
        """What was kept under `key`."""
        return self._held.get(key)

    def put(self, key: tuple[str, int], arrays: Inputs) -> None:
        """Keep `arrays` while there is room."""
        size = sum(values.nbytes for values in arrays.values())
        if self._bytes + size <= self.limit:
            self._held[key] = arrays
            self._bytes += size


@dataclass(frozen=True)
class Dataset:
    """Reads features from the store, standardises them and cuts what the network sees."""

    store: Store
    features: Features
    adapters: Mapping[str, Adapter]
    labels: tuple[str, ...]
    masks: tuple[FrameAugmenter, ...] = ()
    copies: int = 0
    memory: Memory = field(default_factory=Memory)

    def scaled(self, utterance: Utterance, copy: int) -> Inputs:
        """Standardised arrays of one variant of a clip."""
        key = (utterance.hash, copy)
        arrays = self.memory.get(key)
        if arrays is None:
            raw = self.store.load(self.features, utterance, copy)
            arrays = {name: self.adapters[name].apply(values)[0] for name, values in raw.items()}
            for values in arrays.values():
                values.flags.writeable = False  # or an augmenter that works in place would stay
            self.memory.put(key, arrays)
        return arrays

    def windows(self, utterance: Utterance) -> Inputs:
        """All windows of a clip as it is: (W, …) per input."""
        arrays = self.store.load(self.features, utterance, 0)
        return windows(self.features.extractor, self.features.window, self.adapters, arrays)

    def example(self, utterance: Utterance, rng: np.random.Generator) -> Inputs:
        """One random window of one random variant, with the frame augmenters applied."""
        arrays = self.scaled(utterance, int(rng.integers(self.copies + 1)))
        window = self.features.window
        if not isinstance(self.features.extractor, FrameExtractor):
            first = next(iter(arrays.values()))
            pick = int(rng.integers(len(first)))
            return {name: values[pick] for name, values in arrays.items()}
        frames = arrays["frames"]
        start = int(rng.integers(max(0, len(frames) - window.length_frames) + 1))
        frames = window.fill(frames[start : start + window.length_frames])
        for mask in self.masks:
            if rng.random() < mask.p:
                frames = mask.augment_frames(frames, rng)
        return {"frames": frames}

    def epoch(
        self,
        utterances: Sequence[Utterance],
        class_weights: F32,
        seed: int,
        number: int,
        batch_size: int,
        crops: int,
    ) -> Iterator[Batch]:
        """The batches of one epoch; they depend on (seed, epoch, clip) alone.

        The last incomplete batch is left out unless it is the only one.
        """
        order = np.random.default_rng([seed, number]).permutation(len(utterances) * crops)
        size = min(batch_size, len(order))
        generators = {
            item.hash: clip_rng(seed, EPOCH_BASE + number, item.hash) for item in utterances
        }
        for start in range(0, len(order) - size + 1, size):
            chosen = [utterances[index // crops] for index in order[start : start + size]]
            examples = [self.example(item, generators[item.hash]) for item in chosen]
            yield Batch(_stacked(examples), self.one_hot(chosen), class_weights[self.index(chosen)])

    def index(self, utterances: Sequence[Utterance]) -> NDArray[np.int64]:
        """Label numbers (N,)."""
        return np.array([self.labels.index(item.emotion) for item in utterances], np.int64)

    def one_hot(self, utterances: Sequence[Utterance]) -> F32:
        """Targets (N, n)."""
        return np.eye(len(self.labels), dtype=np.float32)[self.index(utterances)]


def _stacked(examples: Sequence[Inputs]) -> Inputs:
    return {name: np.stack([item[name] for item in examples]) for name in examples[0]}


def fit_adapters(
    store: Store, features: Features, utterances: Sequence[Utterance]
) -> dict[str, Adapter]:
    """One adapter per network input, fitted on training clips as they are."""
    names = list(store.load(features, utterances[0], 0))
    return {
        name: adapters.fit(store.load(features, item, 0)[name] for item in utterances)
        for name in names
    }


def inverse_frequency(utterances: Sequence[Utterance], labels: Sequence[str]) -> F32:
    """Class weights with mean 1 over the clips: N / (n * count)."""
    counts = Counter(item.emotion for item in utterances)
    scale = len(utterances) / len(labels)
    return np.array([scale / counts[label] for label in labels], np.float32)
