"""Open a finished run with features and audio of its clips, to evaluate converted networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from ..contracts.components import Clip, Utterance
from ..data.batches import Dataset
from ..data.corpus import read_corpus
from ..data.feature_store import Features, Store
from ..metrics.scores import Scores, network_scores, utterance_scores
from ..plugins.assets import Assets
from ..plugins.registry import Plugins
from ..runtime.audio.channels import MIX
from ..runtime.errors import SertkError
from ..runtime.features.base import F32
from ..runtime.inference.tflite import TfliteModel
from ..training.run_dir import RunClassifier, RunDirectory
from ..utils.files import cache_dir, writable_cache
from ..utils.progress import Callback

CALIBRATION_WINDOWS = 200
SUBSETS = ("train", "validation", "test")


@dataclass(frozen=True)
class RunSource:
    """Data that holds the clips of a run, and what is needed to read them.

    `workers` processes compute features that are no longer in the cache; `channel` is the run's.
    """

    plugins: Plugins
    data: tuple[str, ...] = ()
    reader: str | None = None
    workers: int = 1
    callback: Callback = field(default_factory=Callback)
    channel: str = MIX

    @cached_property
    def clips(self) -> dict[str, Utterance]:
        """Return the utterances of the data by their hash, read and decoded once."""
        corpus = read_corpus(
            self.data, self.plugins, self.callback, self.reader, channel=self.channel
        )
        return {item.hash: item for item in corpus.utterances}


@dataclass(frozen=True)
class RunData:
    """A run, opened for prediction, with its clips by subset: train, validation, test."""

    run: RunDirectory
    classifier: RunClassifier
    dataset: Dataset
    subsets: Mapping[str, tuple[Utterance, ...]]
    source: RunSource

    def calibration(self, seed: int = 0, count: int = CALIBRATION_WINDOWS) -> dict[str, F32]:
        """Draw `count` standardised windows (N, …) of training clips, one of each clip in turn."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.subsets["train"]))
        chosen: list[dict[str, F32]] = []
        for index in np.resize(order, min(count, 4 * len(order))):
            windows = self.dataset.windows(self.subsets["train"][index])
            pick = int(rng.integers(len(next(iter(windows.values())))))
            chosen.append({name: values[pick] for name, values in windows.items()})
        return {name: np.stack([row[name] for row in chosen]) for name in chosen[0]}

    def first_windows(self, subset: str, count: int) -> dict[str, F32]:
        """Return at most `count` standardised windows (N, …) of a subset."""
        inputs = [self.dataset.windows(item) for item in self.subsets[subset]]
        joined = {name: np.concatenate([row[name] for row in inputs]) for name in inputs[0]}
        return {name: values[:count] for name, values in joined.items()}

    def keras_scores(self, subset: str) -> Scores:
        """Score the trained network on the clips of a subset."""
        clips = self.subsets[subset]
        inputs = map(self.dataset.windows, clips)
        return network_scores(self.classifier.network.model, inputs, clips, self.classifier.labels)

    def tflite_scores(
        self, content: bytes, subset: str, inputs: Iterable[Mapping[str, F32]] | None = None
    ) -> Scores:
        """Score a `.tflite` file on the clips of a subset, in the runtime of this environment.

        Args:
            content: Content of the file.
            subset: train, validation or test.
            inputs: Inputs of each clip, float32 (W, …) by name; None takes its features.
        """
        network, clips = TfliteModel(content), self.subsets[subset]
        windows = map(network, map(self.dataset.windows, clips) if inputs is None else inputs)
        return utterance_scores(windows, clips, self.classifier.labels)

    def located(self, item: Utterance) -> Utterance:
        """Return an utterance with its audio. Raises SertkError where the data lack it."""
        if item.hash not in self.source.clips:
            raise SertkError(
                f"{item.name} is not in the data", "Give the data that the run was trained on"
            )
        return self.source.clips[item.hash]


def open_run(run: RunDirectory, source: RunSource) -> RunData:
    """Open a finished run; compute features that are not in the cache from the source's data."""
    source = replace(source, channel=run.channel)
    classifier = run.classifier(source.plugins)
    assembly = classifier.assembly
    plan = run.json("split.json")
    load = Assets((run.path / "assets", cache_dir() / "assets")).load
    features = Features(assembly.extractor, assembly.recipe.window, (), int(plan["seed"]), load)
    dataset = Dataset(
        Store(writable_cache("features")), features, classifier.normalizers, classifier.labels
    )
    subsets = {
        name: tuple(_utterance(row) for row in plan["clips"] if row["side"] == name)
        for name in SUBSETS
    }
    _fill_cache(dataset, [item for items in subsets.values() for item in items], source)
    return RunData(run, classifier, dataset, subsets, source)


def _utterance(row: Mapping[str, object]) -> Utterance:
    """Return an utterance of split.json, whose clip has no path to its audio."""
    corpus, speaker = str(row["corpus"]), row["speaker"]
    plain = None if speaker is None else str(speaker).removeprefix(f"{corpus}/")
    clip = Clip(
        Path(),
        str(row["path"]),
        corpus,
        str(row["emotion"]),
        plain,
        start_s=float(str(row["start_s"])),
    )
    return Utterance(clip, str(row["hash"]), 0.0)


def _fill_cache(dataset: Dataset, items: Sequence[Utterance], source: RunSource) -> None:
    store, features = dataset.store, dataset.features
    missing = [item for item in items if not store.path(features.key(item, 0)).exists()]
    if missing:
        located = _located(missing, len(items), source)
        store.fill(features, [(item, 0) for item in located], source.workers, source.callback)


def _located(missing: Sequence[Utterance], total: int, source: RunSource) -> Iterable[Utterance]:
    """Return the utterances with their audio. Raises SertkError where the data lack any."""
    problem = f"the features of {len(missing)} of the run's {total} clips are not in the cache"
    if not source.data:
        raise SertkError(problem, "Add --data, with the data that the run was trained on")
    lost = sum(item.hash not in source.clips for item in missing)
    if lost:
        raise SertkError(
            f"{problem}, and {lost} of these clips are not in the data",
            "Give the data that the run was trained on",
        )
    return [replace(item, clip=source.clips[item.hash].clip) for item in missing]
