"""Make batches for the network: one copy and one window of every training clip per epoch."""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..contracts.components import FrameAugmenter, Utterance
from ..contracts.recipe import Training
from ..runtime.features import normalizer as normalizers
from ..runtime.features.base import F32, FrameExtractor
from ..runtime.features.normalizer import Normalizer
from ..runtime.inference.inputs import windows
from .feature_store import Features, Store, clip_rng

# Numbers of the generators of one clip: its copies take 0, 1, 2, …; epochs must not share them.
EPOCH_BASE = 1 << 32
MEMORY_BYTES = 2 << 30

Inputs = dict[str, F32]
Row = tuple[Utterance, "int | None"]


@dataclass(frozen=True)
class Batch:
    """Network inputs (B, …), one-hot targets (B, n) and sample weights (B,)."""

    inputs: Inputs
    targets: F32
    weights: F32


@dataclass
class Memory:
    """Keep standardised features between epochs, up to a bound of bytes."""

    limit: int = MEMORY_BYTES
    _held: OrderedDict[tuple[str, int], Inputs] = field(default_factory=OrderedDict)
    _bytes: int = 0

    def get(self, key: tuple[str, int]) -> Inputs | None:
        """Return the arrays kept under `key`, None where there are none."""
        return self._held.get(key)

    def put(self, key: tuple[str, int], arrays: Inputs) -> None:
        """Keep `arrays` while there is room."""
        size = sum(values.nbytes for values in arrays.values())
        if self._bytes + size <= self.limit:
            self._held[key] = arrays
            self._bytes += size


@dataclass(frozen=True)
class Dataset:
    """Read features from the store, standardise them and cut the network's inputs."""

    store: Store
    features: Features
    normalizers: Mapping[str, Normalizer]
    labels: tuple[str, ...]
    frame_augmenters: tuple[FrameAugmenter, ...] = ()
    augmented_copies: int = 0
    memory: Memory = field(default_factory=Memory)

    def scaled(self, utterance: Utterance, copy: int) -> Inputs:
        """Return the standardised arrays of a clip or of one of its augmented copies."""
        key = (utterance.hash, copy)
        arrays = self.memory.get(key)
        if arrays is None:
            raw = self.store.load(self.features, utterance, copy)
            arrays = {name: self.normalizers[name].apply(values)[0] for name, values in raw.items()}
            for values in arrays.values():
                values.flags.writeable = False  # or an augmenter that works in place would stay
            self.memory.put(key, arrays)
        return arrays

    def windows(self, utterance: Utterance) -> Inputs:
        """Return all windows of the unaltered clip, float32 (W, …) per input."""
        arrays = self.store.load(self.features, utterance, 0)
        return windows(self.features.extractor, self.features.window, self.normalizers, arrays)

    def example(
        self, utterance: Utterance, rng: np.random.Generator, copy: int | None = None
    ) -> Inputs:
        """Return one random window of a clip, after the frame augmenters.

        Args:
            utterance: The clip.
            rng: Source of every random draw.
            copy: Number of the augmented copy, 0 for the clip itself; None draws one.
        """
        drawn = int(rng.integers(self.augmented_copies + 1)) if copy is None else copy
        arrays = self.scaled(utterance, drawn)
        window = self.features.window
        if not isinstance(self.features.extractor, FrameExtractor):
            first = next(iter(arrays.values()))
            pick = int(rng.integers(len(first)))
            return {name: values[pick] for name, values in arrays.items()}
        frames = arrays["frames"]
        start = int(rng.integers(max(0, len(frames) - window.length_frames) + 1))
        frames = window.fill(frames[start : start + window.length_frames])
        for augmenter in self.frame_augmenters:
            if rng.random() < augmenter.p:
                frames = augmenter.augment_frames(frames, rng)
        return {"frames": frames}

    def rows(self, utterances: Sequence[Utterance], crops: int) -> list[Row]:
        """List the examples of an epoch: `crops` of each clip; with "all", of each copy of it."""
        numbers = range(self.augmented_copies + 1) if self.features.combine == "all" else (None,)
        return [(item, copy) for item in utterances for copy in numbers for _ in range(crops)]

    def epoch(
        self,
        utterances: Sequence[Utterance],
        class_weights: F32,
        training: Training,
        seed: int,
        number: int,
    ) -> Iterator[Batch]:
        """Yield the batches of one epoch; they depend on (seed, epoch, clip) alone.

        Unless `training.last_batch` is set, an incomplete last batch is left out if there is
        another.

        Args:
            utterances: Clips to train on.
            class_weights: Weight of each class, float32 (n,).
            training: Batch size, crops and whether the last batch is kept.
            seed: Seed of the run.
            number: Epoch, from 0.
        """
        rows = self.rows(utterances, training.crops)
        order = np.random.default_rng([seed, number]).permutation(len(rows))
        generators = {
            item.hash: clip_rng(seed, EPOCH_BASE + number, item.hash) for item in utterances
        }
        size = min(training.batch_size, len(order))
        for start in range(0, steps(len(rows), training) * size, size):
            chosen = [rows[index] for index in order[start : start + size]]
            clips = [item for item, _ in chosen]
            examples = [self.example(u, generators[u.hash], copy) for u, copy in chosen]
            yield Batch(_stacked(examples), self.one_hot(clips), class_weights[self.index(clips)])

    def index(self, utterances: Sequence[Utterance]) -> NDArray[np.int64]:
        """Return the class of each utterance, int64 (N,)."""
        return np.array([self.labels.index(item.emotion) for item in utterances], np.int64)

    def one_hot(self, utterances: Sequence[Utterance]) -> F32:
        """Return one-hot targets, float32 (N, n)."""
        return np.eye(len(self.labels), dtype=np.float32)[self.index(utterances)]


def _stacked(examples: Sequence[Inputs]) -> Inputs:
    return {name: np.stack([item[name] for item in examples]) for name in examples[0]}


def steps(rows: int, training: Training) -> int:
    """Return the number of batches of an epoch with so many rows."""
    size = min(training.batch_size, rows)
    return -(-rows // size) if training.last_batch else rows // size


def fit_normalizers(
    store: Store, features: Features, utterances: Sequence[Utterance], standardise: bool = True
) -> dict[str, Normalizer]:
    """Fit one normalizer per network input.

    Args:
        store: Store with the features of the clips.
        features: Recipe of the features.
        utterances: Training clips alone.
        standardise: False gives normalizers that alter nothing.
    """
    arrays = store.load(features, utterances[0], 0)
    if not standardise:
        return {name: normalizers.unaltered(values.shape[-1]) for name, values in arrays.items()}
    return {
        name: normalizers.fit(store.load(features, item, 0)[name] for item in utterances)
        for name in arrays
    }


def inverse_frequency(utterances: Sequence[Utterance], labels: Sequence[str]) -> F32:
    """Return class weights with mean 1 over the clips: N / (n * count)."""
    counts = Counter(item.emotion for item in utterances)
    scale = len(utterances) / len(labels)
    return np.array([scale / counts[label] for label in labels], np.float32)
