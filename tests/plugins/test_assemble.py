"""From names to components, `--set`, pinned recipes, and bytes that belong to components."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from dataclasses import asdict, replace
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ser_toolkit.contracts.components import Augmenter, Clip, Utterance
from ser_toolkit.contracts.recipe import ComponentSpec, Recipe
from ser_toolkit.data.feature_store import Features, Store
from ser_toolkit.plugins.assemble import assemble, default_recipe, open_recipe
from ser_toolkit.plugins.assets import Assets
from ser_toolkit.plugins.entry_points import installed
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.plugins.settings import apply_setting
from ser_toolkit.runtime.audio.decode import content_hash, read_audio
from ser_toolkit.runtime.component import Asset, assets_of, to_spec
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.runtime.features.base import FrameExtractor, Signal, Stack
from ser_toolkit.runtime.features.spectral import Deltas, LogMel, Mfcc, Rms
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.testing import relative_error

PLUGIN = '''
from __future__ import annotations
from dataclasses import dataclass, replace
from typing import ClassVar
import numpy as np
from ser_toolkit import Asset, FrameExtractor, hookimpl
from ser_toolkit.contracts.recipe import Recipe, ComponentSpec

@dataclass(frozen=True)
class Weighted(FrameExtractor):
    """Frames times weights that come as a file."""

    name: ClassVar[str] = "weighted"
    version: ClassVar[int] = VERSION
    rate_hz: int = 16000
    frame_length: int = 400
    hop_length: int = 160
    weights: Asset = Asset("none", "0" * 64, 0)
    ready: tuple[float, ...] = ()

    @property
    def columns(self):
        return ("sum",)

    def prepare(self, load):
        return replace(self, ready=tuple(np.frombuffer(load(self.weights), "<f4").tolist()))

    def frames(self, signal):
        count = self.frame_count(len(signal))
        starts = np.arange(count)[:, None] * self.hop_length
        rows = signal.samples[starts + np.arange(self.frame_length)]
        return (rows @ np.array(self.ready, np.float32))[:, None]

@hookimpl
def sertk_extractors():
    return [Weighted()]

@hookimpl
def sertk_recipes():
    return [Recipe("weighted", "with a file", (ComponentSpec("weighted"),), ComponentSpec("tcn"))]
'''
SAMPLE = Recipe(
    "sample",
    "for tests",
    (ComponentSpec("log_mel", n_mels=40), ComponentSpec("rms", hop_length=256, frame_length=512)),
    ComponentSpec("tcn", channels=8),
    (ComponentSpec("noise", p=0.5), ComponentSpec("gain"), ComponentSpec("mask")),
)


@pytest.fixture
def assets(tmp_path: Path) -> Assets:
    return Assets((tmp_path / "assets",))


@pytest.fixture
def with_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Install the plugin above at some version, and loads it beside the built-ins."""
    folder = tmp_path / "site"
    monkeypatch.syspath_prepend(str(folder))
    names: list[str] = []

    def load(version: int = 1) -> Plugins:
        name = f"weighted_plugin_{version}"
        names.append(name)
        info = folder / "acme_weighted-1.0.dist-info"
        info.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(textwrap.dedent(PLUGIN.replace("VERSION", str(version))))
        (info / "METADATA").write_text("Metadata-Version: 2.1\nName: acme-weighted\nVersion: 1.0\n")
        (info / "entry_points.txt").write_text(f"[sertk]\nweighted = {name}\n")

        def find() -> list[EntryPoint]:
            here = [p for dist in distributions(path=[str(folder)]) for p in dist.entry_points]
            return [*(p for p in installed() if p.name == "builtin"), *here]

        return load_plugins(env={}, find=find)

    yield load
    for name in names:
        sys.modules.pop(name, None)


def settle(settings: list[str], plugins: Plugins, assets: Assets, recipe: Recipe = SAMPLE) -> Any:
    for setting in settings:
        recipe = apply_setting(recipe, setting, plugins, assets)
    return assemble(recipe, plugins)


