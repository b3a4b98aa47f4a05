"""The feature store: its keys, and what a fill computes, repairs, and leaves behind."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest

from ser_toolkit.builtin.augmenters import Gain, Noise, Speed
from ser_toolkit.contracts.components import Augmenter, Utterance
from ser_toolkit.data.feature_store import Features, Store, apply_chain, clip_rng, compute
from ser_toolkit.runtime.audio.decode import read_audio
from ser_toolkit.runtime.component import Asset, AssetLoader
from ser_toolkit.runtime.errors import AudioError, SertkError
from ser_toolkit.runtime.features.base import F32, Signal, Stack, WindowExtractor
from ser_toolkit.runtime.features.spectral import Deltas, LogMel, Mfcc, Rms, Zcr
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.testing import relative_error
from ser_toolkit.utils.files import remove_temporaries, write_npz
from ser_toolkit.utils.progress import Callback

Variants = list[tuple[Utterance, int]]
HUM = Asset("hum", "0" * 64, 1)


def no_assets(asset: Asset) -> bytes:
    raise AssertionError(f"{asset.name} was asked for")


PLAIN = Features(LogMel(n_mels=20), Window(), (Noise(), Gain()), 0, no_assets)


@dataclass(frozen=True)
class NewerLogMel(LogMel):
    version: ClassVar[int] = LogMel.version + 1


@dataclass(frozen=True)
class NewerNoise(Noise):
    version: ClassVar[int] = Noise.version + 1


@dataclass(frozen=True)
class OtherLogMel(LogMel):
    """Same name, same version, same parameters, from another plugin."""


@dataclass(frozen=True)
class Peak(WindowExtractor):
    """The largest sample of a window."""

    name: ClassVar[str] = "peak"
    rate_hz: int = 16000
    frame_length: int = 400
    hop_length: int = 160

    @property
    def columns(self) -> tuple[str, ...]:
        return ("peak",)

    def arrays(self, signal: Signal) -> dict[str, F32]:
        return {"peak": np.array([signal.samples.max()], np.float32)}


@dataclass(frozen=True)
class Hum(Augmenter):
    """Adds one value, which is the first byte of its asset."""

    name: ClassVar[str] = "hum"
    file: Asset = HUM
    value: float = 0.0

    def prepare(self, load: AssetLoader) -> Augmenter:
        return dataclasses.replace(self, value=load(self.file)[0] / 256)

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        return samples + np.float32(self.value)


@dataclass(frozen=True)
class NotFinite(Zcr):
    """Gives NaN, as a logarithm of zero does."""

    name: ClassVar[str] = "log_of_zero"

    def frames(self, signal: Signal) -> F32:
        return np.full_like(super().frames(signal), np.nan)


class Counter(Callback):
    """Counts what it is told to expect, and interrupts after `stop` items."""

    def __init__(self, stop: int | None = None) -> None:
        self.totals: list[int] = []
        self._stop = stop

    def track(self, items: Iterable[Any], title: str, total: int) -> Iterator[Any]:
        self.totals.append(total)
        for count, item in enumerate(items, 1):
            yield item
            if count == self._stop:
                raise KeyboardInterrupt


def files(store: Store) -> dict[str, bytes]:
    found = sorted(store.root.rglob("*"))
    return {str(p.relative_to(store.root)): p.read_bytes() for p in found if p.is_file()}


def variants(utterances: Iterable[Utterance], copies: int) -> Variants:
    return [(item, copy) for item in utterances for copy in range(copies + 1)]


def changed(**changes: Any) -> Features:
    return dataclasses.replace(PLAIN, **changes)


CHANGES = {
    "parameter": changed(extractor=LogMel(n_mels=21)),
    "version": changed(extractor=NewerLogMel(n_mels=20)),
    "class": changed(extractor=OtherLogMel(n_mels=20)),
    "extractor": changed(extractor=Mfcc()),
    "stack": changed(extractor=Stack((LogMel(n_mels=20),))),
    "inner parameter": changed(extractor=Stack((LogMel(n_mels=21),))),
    "inner class": changed(extractor=Stack((OtherLogMel(n_mels=20),))),
    "deltas": changed(extractor=Deltas(of=LogMel(n_mels=20))),
    "deltas of another log-mel": changed(extractor=Deltas(of=OtherLogMel(n_mels=20))),
}
COPY_CHANGES = {
    "seed": changed(seed=1),
    "augmenter parameter": changed(augmenters=(Noise(snr_db_min=6.0), Gain())),
    "augmenter probability": changed(augmenters=(Noise(p=0.5), Gain())),
    "augmenter version": changed(augmenters=(NewerNoise(), Gain())),
    "augmenter order": changed(augmenters=(Gain(), Noise())),
    "one augmenter more": changed(augmenters=(Noise(), Gain(), Speed())),
}


def test_every_ingredient_changes_the_key_of_a_clip(utterances: tuple[Utterance, ...]) -> None:
    one, other = utterances[:2]
    keys = [PLAIN.key(one, 0), PLAIN.key(other, 0)]
    keys += [wanted.key(one, 0) for wanted in CHANGES.values()]
    assert len(set(keys)) == len(keys)


def test_every_ingredient_changes_the_key_of_a_copy(utterances: tuple[Utterance, ...]) -> None:
    one, other = utterances[:2]
    keys = [PLAIN.key(one, copy) for copy in range(4)] + [PLAIN.key(other, 1)]
    keys += [wanted.key(one, 1) for wanted in (CHANGES | COPY_CHANGES).values()]
    assert len(set(keys)) == len(keys)


@pytest.mark.parametrize("what", COPY_CHANGES)
def test_a_clip_as_it_is_does_not_depend_on_augmentation(
    what: str, utterances: tuple[Utterance, ...]
) -> None:
    assert COPY_CHANGES[what].key(utterances[0], 0) == PLAIN.key(utterances[0], 0)


def test_neither_place_nor_label_nor_window_changes_a_key(
    utterances: tuple[Utterance, ...],
) -> None:
    one = utterances[0]
    clip = dataclasses.replace(
        one.clip,
        path=Path("elsewhere.wav"),
        relative="elsewhere.wav",
        corpus="other",
        emotion="other",
        speaker="other",
        text="other",
        side="test",
    )
    moved = Utterance(clip, one.hash, one.seconds + 1)
    window = changed(window=Window(7, 3, "zero"))
    for copy in (0, 1):
        assert PLAIN.key(moved, copy) == window.key(one, copy) == PLAIN.key(one, copy)


def test_the_window_counts_only_where_features_are_computed_per_window(
    utterances: tuple[Utterance, ...],
) -> None:
    windows = [Window(100, 50), Window(101, 50), Window(100, 51), Window(100, 50, "zero")]
    keys = [changed(extractor=Peak(), window=w).key(utterances[0], 0) for w in windows]
    assert len(set(keys)) == 3
    assert keys[0] == keys[3]  # audio shorter than a window is lengthened one way only


def test_a_fill_computes_only_what_is_missing(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    store, callback = Store(tmp_path), Counter()
    store.fill(PLAIN, variants(utterances[:3], 1), 1, callback)
    before = {path: path.stat().st_ino for path in tmp_path.rglob("*.npz")}
    store.fill(PLAIN, variants(utterances[:5], 1), 1, callback)
    store.fill(PLAIN, variants(utterances[:5], 1), 1, callback)
    assert callback.totals == [6, 4]
    assert len(before) == 6
    assert before == {path: path.stat().st_ino for path in before}
    assert len(files(store)) == 10


def test_what_a_file_holds_is_what_the_extractor_gives(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    item = utterances[0]
    samples = read_audio(item.clip.path).samples
    expected = PLAIN.extractor.frames(Signal(samples, 16000))  # type: ignore[attr-defined]
    stored = Store(tmp_path).load(PLAIN, item, 0)
    assert list(stored) == ["frames"]
    assert relative_error(stored["frames"], expected) <= 1e-5


def test_a_copy_is_what_the_chain_makes_of_the_clip(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    item = utterances[0]
    rng = clip_rng(PLAIN.seed, 2, item.hash)
    samples = read_audio(item.clip.path).samples
    for augmenter in PLAIN.augmenters:
        rng.random()
        samples = augmenter.augment(samples, 16000, rng)
    expected = PLAIN.extractor.frames(Signal(samples, 16000))  # type: ignore[attr-defined]
    copy = Store(tmp_path).load(PLAIN, item, 2)["frames"]
    assert relative_error(copy, expected) <= 1e-5


def test_an_augmenter_is_handed_its_asset(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    item = utterances[0]
    wanted = changed(augmenters=(Hum(),), load=lambda asset: b"@" if asset == HUM else b"")
    samples = read_audio(item.clip.path).samples + np.float32(0.25)
    expected = PLAIN.extractor.frames(Signal(samples, 16000))  # type: ignore[attr-defined]
    copy = Store(tmp_path).load(wanted, item, 1)["frames"]
    assert relative_error(copy, expected) <= 1e-5


def test_probability_decides_which_copies_are_altered(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    def altered(p: float) -> list[bool]:
        wanted, store = changed(augmenters=(Gain(p=p),)), Store(tmp_path)
        plain = store.load(wanted, utterances[0], 0)["frames"]
        copies = [store.load(wanted, utterances[0], copy)["frames"] for copy in range(1, 31)]
        return [not np.array_equal(copy, plain) for copy in copies]

    assert not any(altered(0.0))
    assert all(altered(1.0))
    assert 5 < sum(altered(0.5)) < 25


def _cut(content: bytes) -> bytes:
    return content[: len(content) // 2]


def _middle(content: bytes) -> bytes:
    at = len(content) // 2
    return content[:at] + bytes([content[at] ^ 255]) + content[at + 1 :]


def _fewer_rows(content: bytes) -> bytes:
    at = content.index(b"'shape': (") + len(b"'shape': (")
    digit = b"1" if content[at : at + 1] != b"1" else b"0"
    return content[:at] + digit + content[at + 1 :]


def _unclosed(content: bytes) -> bytes:
    return content.replace(b"'shape': (", b"'shape': {", 1)


def _compressed(content: bytes) -> bytes:
    at = content.rindex(b"PK\x01\x02") + 10
    return content[:at] + b"\x63\x00" + content[at + 2 :]


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda content: b"",
    "cut off": _cut,
    "text": lambda content: b"not an archive",
    "an array instead": lambda content: b"\x93NUMPY\x01\x00",
    "one byte": _middle,
    "fewer rows": _fewer_rows,
    "header": _unclosed,
    "compression": _compressed,
    "zeros": lambda content: bytes(len(content)),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_computed_again(
    damage: str, tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    store, item = Store(tmp_path), utterances[0]
    first = store.load(PLAIN, item, 1)["frames"]
    path = store.path(PLAIN.key(item, 1))
    good = path.read_bytes()
    path.write_bytes(DAMAGES[damage](good))
    assert path.read_bytes() != good
    np.testing.assert_array_equal(store.load(PLAIN, item, 1)["frames"], first)
    assert path.read_bytes() == good


def test_one_worker_or_two_and_any_order_give_the_same_bytes(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    wanted = changed(
        extractor=Stack((LogMel(), Mfcc(), Zcr())), augmenters=(Speed(), Noise(), Gain())
    )
    todo = variants(utterances, 1)
    one, two = Store(tmp_path / "one"), Store(tmp_path / "two")
    callback = Counter()
    one.fill(wanted, todo, 1, callback)
    shuffled = [todo[i] for i in np.random.default_rng(0).permutation(len(todo))]
    two.fill(wanted, shuffled, 2, callback)
    assert callback.totals == [len(todo), len(todo)]
    assert len(files(one)) == len(todo)
    assert files(one) == files(two)


@pytest.mark.parametrize("extractor", [Stack((LogMel(), Mfcc())), Mfcc(), Deltas()])
def test_the_number_of_threads_changes_no_byte(
    extractor: Any, tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    from threadpoolctl import threadpool_limits

    wanted, stores = changed(extractor=extractor), []
    for threads in (1, 2, 4):
        stores.append(Store(tmp_path / str(threads)))
        with threadpool_limits(threads):
            stores[-1].fill(wanted, variants(utterances, 1), 1, Callback())
    assert files(stores[0]) == files(stores[1]) == files(stores[2])


def test_an_interrupted_fill_goes_on_where_it_was(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    store, todo = Store(tmp_path), variants(utterances[:4], 1)
    with pytest.raises(KeyboardInterrupt):
        store.fill(PLAIN, todo, 1, Counter(stop=3))
    kept = files(store)
    assert 3 <= len(kept) < len(todo)
    callback = Counter()
    store.fill(PLAIN, todo, 1, callback)
    assert callback.totals == [len(todo) - len(kept)]
    assert kept.items() <= files(store).items()


def test_a_fault_in_one_chunk_keeps_the_others(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    """The last file vanishes while two processes are at work."""
    store = Store(tmp_path / "store")
    clip = dataclasses.replace(utterances[-1].clip, path=tmp_path / "last.wav")
    todo = [(item, 0) for item in (*utterances[:-1], Utterance(clip, utterances[-1].hash, 1.0))]
    with pytest.raises(AudioError, match=r"'spk02/.*' is not there"):
        store.fill(PLAIN, todo, 2, Callback())
    kept = files(store)
    assert len(kept) >= 8
    (tmp_path / "last.wav").write_bytes(utterances[-1].clip.path.read_bytes())
    callback = Counter()
    store.fill(PLAIN, todo, 2, callback)
    assert callback.totals == [len(todo) - len(kept)]
    assert len(files(store)) == len(todo)


def test_a_copy_does_not_depend_on_other_clips(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    alone, together = Store(tmp_path / "alone"), Store(tmp_path / "together")
    alone.fill(PLAIN, variants(utterances[3:4], 2), 1, Callback())
    together.fill(PLAIN, variants(utterances[:6], 2), 1, Callback())
    assert len(files(alone)) == 3
    assert files(alone).items() <= files(together).items()


def test_copies_and_seeds_differ(tmp_path: Path, utterances: tuple[Utterance, ...]) -> None:
    store, item = Store(tmp_path), utterances[0]
    drawn = [store.load(PLAIN, item, copy)["frames"].tobytes() for copy in range(4)]
    drawn += [store.load(changed(seed=1), item, copy)["frames"].tobytes() for copy in (1, 2)]
    assert len(set(drawn)) == 6


@pytest.mark.parametrize("copy", [0, 1])
def test_values_that_are_not_finite_name_extractor_and_clip(
    copy: int, tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    store, item = Store(tmp_path), utterances[0]
    with pytest.raises(SertkError) as caught:
        store.fill(changed(extractor=NotFinite()), [(item, copy)], 1, Callback())
    assert "'log_of_zero' gave values that are not finite in 'frames'" in caught.value.problem
    assert f"{item.name} (copy {copy})" in caught.value.problem
    assert files(store) == {}


def test_clips_are_resampled_to_what_the_extractor_asks_for(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    item, extractor = utterances[0], Rms(rate_hz=8000)
    frames = Store(tmp_path).load(changed(extractor=extractor), item, 0)["frames"]
    assert len(frames) == extractor.frame_count(round(item.seconds * 8000))


def test_window_extractors_are_stored_window_by_window(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    item, window = utterances[0], Window(50, 20)
    wanted = changed(extractor=Peak(), window=window)
    samples = read_audio(item.clip.path).samples
    starts = window.starts(Peak().frame_count(len(samples)))
    length = Peak().sample_count(50)
    expected = [[samples[160 * s : 160 * s + length].max()] for s in starts]
    np.testing.assert_array_equal(Store(tmp_path).load(wanted, item, 0)["peak"], expected)


def test_what_a_killed_process_left_is_removed_and_no_other_file(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    names = (".a.npz.onef00d.tmp", ".a.npz.twof00d.tmp", ".b.npz.onef00d.tmp")
    for name in names:
        (tmp_path / name).touch()
    remove_temporaries(path, "one")
    assert sorted(item.name for item in tmp_path.iterdir()) == sorted(names[1:])
    write_npz(path, {}, "one")
    assert path.is_file()


def test_features_of_another_recording_do_not_get_into_the_store(
    tmp_path: Path, utterances: tuple[Utterance, ...]
) -> None:
    """The file is replaced between the check and the features."""
    store, one = Store(tmp_path / "store"), utterances[0]
    path = tmp_path / "x.wav"
    path.write_bytes(utterances[1].clip.path.read_bytes())
    item = dataclasses.replace(one, clip=dataclasses.replace(one.clip, path=path))
    for fill in (
        lambda: store.fill(PLAIN, [(item, 0)], 1, Callback()),
        lambda: store.load(PLAIN, item, 0),
    ):
        with pytest.raises(SertkError, match="another recording than at the check"):
            fill()
    assert not files(store)


@dataclass(frozen=True)
class Mute(Augmenter):
    """Zeros."""

    name: ClassVar[str] = "mute"

    def augment(self, samples: F32, rate_hz: int, rng: np.random.Generator) -> F32:
        return np.zeros_like(samples)


def test_silence_is_never_a_copy(utterances: tuple[Utterance, ...]) -> None:
    """An augmenter that leaves nothing is left out; those beside it are applied."""
    wanted = compute(changed(augmenters=(Gain(),)), utterances[0], 0)
    muted = compute(changed(augmenters=(Mute(),)), utterances[0], 1)
    np.testing.assert_array_equal(muted["frames"], wanted["frames"])
    chain, samples = (Mute(), Gain(), Mute()), read_audio(utterances[0].clip.path).samples
    found = apply_chain(chain, samples, 16_000, np.random.default_rng(0))
    gain = found / np.where(samples == 0, 1, samples)
    assert found.any() and np.ptp(gain[samples != 0]) < 1e-3
