"""What a recipe may ask of clips, copies and windows beyond the defaults."""

from __future__ import annotations

import dataclasses
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from ser_toolkit.builtin.augmenters import Gain, Noise, Shift
from ser_toolkit.contracts.components import Utterance
from ser_toolkit.contracts.recipe import ComponentSpec, Recipe, Training
from ser_toolkit.data.batches import Dataset, fit_normalizers, steps
from ser_toolkit.data.corpus import Corpus, drop_clips_shorter_than
from ser_toolkit.data.feature_store import Features, Store, clip_rng
from ser_toolkit.plugins.assemble import assemble
from ser_toolkit.plugins.registry import load_plugins
from ser_toolkit.runtime.audio.decode import Audio, read_audio, resample
from ser_toolkit.runtime.component import Asset
from ser_toolkit.runtime.errors import AudioError, SertkError
from ser_toolkit.runtime.features.base import F32, Joined, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.spectral import Rms, Zcr
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.runtime.inference.inputs import features, signal_of
from ser_toolkit.utils.progress import Callback

LABELS = ("anger", "boredom", "fear", "happiness", "neutral", "sadness")
Clips = tuple[Utterance, ...]


def no_assets(asset: Asset) -> bytes:
    raise AssertionError(f"{asset.name} was asked for")


@dataclass(frozen=True)
class Extent(WindowExtractor):
    """How many samples came, and the first of them."""

    name: ClassVar[str] = "extent"
    takes_short: ClassVar[bool] = True
    rate_hz: int = 16000
    frame_length: int = 400
    hop_length: int = 400
    start_s: float = 0.25
    end_s: float = 1.25

    @property
    def span_s(self) -> tuple[float, float]:
        return self.start_s, self.end_s

    @property
    def columns(self) -> tuple[str, ...]:
        return ("samples", "first")

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"extent": np.array([len(signal), signal.samples[0]], np.float32)}


@dataclass(frozen=True)
class Padded(Extent):
    """The same, with windows that are always whole."""

    name: ClassVar[str] = "padded"
    takes_short: ClassVar[bool] = False

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"padded": np.array([len(signal), signal.samples[0]], np.float32)}


def ramp(seconds: float, rate_hz: int = 16000) -> Audio:
    count = round(seconds * rate_hz)
    return Audio(np.linspace(0, 0.5, count, dtype=np.float32), rate_hz)


@pytest.mark.parametrize("rate_hz", [16000, 24414, 48000])
def test_a_span_is_cut_before_resampling(rate_hz: int) -> None:
    audio = ramp(2.0, rate_hz)
    first, count = int(0.25 * rate_hz), int(1.0 * rate_hz)
    cut = resample(audio.samples[first : first + count], rate_hz, 16000)
    np.testing.assert_array_equal(signal_of(audio, Extent()).samples, cut)


def test_without_a_span_the_whole_clip_counts() -> None:
    audio = ramp(1.0)
    np.testing.assert_array_equal(signal_of(audio, Rms()).samples, audio.samples)


def test_a_clip_that_ends_before_the_span_is_refused() -> None:
    with pytest.raises(AudioError, match=r"'x\.wav' lasts 0\.20 s.*after 0\.25 s"):
        signal_of(ramp(0.2), Extent(), "x.wav")


@pytest.mark.parametrize(
    ("seconds", "samples"), [(0.26, 400), (0.75, 8000), (1.25, 16000), (3.0, 16000)]
)
def test_short_audio_comes_as_it_is_or_padded(seconds: float, samples: int) -> None:
    """Three windows' worth of frames are asked for; at least one frame is always given."""
    signal, window = signal_of(ramp(seconds), Extent()), Window(40, 20)
    assert features(Extent(), signal, window)["extent"][:, 0].tolist() == [samples]
    assert features(Padded(), signal, window)["padded"][:, 0].tolist() == [16000]


def test_window_extractors_stand_beside_each_other() -> None:
    both = Joined((Extent(), Extent()))
    with pytest.raises(SertkError, match="two extractors give an array called 'extent'"):
        both.arrays(Signal(np.ones(400), 16000))
    with pytest.raises(ValueError, match="one takes_short"):
        Joined((Extent(), Padded()))
    with pytest.raises(ValueError, match="gives frames"):
        Joined((Extent(), Rms()))  # type: ignore[arg-type]
    other = dataclasses.replace(Padded(), rate_hz=8000)
    with pytest.raises(ValueError, match="one rate_hz"):
        Joined((Padded(), other))


def test_a_recipe_joins_window_extractors_and_refuses_a_mixture() -> None:
    plugins = load_plugins()
    recipe = Recipe(
        "r", "", (ComponentSpec("functionals"), ComponentSpec("msf_stats")), ComponentSpec("mlp")
    )
    made = assemble(recipe, plugins)
    assert isinstance(made.extractor, Joined)
    rng = np.random.default_rng(0)
    signal = Signal(0.1 * rng.standard_normal(48000), made.extractor.rate_hz)
    arrays = features(made.extractor, signal, made.recipe.window)
    assert {name: a.shape[1:] for name, a in arrays.items()} == {
        "functionals": (460,),
        "msf_stats": (191,),
    }
    assert len(made.extractor.columns) == 651
    mixed = Recipe(
        "r", "", (ComponentSpec("functionals"), ComponentSpec("mfcc")), ComponentSpec("mlp")
    )
    with pytest.raises(SertkError, match="'mfcc' gives frames"):
        assemble(mixed, plugins)


