"""Store features of clips: content-addressed, resumable, parallel.

A key covers the recording, the augmentation, the extractor with its version, and the window where
the extractor works on windows; so nothing is ever stale, and all folds of a cross-validation share
one computation. A task is a chunk of clips; its results are files written atomically; what exists
is skipped, so a crash loses one chunk at most.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import Augmenter, Utterance
from ..contracts.recipe import Combine
from ..runtime.component import AssetLoader, Component, parts_of, to_spec
from ..runtime.errors import SertkError
from ..runtime.features.base import F32, Extractor, FrameExtractor, Signal
from ..runtime.features.window import Window
from ..runtime.inference.inputs import features as extract
from ..runtime.inference.inputs import signal_of
from ..utils.files import read_npz, remove_temporaries, write_npz
from ..utils.parallel import worker_processes
from ..utils.progress import Callback
from .clip_audio import read_utterance

FORMAT = 1
CHUNK = 8


@dataclass(frozen=True)
class Features:
    """Describe what to compute: extractor, window, and the chain of augmenters with its seed."""

    extractor: Extractor
    window: Window
    augmenters: tuple[Augmenter, ...]
    seed: int
    load: AssetLoader
    combine: Combine = "random"

    def chain(self, copy: int) -> tuple[Augmenter, ...]:
        """Return the augmenters of one copy of a clip; copy 0 is the clip itself.

        With `combine="all"` the bits of `copy` say which augmenters are applied for certain.
        """
        if copy == 0:
            return ()
        if self.combine == "random":
            return self.augmenters
        chosen = [a for bit, a in enumerate(self.augmenters) if copy >> bit & 1]
        return tuple(replace(augmenter, p=1.0) for augmenter in chosen)

    def key(self, utterance: Utterance, copy: int) -> str:
        """Return the address of one copy of a clip: a sha256 in hexadecimal digits."""
        chain = [_spec(item) for item in self.chain(copy)]
        parts = [FORMAT, utterance.hash, _spec(self.extractor), _window_key(self), copy, chain]
        if copy:
            parts.append(self.seed)
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _spec(component: Component) -> list[Any]:
    """Return parameters and classes: two plugins may have other code under one name and version."""
    classes = [type(part) for part in parts_of(component)]
    return [to_spec(component), [f"{_package(c)}.{c.__qualname__}" for c in classes]]


def _package(kind: type) -> str:
    # Not the whole module: code that moves within its package computes the same.
    return kind.__module__.partition(".")[0]


def _window_key(features: Features) -> Any:
    if isinstance(features.extractor, FrameExtractor):
        return None
    return [features.window.length_frames, features.window.hop_frames]


def processes(workers: int) -> int:
    """Return the number of worker processes: `workers`, or one per core where it is 0."""
    return workers or os.cpu_count() or 1


def clip_rng(seed: int, number: int, clip_hash: str) -> np.random.Generator:
    """Return the generator of one clip, the same in any order and on any number of workers.

    Args:
        seed: Seed of the run.
        number: Number of the copy, or of the epoch on a base of its own.
        clip_hash: Hash of the clip's samples, 16 or more hexadecimal digits.
    """
    return np.random.default_rng([seed, number, int(clip_hash[:16], 16)])


@dataclass(frozen=True)
class Store:
    """Feature files below `root`."""

    root: Path

    def path(self, key: str) -> Path:
        """Return the file of the arrays with this key."""
        return self.root / key[:2] / f"{key}.npz"

    def load(self, features: Features, utterance: Utterance, copy: int) -> dict[str, F32]:
        """Return the named float32 arrays of one copy of a clip, computed now if not stored."""
        path = self.path(features.key(utterance, copy))
        try:
            return read_npz(path)
        except (OSError, ValueError):
            arrays = compute(features, utterance, copy)
            write_npz(path, arrays)
            return arrays

    def fill(
        self,
        features: Features,
        copies: Sequence[tuple[Utterance, int]],
        workers: int,
        callback: Callback,
    ) -> None:
        """Compute the arrays that are not stored yet.

        Args:
            features: What to compute.
            copies: Clips with the number of their copy, 0 for the clip itself.
            workers: Number of processes.
            callback: Receiver of the progress.
        """
        missing = [
            item for item in copies if not self.path(features.key(item[0], item[1])).exists()
        ]
        if not missing:
            return
        chunks = [missing[start : start + CHUNK] for start in range(0, len(missing), CHUNK)]
        results = _run(self, features, chunks, min(workers, len(chunks)))
        for _ in callback.track(results, "Computing features", len(missing)):
            pass

    def fill_chunk(
        self, features: Features, chunk: Sequence[tuple[Utterance, int]], writer: str = ""
    ) -> int:
        """Compute and write one chunk; return its size.

        Args:
            features: What to compute.
            chunk: Clips with the number of their copy.
            writer: Mark of the temporary files.
        """
        for utterance, copy in chunk:
            path = self.path(features.key(utterance, copy))
            write_npz(path, compute(features, utterance, copy), writer)
        return len(chunk)


def _run(store: Store, features: Features, chunks: Sequence[Any], workers: int) -> Iterator[None]:
    """Yield one None per clip done, so that a progress bar counts clips."""
    if workers <= 1 or len(chunks) < 3:
        for chunk in chunks:
            for item in chunk:
                store.fill_chunk(features, [item])
                yield None
        return
    from joblib import delayed

    parallel, writer = worker_processes(workers, "generator_unordered"), secrets.token_hex(4)
    try:
        for done in parallel(delayed(store.fill_chunk)(features, c, writer) for c in chunks):
            yield from (None,) * done
    except BaseException:
        # The first failure has killed the other workers, maybe while they wrote.
        for utterance, copy in (item for chunk in chunks for item in chunk):
            remove_temporaries(store.path(features.key(utterance, copy)), writer)
        raise


def compute(features: Features, utterance: Utterance, copy: int) -> dict[str, F32]:
    """Decode, resample, augment and extract one copy of a clip.

    Args:
        features: What to compute.
        utterance: The clip.
        copy: Number of the copy; 0 is the clip itself, which is not augmented.

    Returns:
        Frames float32 (T, F), or arrays float32 (W, …) of each window, by name.

    Raises:
        SertkError: Where a value is not finite, and where the file is another than was checked.
    """
    extractor = features.extractor.prepare(features.load)
    with _one_thread():
        signal = signal_of_copy(features, utterance, copy)
        arrays = extract(extractor, signal, features.window)
    for name, values in arrays.items():
        if not np.isfinite(values).all():
            raise SertkError(
                f"'{extractor.name}' gave values that are not finite in '{name}' for "
                f"{utterance.name} (copy {copy})",
                "This is a fault of the extractor or of an augmenter before it",
            )
    return arrays


def signal_of_copy(features: Features, utterance: Utterance, copy: int) -> Signal:
    """Decode, resample and augment one copy of a clip.

    Args:
        features: What tells the rate and the augmenters.
        utterance: The clip.
        copy: Number of the copy; 0 is the clip itself, which is not augmented.
    """
    signal = signal_of(read_utterance(utterance), features.extractor, utterance.clip.relative)
    if copy == 0:
        return signal
    rng = clip_rng(features.seed, copy, utterance.hash)
    chain = [augmenter.prepare(features.load) for augmenter in features.chain(copy)]
    return Signal(apply_chain(chain, signal.samples, signal.rate_hz, rng), signal.rate_hz)


def _one_thread() -> contextlib.AbstractContextManager[Any]:
    """Limit BLAS to one thread: matrix products round otherwise with every number of threads.

    Without the [train] extra, which brings threadpoolctl, the last bits may depend on the machine.
    """
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return contextlib.nullcontext()
    limits: contextlib.AbstractContextManager[Any] = threadpool_limits(1, user_api="blas")
    return limits


def apply_chain(
    augmenters: Sequence[Augmenter], samples: F32, rate_hz: int, rng: np.random.Generator
) -> F32:
    """Apply a chain of augmenters, each with its probability.

    One that leaves nothing but zeros is left out: silence with a label would be learnt.

    Args:
        augmenters: In the order of application.
        samples: float32 (N,), left unchanged.
        rate_hz: Sampling rate.
        rng: Source of every random draw.
    """
    for augmenter in augmenters:
        if rng.random() < augmenter.p:
            altered = augmenter.augment(samples, rate_hz, rng)
            samples = altered if altered.any() else samples
    return samples
