"""Features alone: of files or of a corpus, before any standardisation."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..contracts.components import Utterance
from ..contracts.recipe import Recipe
from ..data.corpus import load_corpus
from ..data.feature_store import Features, Store, processes
from ..plugins.assemble import Assembly, assemble, open_recipe
from ..plugins.assets import Assets
from ..plugins.registry import load_plugins
from ..plugins.settings import RecipeSettings
from ..runtime.audio.channels import MIX, Channel, parse_channel
from ..runtime.audio.decode import check_speech, read_audio
from ..runtime.errors import AudioError, SertkError
from ..runtime.features.base import F32, Extractor, FrameExtractor, WindowExtractor
from ..runtime.features.window import MAX_FRAMES, Window
from ..runtime.inference.inputs import features, signal_of
from ..runtime.text import unicode_name
from ..training import report
from ..utils.files import cache_dir, writable_cache, write_bytes, write_npz
from ..utils.progress import Callback
from ..utils.tables import Result


def extract(
    recipe: str | Recipe,
    files: Sequence[Path],
    data: tuple[str, ...],
    out: Path,
    reader: str | None,
    settings: RecipeSettings,
    workers: int,
    callback: Callback,
    channel: Channel = MIX,
    whole_clip: bool = False,
) -> Result:
    """Write features as they come from the extractor, before any standardisation.

    Args:
        recipe: It names the extractors.
        files: Audio files, or none.
        data: Folders and tables of a corpus, or none.
        out: The file to be written; its ending chooses the form.
        reader: Who reads `data`, where it is not to be found out.
        settings: Values in place of the recipe's.
        workers: Processes; 0 means one per core.
        callback: Receives warnings and progress.
        channel: Channel of the files.
        whole_clip: Whether a window extractor gets each clip whole, in place of its windows.
    """
    if bool(files) == bool(data):
        raise SertkError("extract expects either files or --data", "Give one of them")
    allowed = (".npz", ".csv") if data else (".npy", ".npz")
    if out.suffix not in allowed:
        raise SertkError(f"--out expects {' or '.join(allowed)} here, received '{out.name}'")
    channel = parse_channel(channel)
    plugins = load_plugins()
    assets = Assets((cache_dir() / "assets",))
    chosen = settings.apply(open_recipe(recipe, plugins), plugins, assets)
    assembly = assemble(chosen, plugins)
    if whole_clip:
        chosen = replace(chosen, window=_whole_clip(assembly.extractor))
        assembly = replace(assembly, recipe=chosen)
    if files:
        return Result(_extract_files(assembly, assets, files, out, callback, channel))
    store = Store(writable_cache("features"))
    span_s = assembly.extractor.span_s
    corpus = load_corpus(data, plugins, callback, span_s, reader, channel=channel)
    wanted = Features(assembly.extractor, chosen.window, (), 0, assets.load)
    store.fill(wanted, [(item, 0) for item in corpus.utterances], processes(workers), callback)
    return Result(_extract_corpus(wanted, corpus.utterances, store, out))


def _whole_clip(extractor: Extractor) -> Window:
    """Return a window that no clip fills. Raises SertkError where the extractor needs full ones."""
    if isinstance(extractor, WindowExtractor) and extractor.takes_short:
        return Window(MAX_FRAMES, MAX_FRAMES)
    kind = "frames" if isinstance(extractor, FrameExtractor) else "windows of one length"
    raise SertkError(
        f"'{extractor.name}' computes {kind}, not values of a whole clip",
        "Leave out whole_clip (--whole-clip)",
    )


def _extract_files(
    assembly: Assembly,
    assets: Assets,
    files: Sequence[Path],
    out: Path,
    callback: Callback,
    channel: str,
) -> dict[str, Any]:
    extractor = assembly.extractor.prepare(assets.load)
    found: dict[Path, Mapping[str, F32]] = {}
    failed: dict[str, AudioError] = {}
    damaged: list[str] = []
    for path in callback.track(files, "Extracting", len(files)):
        try:
            audio = read_audio(path, shown=path.name, channel=channel)
            check_speech(audio, path.name)
            signal = signal_of(audio, extractor, path.name)
        except AudioError as error:
            failed[path.name] = error
        else:
            found[path] = features(extractor, signal, assembly.recipe.window)
            damaged += [audio.warning] if audio.warning else []
    if not found:
        raise next(iter(failed.values()))
    if failed:
        reasons = [str(error) for error in failed.values()]
        callback.warn(f"{len(failed)} of {len(files)} files left out", reasons)
    if damaged:
        callback.warn(f"{len(damaged)} of {len(files)} files are damaged", damaged)
    files, arrays = list(found), list(found.values())
    rows = [{n: list(a.shape) for n, a in item.items()} for item in arrays]
    if out.suffix == ".npz":
        pairs = enumerate(zip(files, arrays, strict=True))
        named = {f"{index:04d}_{unicode_name(path.stem)}": item for index, (path, item) in pairs}
        write_npz(out, _flat_names(named))
    else:
        # Through memory: written to a file, numpy's own error on a full disk has no cause.
        content = io.BytesIO()
        np.save(content, _joined(arrays))
        write_bytes(out, content.getvalue())
    return {
        "files": [p.name for p in files],
        "failed": {name: str(error) for name, error in failed.items()},
        "shapes": rows,
        "columns": list(extractor.columns),
    }


def _flat_names(named: Mapping[str, Mapping[str, F32]]) -> dict[str, Any]:
    return {
        stem if name == "frames" else f"{stem}.{name}": values
        for stem, item in named.items()
        for name, values in item.items()
    }


def _joined(arrays: Sequence[Mapping[str, F32]]) -> F32:
    """Return rows of all files, one after another: (T1 + T2 + …, F)."""
    names = list(arrays[0])
    if len(names) > 1:
        raise SertkError(
            f"this extractor gives several arrays ({', '.join(names)})", "Use --out X.npz"
        )
    return np.concatenate([item[names[0]] for item in arrays])


def _extract_corpus(
    wanted: Features,
    utterances: Sequence[Utterance],
    store: Store,
    out: Path,
) -> dict[str, Any]:
    names, table = _table(wanted, utterances, store)
    missing = int(np.isnan(table).sum())
    if out.suffix == ".csv":
        rows = [
            {**_about(item), **{n: f"{v:.7g}" for n, v in zip(names, row, strict=True)}}
            for item, row in zip(utterances, table, strict=True)
        ]
        report.write_csv(out, rows)
    else:
        _write_npz(wanted, utterances, store, out, names, table)
    return {"clips": len(utterances), "columns": names, "missing": missing}


def _about(item: Utterance) -> dict[str, str]:
    return {"file": item.name, "emotion": item.emotion, "speaker": item.speaker or ""}


def _table(
    wanted: Features, utterances: Sequence[Utterance], store: Store
) -> tuple[list[str], F32]:
    """Return one row per clip: of frames, the mean and standard deviation over time of each column;
    of a window extractor, the mean over windows, so that the columns are the same for any clips.
    """
    loaded = [store.load(wanted, item, 0) for item in utterances]
    is_frames = isinstance(wanted.extractor, FrameExtractor)
    kinds: dict[str, Any] = {"_mean": np.mean, "_std": np.std} if is_frames else {"": np.mean}
    rows = []
    for arrays in loaded:
        flat = [values.reshape(len(values), -1) for values in arrays.values()]
        rows.append(np.concatenate([f(x, axis=0) for x in flat for f in kinds.values()]))
    # Some know their columns only when they have their file.
    columns = _columns(wanted.extractor.prepare(wanted.load), loaded[0])
    names = [f"{c}{kind}" for part in columns for kind in kinds for c in part]
    return names, np.stack(rows)


def _columns(extractor: Extractor, arrays: Mapping[str, F32]) -> list[list[str]]:
    """Return the names of the values of each array, in its order."""
    sizes = [values[0].size for values in arrays.values()]
    if isinstance(extractor, FrameExtractor):
        return [list(extractor.columns)]
    if sum(sizes) == len(extractor.columns):
        parts = np.split(np.array(extractor.columns), np.cumsum(sizes)[:-1])
        return [list(map(str, part)) for part in parts]
    return [[f"{name}_{i}" for i in range(size)] for name, size in zip(arrays, sizes, strict=True)]


def _write_npz(
    wanted: Features,
    utterances: Sequence[Utterance],
    store: Store,
    out: Path,
    names: Sequence[str],
    table: F32,
) -> None:
    loaded = [store.load(wanted, item, 0) for item in utterances]
    arrays: dict[str, Any] = {
        name: np.concatenate([item[name] for item in loaded]) for name in loaded[0]
    }
    lengths = [len(next(iter(item.values()))) for item in loaded]
    arrays["start"] = np.cumsum([0, *lengths[:-1]])
    arrays["length"] = np.array(lengths)
    for key, column in (("files", "file"), ("emotion", "emotion"), ("speaker", "speaker")):
        arrays[key] = np.array([_about(item)[column] for item in utterances])
    arrays["table"], arrays["table_columns"] = table, np.array(names)
    write_npz(out, arrays)
