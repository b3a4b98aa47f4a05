"""Run `sertk bench`: time and memory of a bundle on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import click

from .bundle import PATH, key_bytes
from .predict import signature_option

LOAD = "Other load on the machine changes every measurement: measure with nothing else running."
MAX_LOAD_PER_CORE = 0.5


@click.command()
@click.argument("bundle", type=PATH)
@signature_option
@click.option(
    "--threads",
    multiple=True,
    metavar="N",
    help="Numbers of threads; repeat, or separate by commas. Default: 1 to the number of cores.",
)
@click.option(
    "--seconds",
    type=click.FloatRange(0, 3600),
    default=2.0,
    show_default=True,
    help="Seconds for which each stage is repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.option("--out", type=PATH, help="Write the JSON here.")
def bench(
    bundle: Path,
    require_signature: Path | None,
    threads: tuple[str, ...],
    seconds: float,
    as_json: bool,
    out: Path | None,
) -> None:
    """Measure loading, features, network and memory of BUNDLE on this machine."""
    from ..bench.measure import bench as measure
    from ..runtime.bundle.file import read_bytes
    from ..utils.files import check_file, write_text
    from . import show

    check_file(out)
    callback = show.Warnings() if as_json else show.Terminal()
    results = measure(
        read_bytes(bundle),
        bundle.name,
        _thread_counts(threads),
        seconds,
        key_bytes(require_signature),
        callback.track,
    )
    text = json.dumps(results, indent=2)
    if as_json:
        click.echo(text)
    else:
        _show(results)
    if out:
        write_text(out, text + "\n")


def _thread_counts(given: Sequence[str]) -> list[int]:
    """Return numbers of threads, each once; none for the default."""
    words = [word.strip() for text in given for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 1 <= int(word) <= 256 for word in words):
        raise click.BadParameter(
            f"whole numbers from 1 to 256 expected, received {','.join(words)!r}",
            param_hint="--threads",
        )
    return list(dict.fromkeys(map(int, words)))


def _show(results: Mapping[str, Any]) -> None:
    from . import show

    out = show.console()
    for line in _heads(results):
        out.print(line, soft_wrap=True)
    out.print(show.table("Milliseconds", HEADS, _times(results["runs"]), left=2))
    out.print("  hop: what a stream costs from one window to the next", style="dim")
    out.print(show.table("Until it can predict, in milliseconds", LOADS, _loads(results["runs"])))
    out.print(show.table("Share of real time, and memory", COSTS, _costs(results["runs"])))
    for line in (*_power(results["power"], results["board"]["cores"]), LOAD):
        out.print(line, soft_wrap=True)


HEADS = ("threads", "work", "median", "p95", "p99", "rounds")
LOADS = ("threads", "in all", "import", "verify", "load", "self-test", "again: verify", "load")
COSTS = ("threads", "whole windows %", "stream %", "memory MB", "at most MB")


def _heads(results: Mapping[str, Any]) -> Iterator[str]:
    about, board, software = results["bundle"], results["board"], results["software"]
    yield (
        f"{about['file']}: {about['name']}, {about['mode']}, {about['bytes'] / 1000:.0f} kB, "
        f"windows of {about['window_s']:.2f} s every {about['hop_s']:.2f} s"
    )
    machine = (board["model"], board["processor"], board["architecture"])
    yield ", ".join([*filter(None, machine), f"{board['cores']} cores", board["system"]])
    yield (
        f"{software['runtime']} {software['runtime_version']}, Python {software['python']}, "
        f"numpy {software['numpy']}, {software['fft']}.fft, ser-toolkit {software['ser_toolkit']}"
    )


def _times(runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for run in runs:
        stream = run["stream"] or {}
        works = {
            "features of a window": run["extractor"],
            "network": run["network"],
            "window, both": run["window"],
            "features of a hop": stream.get("extractor"),
            "hop, with network": stream.get("hop"),
        }
        for name, work in works.items():
            if work:
                times_ms = (f"{work[f'{key}_ms']:.2f}" for key in ("median", "p95", "p99"))
                yield run["threads"], name, *times_ms, work["rounds"]


def _loads(runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    keys = ("total_ms", "import_ms", "verify_ms", "load_ms", "selftest_ms")
    for run in runs:
        cold, warm = run["load"]["cold"], run["load"]["warm"]
        times_ms = [*(cold[key] for key in keys), warm["verify_ms"], warm["load_ms"]]
        yield run["threads"], *(f"{time_ms:.0f}" for time_ms in times_ms)


def _costs(runs: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Any, ...]]:
    for run in runs:
        share, memory = run["real_time_factor"], run["memory"]
        shares = (100 * share[k]["median"] if share[k] else None for k in ("window", "stream"))
        used_mb = (memory["resident_mb"], memory["peak_mb"])
        yield run["threads"], *map(_number, shares), *map(_number, used_mb)


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def _power(power: Mapping[str, Any], cores: int) -> Iterator[str]:
    before, after = power["before"], power["after"]
    if after["temperature_c"] is not None:
        yield f"temperature: {before['temperature_c']:.0f} to {after['temperature_c']:.0f} °C"
    if after["governor"]:
        at = "" if after["frequency_mhz"] is None else f", {after['frequency_mhz']:.0f} MHz"
        yield f"governor: {after['governor']}{at}"
    if after["throttled"] is not None:
        for when, faults in after["throttled"].items():
            yield f"power, {when.replace('_', ' ')}: {', '.join(faults) or 'nothing wrong'}"
    load = before["load_1min"]
    if load is not None and load > MAX_LOAD_PER_CORE * cores:
        yield f"! the load was {load:.1f} on {cores} cores before this began"
