"""A finished run with the features of its clips, to be measured again in another form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .assets import Assets
from .contracts import Clip, Utterance
from .corpus import read_corpus
from .dataset import Dataset
from .plugins import Plugins
from .run import Predictor, Run
from .runtime.errors import SertkError
from .runtime.extractor import F32
from .store import Features, Store
from .utils.files import cache_dir
from .utils.progress import Callback

CALIBRATION_WINDOWS = 200


@dataclass(frozen=True)
class Material:
    """A run, what predicts from it, and its clips by side: train, validation, test."""

    run: Run
    predictor: Predictor
    dataset: Dataset
    sides: Mapping[str, tuple[Utterance, ...]]

    def calibration(self, seed: int, count: int = CALIBRATION_WINDOWS) -> dict[str, F32]:
        """Standardised windows (N, …) of training clips alone, one of each clip in turn."""
        rng = np.random.default_rng(seed)
        order = rng.permutation(len(self.sides["train"]))
        chosen: list[dict[str, F32]] = []
        for index in np.resize(order, min(count, 4 * len(order))):
            windows = self.dataset.windows(self.sides["train"][index])
            pick = int(rng.integers(len(next(iter(windows.values())))))
            chosen.append({name: values[pick] for name, values in windows.items()})
        return {name: np.stack([row[name] for row in chosen]) for name in chosen[0]}


def read_material(
    run: Run,
    data: Sequence[str],
    reader: str | None,
    plugins: Plugins,
    callback: Callback,
    workers: int,
) -> Material:
    """The clips of a finished run, from the feature cache or, where that lacks any, from `data`."""
    predictor = run.predictor(plugins)
    assembly = predictor.assembly
    plan = run.json("split.json")
    load = Assets((run.path / "assets", cache_dir() / "assets")).load
    wanted = Features(assembly.extractor, assembly.recipe.window, (), int(plan["seed"]), load)
    store = Store(cache_dir() / "features")
    sides = {
        side: tuple(_utterance(row) for row in plan["clips"] if row["side"] == side)
        for side in ("train", "validation", "test")
    }
    every = [item for items in sides.values() for item in items]
    missing = [item for item in every if not store.path(wanted.key(item, 0)).exists()]
    if missing:
        _refill(missing, len(every), wanted, store, data, reader, plugins, callback, workers)
    dataset = Dataset(store, wanted, predictor.adapters, predictor.labels)
    return Material(run, predictor, dataset, sides)


def _utterance(row: Mapping[str, object]) -> Utterance:
    """A clip of split.json. Its audio is somewhere that no run remembers."""
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


def _refill(
    missing: Sequence[Utterance],
    total: int,
    wanted: Features,
    store: Store,
    data: Sequence[str],
    reader: str | None,
    plugins: Plugins,
    callback: Callback,
    workers: int,
) -> None:
    problem = f"the features of {len(missing)} of the run's {total} clips are not in the cache"
    if not data:
        raise SertkError(problem, "Add --data, with the data that the run was trained on")
    found = {item.hash: item for item in read_corpus(data, plugins, callback, reader).utterances}
    lost = sum(item.hash not in found for item in missing)
    if lost:
        raise SertkError(
            f"{problem}, and {lost} of these clips are not in the data",
            "Give the data that the run was trained on",
        )
    here = [(replace(item, clip=found[item.hash].clip), 0) for item in missing]
    store.fill(wanted, here, workers, callback)
