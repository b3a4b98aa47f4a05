"""Show a bundle in the terminal; its texts are of unknown origin, so they are escaped."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import click
from rich.table import Table

from ..bench.measure import window_seconds
from ..plugins.bundles import plugins_of, resolver
from ..runtime.bundle.container import unpack
from ..runtime.bundle.file import SIGNATURE, Bundle
from ..runtime.bundle.manifest import Manifest
from ..runtime.bundle.selftest import SelfTest
from ..runtime.component import Component, from_spec
from ..runtime.features.base import Extractor
from ..runtime.inference.classifier import container
from ..runtime.inference.tflite import TfliteRuntime
from ..runtime.text import escape_control
from .show import table

Pairs = Iterable[tuple[str, str]]
LONGEST_VALUE = 200
MOST_ROWS = 20


def print_pairs(pairs: Pairs) -> None:
    """Print one line for each pair: name and value."""
    for name, text in pairs:
        click.echo(f"{name:<10}  {escape_control(' '.join(text.split()))}")


def to_dict(bundle: Bundle, content: bytes, file: str) -> dict[str, Any]:
    """Return the manifest, and what the file adds to it, as JSON values.

    Args:
        bundle: The parsed bundle.
        content: Its bytes.
        file: Its name.
    """
    seconds = _seconds(bundle.manifest)
    return {
        "file": file,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
        "signature": _signature(bundle, unpack(content)),
        "window_s": seconds and seconds[0],
        "hop_s": seconds and seconds[1],
        **dataclasses.asdict(bundle.manifest),
    }


def rows(bundle: Bundle, content: bytes, file: str) -> Iterator[tuple[str, str]]:
    """Yield facts about a bundle, one line each.

    Args:
        bundle: The parsed bundle.
        content: Its bytes.
        file: Its name.
    """
    manifest = bundle.manifest
    origin = f"format {manifest.format}, made by ser-toolkit {manifest.created_by}"
    yield "file", f"{file}, {_kb(len(content))}, {origin}"
    yield "name", manifest.name
    yield "labels", ", ".join(manifest.labels)
    yield "audio", f"{manifest.rate_hz} Hz"
    yield "window", _window(manifest)
    yield from _labelled("extractor", (_part(part) for part in manifest.parts))
    yield "network", _network(bundle)
    yield "proven on", ", ".join(f"{each.name} {each.version}" for each in manifest.runtimes)
    yield "uncertain", f"below a confidence of {manifest.thresholds['uncertain']:.2f}"
    if (level := manifest.speech_level) is not None:
        yield "speech level", f"{level.low_dbfs:.0f} to {level.high_dbfs:.0f} dBFS in training"
    yield from _labelled("trained", _training(manifest.training))
    yield from _labelled("protocol", _protocol(manifest.training))
    yield from _labelled("metrics", _metrics(manifest.figures))
    yield "signature", SIGNED[_signature(bundle, unpack(content))]


def checked(bundle: Bundle, content: bytes) -> Iterator[tuple[str, str]]:
    """Yield what was checked before anything of the bundle ran."""
    manifest, members = bundle.manifest, unpack(content)
    yield (
        "container",
        (f"{len(members)} members with right checksums, and nothing before, between or after them"),
    )
    yield "manifest", f"format {manifest.format}, every key has a value of its kind"
    yield "members", f"{len(manifest.members)} have the size and sha256 that the manifest says"
    yield "arrays", "standardisation and self-test fit the manifest, all values are finite"
    yield "signature", SIGNED[_signature(bundle, members)]


def verified(bundle: Bundle, runtime: TfliteRuntime, test: SelfTest) -> Iterator[tuple[str, str]]:
    """Yield what running a bundle has shown.

    Args:
        bundle: The parsed bundle.
        runtime: The one that ran it.
        test: The result of its self-test.
    """
    parts = ", ".join(_part(part) for part in bundle.manifest.parts)
    yield "extractor", f"installed in the version of the export: {parts}"
    yield "runtime", f"{runtime.name} {runtime.version} loads the network, which fits the manifest"
    yield "self-test", f"passed, first in a child process: {test}"


def selftest_table(test: SelfTest) -> Table:
    """Return a table of how far the self-test is off, and how far it may be."""
    allowed = test.tolerances
    cells = [
        ("features", f"{test.feature_error:.2g}", f"{allowed.features:.2g}", "standard deviations"),
        ("output", f"{test.output_error:.2g}", f"{allowed.output:.2g}", "of probability"),
    ]
    return table("Self-test passed", ("", "off by", "allowed", "unit"), cells)


SIGNED = {
    "verified": "by the owner of the given key",
    "unchecked": "there is one, which was not checked: give --require-signature KEY",
    "none": "not signed",
}


def _signature(bundle: Bundle, members: Mapping[str, bytes]) -> str:
    if bundle.signed:
        return "verified"
    return "unchecked" if SIGNATURE in members else "none"


def _labelled(name: str, lines: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield `name` before the first line only."""
    for index, line in enumerate(lines):
        yield "" if index else name, line


def _part(part: Any) -> str:
    return f"{part.name} {part.version} ({part.distribution} {part.distribution_version})"