def combined(utterances: Clips, store: Store) -> Dataset:
    chain = (Gain(p=0.1), Shift(), Noise(p=0.5))
    wanted = Features(Stack((Zcr(), Rms())), Window(40, 20), chain, 0, no_assets, "all")
    normalizers = fit_normalizers(store, wanted, utterances)
    return Dataset(store, wanted, normalizers, LABELS, augmented_copies=7)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Store:
    return Store(tmp_path_factory.mktemp("features"))


def test_all_combinations_are_copies(utterances: Clips, store: Store) -> None:
    wanted = combined(utterances, store).features
    names = [tuple(a.name for a in wanted.chain(copy)) for copy in range(8)]
    assert len(set(names)) == 8 and names[0] == ()
    assert set(names[7]) == {"gain", "shift", "noise"}
    assert all(augmenter.p == 1 for copy in range(8) for augmenter in wanted.chain(copy))


def test_a_copy_is_its_augmenters_one_after_another(utterances: Clips, store: Store) -> None:
    """Against the augmenters called by hand."""
    data, item = combined(utterances, store), utterances[3]
    audio, rng = read_audio(item.clip.path), clip_rng(0, 5, item.hash)
    samples = audio.samples
    for augmenter in (Gain(), Noise()):
        rng.random()  # the draw of p, which is 1
        samples = augmenter.augment(samples, audio.rate_hz, rng)
    wanted = Stack((Zcr(), Rms())).frames(Signal(samples, audio.rate_hz))
    np.testing.assert_array_equal(store.load(data.features, item, 5)["frames"], wanted)


def test_an_epoch_then_has_every_copy_of_every_clip(utterances: Clips, store: Store) -> None:
    data, few = combined(utterances, store), utterances[:5]
    training = Training(batch_size=16, combine="all", last_batch=True)
    batches = list(data.epoch(few, np.ones(6, np.float32), training, 0, 0))
    assert [len(batch.weights) for batch in batches] == [16, 16, 8]
    labels = Counter(LABELS[i] for batch in batches for i in batch.targets.argmax(axis=1))
    assert labels == {name: 8 * n for name, n in Counter(item.emotion for item in few).items()}
    seen = {row.tobytes() for batch in batches for row in batch.inputs["frames"]}
    assert len(seen) == 40


def test_the_last_batch_is_kept_when_asked_for() -> None:
    assert steps(100, Training(batch_size=32)) == 3
    assert steps(100, Training(batch_size=32, last_batch=True)) == 4
    assert steps(96, Training(batch_size=32, last_batch=True)) == 3
    assert steps(10, Training(batch_size=32)) == steps(10, Training(last_batch=True)) == 1


def test_a_recipe_counts_its_combinations() -> None:
    plugins = load_plugins()
    chain = (ComponentSpec("noise"), ComponentSpec("shift"), ComponentSpec("mask"))
    recipe = Recipe(
        "r",
        "",
        (ComponentSpec("mfcc"),),
        ComponentSpec("tcn"),
        chain,
        training=Training(combine="all", copies=1),
    )
    assert assemble(recipe, plugins).augmented_copies == 3
    plain = dataclasses.replace(recipe, training=Training(copies=5))
    assert assemble(plain, plugins).augmented_copies == 5


def test_features_may_stay_as_they_are(utterances: Clips, store: Store) -> None:
    wanted = combined(utterances, store).features
    normalizers = fit_normalizers(store, wanted, utterances, standardise=False)
    frames = store.load(wanted, utterances[0], 0)["frames"]
    np.testing.assert_array_equal(normalizers["frames"].apply(frames)[0], frames)


class Received(Callback):
    def __init__(self) -> None:
        self.warnings: list[tuple[str, list[str]]] = []

    def warn(self, text, details=()):  # type: ignore[no-untyped-def]
        self.warnings.append((text, list(details)))


def test_clips_that_end_before_the_recipe_listens_are_left_out(utterances: Clips) -> None:
    lengths = sorted(item.seconds for item in utterances)
    corpus, callback = Corpus(utterances, False, ()), Received()
    middle = lengths[len(lengths) // 2]
    kept = drop_clips_shorter_than(corpus, (middle, middle + 1), callback).utterances
    assert kept == tuple(item for item in utterances if item.seconds > middle)
    ((text, details),) = callback.warnings
    assert text.startswith(f"{len(utterances) - len(kept)} clips left out")
    assert len(details) == len(utterances) - len(kept)
    assert drop_clips_shorter_than(corpus, None, callback) is corpus
    with pytest.raises(SertkError, match="all clips are too short"):
        drop_clips_shorter_than(corpus, (lengths[-1], 99.0), callback)


def test_no_clip_is_lost_where_all_are_long_enough(utterances: Clips) -> None:
    corpus, callback = Corpus(utterances, False, ()), Received()
    assert drop_clips_shorter_than(corpus, (0.0, 1.0), callback).utterances == utterances
    assert callback.warnings == []


def test_a_saved_network_carries_no_optimizer(small_run: tuple[object, Path]) -> None:
    """It would be twice the size of the weights."""
    import zipfile

    import h5py

    run = small_run[0]
    path = run.path / "model.keras"  # type: ignore[attr-defined]
    with zipfile.ZipFile(path) as file, h5py.File(file.open("model.weights.h5")) as weights:
        held = weights["optimizer"]["vars"] if "optimizer" in weights else {}
        assert sum(np.prod(v.shape) for v in held.values()) < 10
