"""What the network is fed: windows, normalizers, weights, and what they may depend on."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.builtin.augmenters import Gain, Noise
from ser_toolkit.contracts.components import FrameAugmenter, Utterance
from ser_toolkit.contracts.recipe import Training
from ser_toolkit.data.batches import (
    EPOCH_BASE,
    Batch,
    Dataset,
    Memory,
    fit_normalizers,
    inverse_frequency,
)
from ser_toolkit.data.feature_store import Features, Store, clip_rng
from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.features.base import F32, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.spectral import Rms, Zcr
from ser_toolkit.runtime.features.window import Window

Clips = tuple[Utterance, ...]
LABELS = ("anger", "boredom", "fear", "happiness", "neutral", "sadness")


def no_assets(asset: Asset) -> bytes:
    raise AssertionError(f"{asset.name} was asked for")


@dataclass(frozen=True)
class Levels(WindowExtractor):
    """Mean magnitude of a window, and of its halves."""

    name: ClassVar[str] = "levels"
    rate_hz: int = 16000
    frame_length: int = 400
    hop_length: int = 160

    @property
    def columns(self) -> tuple[str, ...]:
        return ("whole",)

    def arrays(self, signal: Signal) -> dict[str, F32]:
        halves = np.array_split(np.abs(signal.samples), 2)
        return {
            "whole": np.array([np.abs(signal.samples).mean()], np.float32),
            "halves": np.array([[half.mean()] for half in halves], np.float32),
        }


@dataclass(frozen=True)
class AddHundred(FrameAugmenter):
    """Frames that cannot be mistaken for others."""

    name: ClassVar[str] = "add_hundred"

    def augment_frames(self, frames: F32, rng: np.random.Generator) -> F32:
        return frames + np.float32(100)


@dataclass(frozen=True)
class InPlace(FrameAugmenter):
    """Breaks the contract: it writes into what it is given."""

    name: ClassVar[str] = "in_place"

    def augment_frames(self, frames: F32, rng: np.random.Generator) -> F32:
        frames[:] = 0
        return frames


FRAMES = Features(Stack((Zcr(), Rms())), Window(40, 20), (Noise(), Gain()), 0, no_assets)
WINDOWS = dataclasses.replace(FRAMES, extractor=Levels())


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("features"))


def dataset(store: Store, clips: Clips, wanted: Features = FRAMES, **more: Any) -> Dataset:
    normalizers = fit_normalizers(store, wanted, clips)
    return Dataset(store, wanted, normalizers, LABELS, **{"augmented_copies": 2, **more})


def epoch(data: Dataset, clips: Clips, number: int = 0, **more: Any) -> list[Batch]:
    seed = more.pop("seed", 0)
    training = Training(**{"batch_size": 5, "crops": 1, **more})
    weights = inverse_frequency(clips, LABELS)
    return list(data.epoch(clips, weights, training, seed, number))


def content(batches: list[Batch]) -> bytes:
    parts = [(*b.inputs.values(), b.targets, b.weights) for b in batches]
    return b"".join(array.tobytes() for part in parts for array in part)


def examples(batches: list[Batch], name: str = "frames") -> list[bytes]:
    return [example.tobytes() for batch in batches for example in batch.inputs[name]]


def test_an_epoch_is_the_same_whatever_was_drawn_before(store: Store, utterances: Clips) -> None:
    fresh = dataset(store, utterances)
    used = dataset(store, utterances, memory=Memory(limit=0))
    for number in (4, 0, 2):
        epoch(used, utterances, number, batch_size=3)
    assert content(epoch(fresh, utterances, 3)) == content(epoch(used, utterances, 3))


def test_epochs_and_seeds_differ(store: Store, utterances: Clips) -> None:
    data = dataset(store, utterances)
    drawn = [epoch(data, utterances, 0), epoch(data, utterances, 1)]
    drawn.append(epoch(data, utterances, 0, seed=1))
    assert len({content(batches) for batches in drawn}) == 3


@pytest.mark.parametrize("crops", [1, 2])
def test_an_example_depends_on_seed_epoch_and_clip_alone(
    crops: int, store: Store, utterances: Clips
) -> None:
    data, few = dataset(store, utterances), utterances[::2]
    expected = []
    for item in few:
        rng = clip_rng(7, EPOCH_BASE + 3, item.hash)
        expected += [data.example(item, rng)["frames"].tobytes() for _ in range(crops)]
    options: dict[str, Any] = {"number": 3, "seed": 7, "crops": crops, "batch_size": 1}
    assert sorted(examples(epoch(data, few, **options))) == sorted(expected)
    assert set(expected) <= set(examples(epoch(data, utterances, **options)))


def test_every_clip_comes_once_per_crop_and_with_its_own_label(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances, augmented_copies=0)
    whole = {item: data.scaled(item, 0)["frames"] for item in utterances}
    seen: Counter[Utterance] = Counter()
    for batch in epoch(data, utterances, crops=2, batch_size=1):
        window, target = batch.inputs["frames"][0], batch.targets[0]
        (item,) = [item for item, frames in whole.items() if _is_part(window, frames)]
        assert LABELS[int(target.argmax())] == item.emotion
        assert target.sum() == 1
        seen[item] += 1
    assert seen == Counter(dict.fromkeys(utterances, 2))


def _is_part(window: F32, frames: F32) -> bool:
    views = np.lib.stride_tricks.sliding_window_view(frames, window.shape)
    return bool((views == window).all(axis=(-1, -2)).any())


def test_windows_start_anywhere_and_copies_are_drawn(store: Store, utterances: Clips) -> None:
    data, item = dataset(store, utterances, augmented_copies=2), utterances[0]
    variants = [data.scaled(item, copy)["frames"] for copy in range(3)]
    rng, used, starts = np.random.default_rng(0), set(), set()
    for _ in range(120):
        window = data.example(item, rng)["frames"]
        for copy, frames in enumerate(variants):
            views = np.lib.stride_tricks.sliding_window_view(frames, window.shape)[:, 0]
            for start in np.flatnonzero((views == window).all(axis=(-1, -2))):
                used.add(copy)
                starts.add(int(start))
    assert used == {0, 1, 2}
    assert min(starts) < 10
    assert max(starts) > len(variants[0]) - 40 - 10


def test_the_last_incomplete_batch_is_left_out_unless_it_is_the_only_one(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances)
    assert [len(b.targets) for b in epoch(data, utterances, batch_size=7)] == [7, 7, 7]
    assert [len(b.targets) for b in epoch(data, utterances, batch_size=100)] == [24]
    assert [len(b.targets) for b in epoch(data, utterances, batch_size=12)] == [12, 12]


def test_short_clips_fill_the_window(store: Store, utterances: Clips) -> None:
    wanted = dataclasses.replace(FRAMES, window=Window(1000, 500, "zero"))
    data = dataset(store, utterances, wanted, augmented_copies=0)
    frames = epoch(data, utterances)[0].inputs["frames"]
    assert frames.shape == (5, 1000, 2)
    assert not frames[:, -1].any()  # zeros after standardisation: the mean of each column


def test_adapters_are_fitted_on_the_given_clips_as_they_are(
    store: Store, utterances: Clips
) -> None:
    train = utterances[:9]
    normalizer = fit_normalizers(store, FRAMES, train)["frames"]
    frames = np.concatenate([store.load(FRAMES, item, 0)["frames"] for item in train])
    wide = frames.astype(np.float64)
    np.testing.assert_allclose(normalizer.mean, wide.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(normalizer.std, wide.std(axis=0), rtol=1e-6)
    other = fit_normalizers(store, FRAMES, utterances)["frames"]
    assert not np.allclose(other.mean, normalizer.mean, rtol=1e-4)


def test_standardised_training_frames_have_mean_zero_and_deviation_one(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances, augmented_copies=0)
    scaled = np.concatenate([data.scaled(item, 0)["frames"] for item in utterances])
    np.testing.assert_allclose(scaled.mean(axis=0, dtype=float), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=0, dtype=float), 1, atol=1e-5)


def test_metrics_are_without_copies_and_masks(store: Store, utterances: Clips) -> None:
    plain = dataset(store, utterances, augmented_copies=0)
    training = dataset(store, utterances, augmented_copies=2, frame_augmenters=(AddHundred(),))
    epoch(training, utterances)
    for item in utterances[:4]:
        frames = plain.scaled(item, 0)["frames"]
        expected = [frames[s : s + 40] for s in Window(40, 20).starts(len(frames))]
        np.testing.assert_array_equal(training.windows(item)["frames"], np.stack(expected))


def test_frame_augmenters_get_standardised_training_windows(
    store: Store, utterances: Clips
) -> None:
    bare = epoch(dataset(store, utterances, augmented_copies=0), utterances)
    masked = epoch(
        dataset(store, utterances, augmented_copies=0, frame_augmenters=(AddHundred(),)), utterances
    )
    for one, other in zip(bare, masked, strict=True):
        expected = one.inputs["frames"] + np.float32(100)
        np.testing.assert_array_equal(other.inputs["frames"], expected)


def test_frame_augmenters_are_applied_with_their_probability_and_anew(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances, frame_augmenters=(AddHundred(p=0.5),))

    def hit(number: int) -> list[bool]:
        batches = epoch(data, utterances, number, batch_size=1)
        return [bool(batch.inputs["frames"].min() > 50) for batch in batches]

    first, second = hit(0), hit(1)
    assert 3 < sum(first) < 21
    assert first != second


def test_a_frame_augmenter_that_writes_into_its_frames_is_stopped(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances, frame_augmenters=(InPlace(),))
    before = data.scaled(utterances[0], 0)["frames"].copy()
    with pytest.raises(ValueError, match="read-only"):
        epoch(data, utterances)
    np.testing.assert_array_equal(data.scaled(utterances[0], 0)["frames"], before)


def test_class_weights_are_balanced(utterances: Clips) -> None:
    from sklearn.utils.class_weight import compute_class_weight

    chosen = tuple(u for i, u in enumerate(utterances) if u.emotion != "anger" or i % 3 == 0)
    emotions = [item.emotion for item in chosen]
    expected = compute_class_weight("balanced", classes=np.array(LABELS), y=emotions)
    weights = inverse_frequency(chosen, LABELS)
    np.testing.assert_allclose(weights, expected, rtol=1e-6)
    assert np.mean([weights[LABELS.index(e)] for e in emotions]) == pytest.approx(1)


def test_each_example_carries_the_weight_of_its_class(store: Store, utterances: Clips) -> None:
    weights = np.arange(1, 7, dtype=np.float32)
    data = dataset(store, utterances)
    for batch in data.epoch(utterances, weights, Training(batch_size=5), 0, 0):
        np.testing.assert_array_equal(batch.weights, weights[batch.targets.argmax(axis=1)])


def test_window_extractors_feed_every_array_of_one_window(store: Store, utterances: Clips) -> None:
    data = dataset(store, utterances, WINDOWS, augmented_copies=1)
    pairs = {
        (whole.tobytes(), halves.tobytes())
        for item in utterances
        for copy in (0, 1)
        for arrays in [data.scaled(item, copy)]
        for whole, halves in zip(arrays["whole"], arrays["halves"], strict=True)
    }
    batches = epoch(data, utterances)
    drawn = list(zip(examples(batches, "whole"), examples(batches, "halves"), strict=True))
    assert batches[0].inputs["whole"].shape == (5, 1)
    assert batches[0].inputs["halves"].shape == (5, 2, 1)
    assert len(drawn) == 20
    assert set(drawn) <= pairs


def test_windows_of_a_window_extractor_are_all_there_and_standardised(
    store: Store, utterances: Clips
) -> None:
    data = dataset(store, utterances, WINDOWS)
    raw = [store.load(WINDOWS, item, 0)["whole"] for item in utterances]
    wide = np.concatenate(raw).astype(np.float64)
    for item, values in zip(utterances, raw, strict=True):
        expected = (values - wide.mean()) / wide.std()
        np.testing.assert_allclose(data.windows(item)["whole"], expected, atol=1e-5)


def test_memory_holds_no_more_than_its_limit(store: Store, utterances: Clips) -> None:
    size = dataset(store, utterances).scaled(utterances[0], 0)["frames"].nbytes
    memory = Memory(limit=size)
    data = dataset(store, utterances, memory=memory)
    for item in utterances:
        data.scaled(item, 0)
    assert memory.get((utterances[0].hash, 0)) is not None
    assert memory.get((utterances[1].hash, 0)) is None


def test_augmented_copies_in_the_store_belong_to_training_clips(
    small_run: tuple[Any, Path], cache: Path
) -> None:
    """After a real training with one copy per clip."""
    from ser_toolkit.contracts.components import Clip
    from ser_toolkit.contracts.recipe import Recipe
    from ser_toolkit.plugins.assemble import assemble
    from ser_toolkit.plugins.registry import load_plugins

    run, _ = small_run
    recipe = Recipe.from_toml((run.path / "recipe.toml").read_text("utf-8"))
    made = assemble(recipe, load_plugins())
    wanted = Features(made.extractor, recipe.window, made.augmenters, 3, no_assets)
    store, found = Store(cache / "features"), Counter[tuple[str, int]]()
    for clip in run.json("split.json")["clips"]:
        item = Utterance(Clip(Path(), "", "", ""), clip["hash"], 0)
        for copy in range(4):
            found[clip["side"], copy] += store.path(wanted.key(item, copy)).exists()
    sides = run.metrics["sides"]
    assert {side: found[side, 0] for side in sides} == sides
    assert found["train", 1] == sides["train"]
    assert sum(count for (side, copy), count in found.items() if copy > (side == "train")) == 0