def _window(manifest: Manifest) -> str:
    window = manifest.window
    text = f"{window.length_frames} frames, a new one every {window.hop_frames}"
    seconds = _seconds(manifest)
    if seconds is None:
        return f"{text} (how long that is depends on its extractor, which is not installed)"
    return f"{text} ({seconds[0]:.2f} s, every {seconds[1]:.2f} s)"


def _seconds(manifest: Manifest) -> tuple[float, float] | None:
    """Return window and hop in seconds; None where that extractor is not installed."""
    try:
        extractor = from_spec(manifest.extractor, _finder(manifest), exact=True)
    except Exception:
        # A plugin may raise anything; the rest of the bundle is shown all the same.
        return None
    if not isinstance(extractor, Extractor):
        return None
    return window_seconds(extractor, manifest.window)


def _finder(manifest: Manifest) -> Callable[[str], Component]:
    resolve = resolver(manifest, plugins_of(manifest))
    return lambda name: container(name) or resolve(name)


def _network(bundle: Bundle) -> str:
    manifest = bundle.manifest
    shapes = ", ".join(
        f"{name} {' x '.join(map(str, shape))}" for name, shape in manifest.inputs.items()
    )
    kept = manifest.quantization.details.get("float_layers")
    kept_text = f", in float: {_text(kept)}" if kept else ""
    return f"{manifest.quantization.mode}, {_kb(len(bundle.model))}, takes {shapes}{kept_text}"


# The free tables hold what their writer put there: each value is shown only if its type is right.


def _training(table: Mapping[str, Any]) -> Iterator[str]:
    known = {
        "recipe": _dig(table, str, "recipe"),
        "seed": _dig(table, int, "seed"),
        "epoch": _dig(table, int, "best_epoch"),
        "of": _dig(table, int, "epochs"),
        "parameters": _dig(table, int, "parameters", "total"),
    }
    line = ", ".join(f"{name} {value}" for name, value in known.items() if value is not None)
    if not line:
        yield _text(table)
        return
    yield line.replace(", of ", " of ")
    if table.get("synthetic"):
        yield "on synthetic speech: its metrics say nothing about human voices"
    for corpus in (_dig(table, list, "data") or [])[:MOST_ROWS]:
        reader, licence = (_dig(corpus, str, key) for key in ("reader", "licence"))
        yield f"data: {reader} (licence: {licence or 'not known'})"
    subsets = _dig(table, dict, "sides") or {}
    if subsets:
        counts = (f"{_text(value)} {subset}" for subset, value in subsets.items())
        yield "clips: " + _text(", ".join(counts))
    clean = _dig(table, bool, "audit", "clean")
    if clean is not None:
        yield f"leakage audit: {'clean' if clean else 'NOT clean'}"


def _protocol(table: Mapping[str, Any]) -> Iterator[str]:
    name, fold, code = (_dig(table, str, "protocol", key) for key in ("name", "fold", "hash"))
    if name:
        yield f"{name}, hash {code}: metrics are comparable where hashes are equal"
        yield from [fold] if fold and fold != name else []
    for caveat in (_dig(table, list, "protocol", "caveats") or [])[:MOST_ROWS]:
        yield f"! {_text(caveat)}"


def _metrics(table: Mapping[str, Any]) -> Iterator[str]:
    subsets = [subset for subset in table if _dig(table, float, subset, "uar") is not None]
    if not subsets:
        yield _text(table)
    for subset in subsets[:MOST_ROWS]:
        yield f"{subset}: {_scores(table[subset])}"
        yield from _difference(table[subset])


def _scores(metrics: Mapping[str, Any]) -> str:
    names = {"uar": "UAR", "wa": "accuracy", "calibration_error": "calibration error"}
    values = {name: _dig(metrics, float, key) for key, name in names.items()}
    shares = [f"{name} {100 * v:.1f} %" for name, v in values.items() if v is not None]
    clips = _dig(metrics, int, "clips")
    return ", ".join([*shares, *([] if clips is None else [f"{clips} clips"])])


def _difference(metrics: Mapping[str, Any]) -> Iterator[str]:
    """Yield what the quantized network loses against the trained one."""
    difference = _dig(metrics, float, "difference", "uar")
    edges = _dig(metrics, list, "ci95", "uar") or []
    if difference is None or len(edges) != 2 or not all(map(_is_number, edges)):
        return
    low, high = (f"{100 * edge:+.1f}" for edge in edges)
    drawn = (
        f"{_text(_dig(metrics, int, 'ci95', 'groups'))} {_text(metrics['ci95'].get('clusters'))}s"
    )
    yield (
        f"UAR minus that of the trained network {100 * difference:+.1f} [{low}, {high}] points "
        + (f"(95 %, {drawn} drawn)")
    )


def _dig(table: Any, kind: type, *keys: str) -> Any:
    """Return the value under a path of keys if it has this type, else None."""
    for key in keys:
        table = table.get(key) if isinstance(table, Mapping) else None
    if kind is float:
        return table if _is_number(table) else None
    fits = isinstance(table, kind) and (kind is bool or not isinstance(table, bool))
    return table if fits else None


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _text(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST_VALUE else text[: LONGEST_VALUE - 1] + "…"


def _kb(size: int) -> str:
    return f"{size / 1000:.0f} kB" if size >= 1000 else f"{size} bytes"