def refused(
    setting: str, assets: Assets, recipe: Recipe = SAMPLE, plugins: Plugins | None = None
) -> str:
    with pytest.raises(SertkError) as caught:
        settle([setting], plugins or load_plugins(env={}), assets, recipe)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_recipe_becomes_components(assets: Assets) -> None:
    made = settle([], load_plugins(env={}), assets)
    assert made.extractor == Stack((LogMel(n_mels=40), Rms(hop_length=256, frame_length=512)))
    assert [(item.name, item.p) for item in made.augmenters] == [("noise", 0.5), ("gain", 1.0)]
    assert [item.name for item in made.frame_augmenters] == ["mask"]
    assert (made.model.name, made.model.channels) == ("tcn", 8)


def test_one_extractor_is_not_stacked(assets: Assets) -> None:
    recipe = replace(SAMPLE, extractor=(ComponentSpec("log_mel"),))
    assert settle([], load_plugins(env={}), assets, recipe).extractor == LogMel()


SETTINGS: tuple[tuple[str, Any, Any], ...] = (
    ("extractor.n_mels=21", lambda m: m.extractor.parts[0].n_mels, 21),
    ("extractor.log_mel.n_mels=22", lambda m: m.extractor.parts[0].n_mels, 22),
    ("extractor.log=db", lambda m: m.extractor.parts[0].log, "db"),
    ("extractor.log_mel.log = 'db'", lambda m: m.extractor.parts[0].log, "db"),
    ("extractor.fmin_hz=60", lambda m: m.extractor.parts[0].fmin_hz, 60.0),
    ("augmenter.noise.p=0.25", lambda m: m.augmenters[0].p, 0.25),
    ("augmenter.snr_db_max=30", lambda m: m.augmenters[0].snr_db_max, 30.0),
    ("augmenter.mask.n_time=1", lambda m: m.frame_augmenters[0].n_time, 1),
    ("model.dropout=0.1", lambda m: m.model.dropout, 0.1),
    ("model.tcn.dilations=[1, 2]", lambda m: m.model.dilations, (1, 2)),
    ("window.length_frames=90", lambda m: m.recipe.window.length_frames, 90),
    ("window.short=zero", lambda m: m.recipe.window.short, "zero"),
    ("training.copies=2", lambda m: m.recipe.training.copies, 2),
    ("training.learning_rate=1", lambda m: m.recipe.training.learning_rate, 1.0),
    ("training.class_weights=false", lambda m: m.recipe.training.class_weights, False),
    ("training.schedule=plateau", lambda m: m.recipe.training.schedule, "plateau"),
    ("augmenter=speed", lambda m: [a.name for a in m.augmenters], ["speed"]),
    ("augmenter=", lambda m: m.augmenters + m.frame_augmenters, ()),
    ("extractor=mfcc", lambda m: m.extractor, Mfcc()),
)


def test_every_stage_can_be_set(assets: Assets) -> None:
    plugins = load_plugins(env={})
    plain = settle([], plugins, assets)
    for setting, read, value in SETTINGS:
        assert read(settle([setting], plugins, assets)) == value, setting
        assert read(plain) != value, setting


def test_settings_add_up_and_leave_the_recipe_alone(assets: Assets) -> None:
    chosen = ["extractor.n_mels=30", "extractor.fmin_hz=80.0", "augmenter.gain.db_max=3"]
    made = settle(chosen, load_plugins(env={}), assets)
    assert made.extractor.parts[0] == LogMel(n_mels=30, fmin_hz=80.0)
    assert made.augmenters[1].db_max == 3
    assert SAMPLE.extractor[0] == ComponentSpec("log_mel", n_mels=40)


def test_a_model_is_exchanged_with_its_defaults(assets: Assets) -> None:
    made = settle(["model=tcn", "model.kernel=3"], load_plugins(env={}), assets)
    assert (made.model.channels, made.model.kernel) == (96, 3)


def test_extractors_are_exchanged_for_several(assets: Assets) -> None:
    made = settle(["extractor=mfcc, deltas"], load_plugins(env={}), assets)
    assert made.extractor == Stack((Mfcc(), Deltas()))


def test_an_extractor_inside_another_is_set_as_a_table(assets: Assets) -> None:
    setting = 'extractor.of={name = "log_mel", n_mels = 24}'
    recipe = replace(SAMPLE, extractor=(ComponentSpec("deltas", width=5),))
    made = settle([setting], load_plugins(env={}), assets, recipe)
    assert made.extractor == Deltas(of=LogMel(n_mels=24), width=5)


