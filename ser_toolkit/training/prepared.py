"""What all folds share: the recipe, the clips and their splits; and what a run is started with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from ..contracts.components import Clip, Utterance
from ..contracts.recipe import Recipe
from ..data.corpus import Corpus, load_corpus
from ..data.feature_store import Features, Store
from ..data.labels import check_labels, class_names
from ..data.leakage import refuse_overlapping
from ..data.split import Split, count_folds, make_splits, parse_protocol
from ..plugins.assemble import Assembly, assemble, open_recipe
from ..plugins.assets import Assets
from ..plugins.registry import Plugins, load_plugins
from ..plugins.settings import settings_of
from ..runtime.errors import SertkError
from ..utils.files import cache_dir, writable_cache, write_text
from ..utils.progress import BufferedCallback, Callback
from . import report, run_file
from .backend import check_installed
from .network import try_network
from .options import TrainOptions
from .run_dir import RunDirectory
from .run_file import RunFile


@dataclass(frozen=True)
class Prepared:
    """Recipe, clips, splits and feature store that all folds share."""

    options: TrainOptions
    assembly: Assembly
    corpus: Corpus
    splits: tuple[Split, ...]
    store: Store
    features: Features
    assets: Assets
    components: run_file.Rows
    messages: tuple[str, ...]

    @property
    def provenance(self) -> dict[str, Any]:
        """Return what metrics.json says of the data."""
        return {
            "corpora": sorted({item.clip.corpus for item in self.corpus.utterances}),
            "mapping": dict(self.options.mapping or {}),
            "data": list(self.corpus.sources),
            "channel": self.options.channel,
            "seed": self.options.seed,
        }


def plugins_of(options: TrainOptions) -> Plugins:
    """Load the plugins, where there are the libraries to train with and such a protocol."""
    check_installed()
    parse_protocol(options.protocol)
    return load_plugins(requested=[options.plugin] if options.plugin else ())


def prepare(
    options: TrainOptions,
    plugins: Plugins,
    callback: Callback,
    fold: int = 1,
    threads: int | None = None,
    earlier: RunFile | None = None,
) -> Prepared:
    """Open the recipe, read the clips, and split them before anything is fitted or augmented.

    What can never work is refused before any audio is decoded.

    Args:
        options: What to train on, with which recipe and protocol.
        plugins: Those of `plugins_of`.
        callback: Receiver of messages and progress.
        fold: The highest number of a fold that must be there.
        threads: Threads of TensorFlow; None leaves the choice to it.
        earlier: The run that is repeated or resumed.
    """
    callback = BufferedCallback(callback)
    chosen = options.recipe_or_name
    assets = Assets((cache_dir() / "assets", *_assets_beside(chosen)))
    settings = settings_of(options.settings)
    if options.epochs is not None:
        settings = settings.also(f"training.epochs={options.epochs}")
    recipe = settings.apply(open_recipe(chosen, plugins, options.plugin), plugins, assets)
    assembly = assemble(recipe, plugins)
    store = Store(writable_cache("features"))
    description = assembly.recipe.description
    callback.note(f"recipe: {assembly.recipe.name}" + (f" ({description})" if description else ""))
    for line in assembly.licences:
        callback.note(line)
    corpus = load_corpus(
        options.paths,
        plugins,
        callback,
        assembly.extractor.span_s,
        options.reader,
        tuple(options.emotions),
        options.mapping,
        partial(_check_clips, options, fold, assembly, assets, threads),
        str(options.channel),
    )
    splits = make_splits(corpus.utterances, options.protocol, options.seed)
    _check_fold(fold, len(splits))
    if not options.overlapping:
        refuse_overlapping(splits)
    readers = [options.reader or source["reader"] for source in corpus.sources]
    components = run_file.components_of(assembly.recipe, readers, plugins)
    if earlier is not None:
        _compare(earlier, options, components, corpus.utterances, callback)
    features = Features(
        assembly.extractor,
        assembly.recipe.window,
        assembly.augmenters,
        options.seed,
        assets.load,
        assembly.recipe.training.combine,
    )
    messages = tuple(callback.messages)
    return Prepared(
        options, assembly, corpus, splits, store, features, assets, components, messages
    )


def _check_clips(
    options: TrainOptions,
    fold: int,
    assembly: Assembly,
    assets: Assets,
    threads: int | None,
    clips: Sequence[Clip],
) -> None:
    """Refuse labels and a protocol that the clips cannot have, a network that cannot be built."""
    if not options.labels_as_they_are:
        check_labels(clips)
    _check_fold(fold, count_folds(clips, options.protocol))
    try_network(assembly, assets.load, len(class_names(clips)), threads)


def _check_fold(fold: int, count: int) -> None:
    if not 1 <= fold <= count:
        raise SertkError(f"fold expects 1 to {count}, received {fold}")


def _compare(
    earlier: RunFile,
    options: TrainOptions,
    components: run_file.Rows,
    utterances: Sequence[Utterance],
    callback: Callback,
) -> None:
    """Warn of what is not as it was in a run that is repeated or resumed."""
    if changes := earlier.changes(components):
        callback.warn(f"versions have changed since '{earlier.name}': {', '.join(changes)}")
    # A run that is resumed refuses other clips.
    number = 0 if options.resume else earlier.other_clips(utterances)
    if number:
        callback.warn(f"clips that differ from those of '{earlier.name}': {number}")


def _assets_beside(recipe: str | Recipe | None) -> tuple[Path, ...]:
    is_file = isinstance(recipe, str) and recipe.endswith(".toml")
    return (Path(str(recipe)).parent / "assets",) if is_file else ()


def write_run_file(
    prepared: Prepared, folder: Path, kind: run_file.Kind, own: Mapping[str, Any]
) -> None:
    """Write run.toml, where there is none.

    Args:
        prepared: What was read.
        folder: The run directory.
        kind: The function that was called.
        own: Its arguments beside the options.
    """
    corpora = prepared.provenance["corpora"]
    components = prepared.components
    run_file.write_run_file(folder, kind, prepared.options, own, corpora, components)


def write_plan(prepared: Prepared, split: Split, folder: Path) -> None:
    """Write recipe.toml and split.json; a resumed run must have the same."""
    write_recipe(prepared, folder)
    plan = folder / "split.json"
    if plan.exists() and not _same_plan(prepared, split, folder):
        raise SertkError(
            f"'{folder}' was started with other clips or another split",
            "Resume with the same data, protocol and seed, or choose another --out",
        )
    report.write_split(plan, split, prepared.options.protocol, prepared.options.seed)
    for asset in prepared.assembly.assets:
        prepared.assets.copy_to(asset, folder / "assets")


def write_recipe(prepared: Prepared, folder: Path) -> None:
    """Write recipe.toml; refuse a folder that was started with another one."""
    content = prepared.assembly.recipe.to_toml()
    path = folder / "recipe.toml"
    if path.exists() and path.read_bytes() != content.encode():
        raise SertkError(
            f"'{folder}' was started with another recipe",
            "Resume with the same options, or choose another --out",
        )
    write_text(path, content)


def _same_plan(prepared: Prepared, split: Split, folder: Path) -> bool:
    stored = RunDirectory(folder).json("split.json")
    return (stored.get("hash"), stored.get("seed")) == (split.hash, prepared.options.seed)