WRONG_SETTINGS: tuple[tuple[str, list[str]], ...] = (
    ("extractor.n_mel=3", ["'extractor.n_mel' does not exist", "extractor.log_mel.n_mels"]),
    ("extractor.mfcc.n_mfcc=3", ["does not exist in this recipe", "extractor.rms.rate_hz"]),
    ("extractor.rate_hz=8000", ["is ambiguous", "log_mel.rate_hz", "extractor.rms.rate_hz"]),
    ("augmenter.p=0", ["is ambiguous", "augmenter.noise.p", "augmenter.mask.p"]),
    ("model.layers=3", ["does not exist", "model.tcn.channels", "model.tcn.dropout"]),
    ("window.size=3", ["'window' has no parameter 'size'", "length_frames, hop_frames, short"]),
    ("training.epoch=3", ["'training' has no parameter 'epoch'", "epochs, batch_size"]),
    ("extractor.n_mels=many", ["'log_mel.n_mels' expects a whole number, received 'many'"]),
    ("extractor.n_mels=3.5", ["'log_mel.n_mels' expects a whole number, received 3.5"]),
    ("extractor.n_mels=true", ["expects a whole number, received True"]),
    ("extractor.n_mels=0", ["'log_mel': n_mels of at least 1 expected, received 0"]),
    ("extractor.log=log2", ["'log_mel.log' expects one of ln, db, received 'log2'"]),
    ("augmenter.noise.p=1.5", ["'noise.p' expects a probability, 0 to 1, received 1.5"]),
    ("window.length_frames=0", ["'window.length_frames' expects 1 to 1000000"]),
    ("training.epochs=0", ["'training.epochs' expects 1 or more, received 0"]),
    ("training.batch_size=0", ["'training.batch_size' expects 1 or more, received 0"]),
    ("training.plateau_patience=0", ["'training.plateau_patience' expects 1 or more"]),
    ("training.copies=-1", ["'training.copies' expects 0 or more, received -1"]),
    ("training.ema_momentum=1.5", ["'training.ema_momentum' expects 0 to 1, received 1.5"]),
    ("training.learning_rate=0", ["'training.learning_rate' expects more than 0"]),
    ("training.learning_rate=nan", ["'training.learning_rate' expects more than 0"]),
    ("training.weight_decay=nan", ["'training.weight_decay' expects 0 to 1, received nan"]),
    ("training.schedule=step", ["expects one of cosine, plateau, constant, received 'step'"]),
    ("model=tnc", ["there is no model 'tnc'", "tcn"]),
    ("model=", ["--set model= expects one name"]),
    ("model=tcn,tcn", ["--set model= expects one name"]),
    ("extractor=mfc", ["there is no extractor 'mfc'", "Known: mfcc"]),
    ("extractor=", ["a recipe needs at least one extractor"]),
    ("extractor.n_mels", ["--set expects STAGE.FIELD=VALUE", "extractor, augmenter, model"]),
    ("window=3", ["--set expects STAGE.FIELD=VALUE"]),
    ("reader.x=3", ["--set expects STAGE.FIELD=VALUE", "window, training"]),
    ("=3", ["--set expects STAGE.FIELD=VALUE"]),
    ("extractor.x=@nothing.bin", ["cannot read 'nothing.bin'", "Check the path"]),
    ("model.channels=@nothing.bin", ["only extractors and augmenters take the bytes"]),
)


def test_a_wrong_setting_lists_the_right_ones(assets: Assets) -> None:
    plugins = load_plugins(env={})
    for setting, parts in WRONG_SETTINGS:
        message = refused(setting, assets, plugins=plugins)
        for part in parts:
            assert part in message, setting


def test_extractors_of_different_grids_are_refused(assets: Assets) -> None:
    message = refused("extractor.rms.hop_length=100", assets)
    assert "one hop_length" in message
    assert "log_mel 256, rms 100" in message


NESTED = replace(
    SAMPLE,
    extractor=(
        ComponentSpec(
            "deltas", of={"name": "mfcc", "n_mfcc": 12, "frame_length": 512, "hop_length": 256}
        ),
        ComponentSpec("rms", frame_length=512, hop_length=256),
    ),
)


@pytest.mark.parametrize("recipe", [SAMPLE, NESTED, "compact"])
def test_a_pinned_recipe_comes_back_through_its_file(recipe: Any) -> None:
    plugins = load_plugins(env={})
    made = assemble(plugins.get("recipe", recipe) if isinstance(recipe, str) else recipe, plugins)
    again = assemble(Recipe.from_toml(made.recipe.to_toml()), plugins)
    assert again == made
    assert again.recipe.to_toml() == made.recipe.to_toml()


def test_a_recipe_file_as_windows_editors_write_it(tmp_path: Path) -> None:
    recipe = default_recipe(load_plugins())
    text = recipe.to_toml().replace("\n", "\r\n")
    (tmp_path / "own.toml").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert open_recipe(str(tmp_path / "own.toml"), load_plugins()) == recipe


def test_every_component_that_is_offered_survives_pinning() -> None:
    plugins = load_plugins(env={})
    for extractor in plugins.all("extractor"):
        for model in plugins.all("model"):
            recipe = Recipe("x", "", (ComponentSpec(extractor.name),), ComponentSpec(model.name))
            frames = isinstance(extractor, FrameExtractor)
            chain = {a for a in plugins.all("augmenter") if frames or isinstance(a, Augmenter)}
            recipe = replace(recipe, augmenter=tuple(ComponentSpec(a.name) for a in chain))
            made = assemble(recipe, plugins)
            again = assemble(Recipe.from_toml(made.recipe.to_toml()), plugins)
            assert (again.extractor, again.model) == (extractor, model)
            assert {*again.augmenters, *again.frame_augmenters} == chain


def test_a_pinned_recipe_carries_every_parameter_and_version() -> None:
    plugins = load_plugins(env={})
    table = assemble(NESTED, plugins).recipe.to_dict()
    assert table["extractor"][0] == to_spec(assemble(NESTED, plugins).extractor)["parts"][0]
    assert table["extractor"][0]["of"]["version"] == Mfcc.version
    assert table["model"]["version"] == 1
    assert table["model"]["dropout"] == 0.3
    assert table["augmenter"][0]["version"] == 1


@pytest.mark.parametrize("stage", ["extractor", "augmenter", "model"])
def test_another_version_is_refused(stage: str) -> None:
    plugins = load_plugins(env={})
    pinned = assemble(SAMPLE, plugins).recipe.to_dict()
    part = pinned[stage] if stage == "model" else pinned[stage][0]
    part["version"] += 1
    with pytest.raises(SertkError) as caught:
        assemble(Recipe.from_dict(pinned), plugins)
    assert f"'{part['name']}' version 2 expected, version 1 installed" in caught.value.problem
    assert "or train again" in caught.value.todo


def test_another_version_inside_another_extractor_is_refused() -> None:
    plugins = load_plugins(env={})
    pinned = assemble(NESTED, plugins).recipe.to_dict()
    pinned["extractor"][0]["of"]["version"] += 1
    with pytest.raises(SertkError, match="'mfcc' version 2 expected"):
        assemble(Recipe.from_dict(pinned), plugins)


def test_a_run_of_another_version_is_refused(small_run: tuple[Any, Path], tmp_path: Path) -> None:
    import shutil

    from ser_toolkit import predict

    run, corpus = small_run
    other = tmp_path / "run"
    shutil.copytree(run.path, other)
    text = (other / "recipe.toml").read_text("utf-8")
    (other / "recipe.toml").write_text(text.replace("version = 1", "version = 2", 1), "utf-8")
    with pytest.raises(SertkError, match="version 2 expected, version 1 installed"):
        predict(other, next(corpus.rglob("*.wav")))


# Bytes that belong to components


def weights_file(folder: Path, seed: int = 0) -> tuple[Path, Any]:
    values = np.random.default_rng(seed).normal(size=400).astype("<f4")
    path = folder / f"weights-{seed}.bin"
    path.write_bytes(values.tobytes())
    return path, values


def test_a_file_is_added_and_reaches_its_extractor(
    with_plugin: Any, assets: Assets, tmp_path: Path
) -> None:
    path, values = weights_file(tmp_path)
    plugins = with_plugin()
    made = settle(
        [f"extractor.weights=@{path}"], plugins, assets, default_recipe(plugins, "weighted")
    )
    (asset,) = assets_of(made.extractor)
    assert (asset.name, asset.size) == (path.name, 1600)
    path.unlink()
    samples = np.random.default_rng(1).normal(size=2000).astype(np.float32)
    frames = made.extractor.prepare(assets.load).frames(Signal(samples, 16000))
    expected = [samples[160 * t : 160 * t + 400] @ values for t in range(len(frames))]
    assert relative_error(frames[:, 0], np.array(expected)) <= 1e-5


def test_an_asset_is_part_of_the_pinned_recipe(
    with_plugin: Any, assets: Assets, tmp_path: Path
) -> None:
    plugins = with_plugin()
    setting = f"extractor.weights=@{weights_file(tmp_path)[0]}"
    made = settle([setting], plugins, assets, default_recipe(plugins, "weighted"))
    again = assemble(Recipe.from_toml(made.recipe.to_toml()), plugins)
    assert again == made
    assert list(assets_of(again.extractor)) == list(assets_of(made.extractor))
    with pytest.raises(SertkError, match="'weighted' version 1 expected, version 2 installed"):
        assemble(made.recipe, with_plugin(version=2))


def test_the_store_asks_for_the_bytes_and_the_key_covers_them(
    with_plugin: Any, assets: Assets, tmp_path: Path
) -> None:
    plugins, store = with_plugin(), Store(tmp_path / "features")
    wav = tmp_path / "a.wav"
    import soundfile

    samples = np.random.default_rng(2).normal(scale=0.1, size=4000).astype(np.float32)
    soundfile.write(wav, samples, 16000, subtype="FLOAT")
    item = Utterance(Clip(wav, "a.wav", "c", "fear"), content_hash(read_audio(wav)), 0.25)
    stored = []
    for seed in (0, 1):
        path, values = weights_file(tmp_path, seed)
        recipe = default_recipe(plugins, "weighted")
        made = settle([f"extractor.weights=@{path}"], plugins, assets, recipe)
        wanted = Features(made.extractor, Window(), (), 0, assets.load)
        stored.append(store.load(wanted, item, 0)["frames"])
        expected = [samples[160 * t : 160 * t + 400] @ values for t in range(len(stored[-1]))]
        assert relative_error(stored[-1][:, 0], np.array(expected)) <= 1e-5
    assert not np.array_equal(*stored)


def test_an_asset_is_found_by_its_content_alone(tmp_path: Path) -> None:
    path, _ = weights_file(tmp_path)
    assets = Assets((tmp_path / "one", tmp_path / "two"))
    asset = assets.add(path)
    assert [p.name for p in (tmp_path / "one").iterdir()] == [asset.sha256]
    assert assets.load(asset) == path.read_bytes()
    assets.copy_to(asset, tmp_path / "two")
    (tmp_path / "one" / asset.sha256).unlink()
    assert assets.load(asset) == path.read_bytes()


@pytest.mark.parametrize("damage", ["missing", "empty", "changed", "longer"])
def test_a_missing_or_damaged_asset_is_refused(damage: str, tmp_path: Path) -> None:
    path, _ = weights_file(tmp_path)
    assets = Assets((tmp_path / "one",))
    asset = assets.add(path)
    stored = tmp_path / "one" / asset.sha256
    content = stored.read_bytes()
    if damage == "missing":
        stored.unlink()
    else:
        changes = {"empty": b"", "changed": b"\x00" + content[1:], "longer": content + b"\x00"}
        stored.write_bytes(changes[damage])
    with pytest.raises(SertkError) as caught:
        assets.load(asset)
    assert f"asset '{path.name}' ({asset.sha256[:12]}…) is missing or damaged" in str(caught.value)
    assert "--set KEY=@FILE" in caught.value.todo
    with pytest.raises(SertkError):
        assets.copy_to(asset, tmp_path / "two")
    assert not (tmp_path / "two").exists()


@pytest.mark.parametrize("name", ["../outside", "/etc/hostname", "..", ""])
def test_no_path_gets_out_of_the_folder_of_assets(name: str, tmp_path: Path) -> None:
    (tmp_path / "outside").write_bytes(b"secret")
    (tmp_path / "assets").mkdir()
    with pytest.raises(SertkError, match="missing or damaged"):
        Assets((tmp_path / "assets",)).load(Asset("x", name, 6))


def test_an_asset_keeps_no_path(assets: Assets, tmp_path: Path) -> None:
    path, _ = weights_file(tmp_path)
    assert str(tmp_path) not in str(asdict(assets.add(path)))
