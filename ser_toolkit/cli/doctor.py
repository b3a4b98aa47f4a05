"""Run `sertk doctor`: what is installed, what works, and how to install what is missing."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import shlex
import shutil
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import PackageNotFoundError
from importlib.util import find_spec
from typing import Literal

import click

from ..plugins.entry_points import (
    BUILTIN_DISTRIBUTION,
    SLOW_TODO,
    damaged,
    installed_version,
    leftovers,
)
from ..runtime.errors import SertkError
from ..utils.files import existing, writable_cache

BASE = ("numpy", "soxr", "soundfile", "pluggy", "click", "rich")
TRAINING = (
    "tensorflow",
    "keras",
    "librosa",
    "scipy",
    "scikit-learn",
    "matplotlib",
    "joblib",
)


@dataclasses.dataclass(frozen=True)
class Finding:
    """The state of one part: whether it works, in what version, and what to do if not."""

    part: str
    state: Literal["ok", "missing", "broken"]
    detail: str = ""
    todo: str = ""
    needed: bool = False


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON for programs.")
@click.pass_context
def doctor(ctx: click.Context, as_json: bool) -> None:
    """Check this installation; exit with 1 if the core does not work."""
    findings = list(examine())
    works = all(finding.state == "ok" for finding in findings if finding.needed)
    if as_json:
        parts = [dataclasses.asdict(finding) for finding in findings]
        click.echo(json.dumps({"works": works, "parts": parts}, indent=2))
    else:
        _show(findings)
    ctx.exit(0 if works else 1)


def examine() -> Iterator[Finding]:
    """Yield what a report of a defect should say about this installation."""
    yield Finding("python", "ok", f"{platform.python_version()} on {platform.platform()}")
    base = [_base(name) for name in BASE]
    yield from base
    if next(finding for finding in base if finding.part == "numpy").state == "ok":
        yield from _runtimes()
    yield from (_training(name) for name in TRAINING)
    if all(finding.state == "ok" for finding in base):
        # These import numpy, and this command must work where numpy does not.
        yield _fft()
        yield from _plugins()
    yield from _leftovers()
    yield _cache()


def _base(name: str) -> Finding:
    todo = f"Run `pip install --force-reinstall {name}`"
    try:
        module = import_module(name)
        detail = installed_version(name)
    except (ImportError, OSError, PackageNotFoundError) as error:
        state: Literal["missing", "broken"] = "broken" if find_spec(name) else "missing"
        return Finding(name, state, _short(error), todo, needed=True)
    library = getattr(module, "__libsndfile_version__", None)
    return Finding(
        name, "ok", f"{detail}, libsndfile {library}" if library else detail, needed=True
    )


def _fft() -> Finding:
    from ..runtime.features.dsp import best_fft

    name = best_fft().name
    todo = "" if name == "scipy" else "`pip install scipy` makes features faster"
    return Finding("fft", "ok", f"{name}.fft", todo)


def _runtimes() -> Iterator[Finding]:
    from ..runtime.inference.tflite import NOT_INSTALLED, TfliteRuntime, examine_runtimes, fix_for

    states = examine_runtimes()
    works = any(isinstance(state, TfliteRuntime) for state in states.values())
    for name, state in states.items():
        if isinstance(state, TfliteRuntime):
            yield Finding(name, "ok", state.version)
        elif state != NOT_INSTALLED:
            yield Finding(name, "broken", state, fix_for(name))
        # One runtime is enough: another one gets a line only where it is installed.
        elif not works and name == next(iter(states)):
            yield Finding(name, "missing", "needed to run a bundle", f"Run `pip install {name}`")


def _training(name: str) -> Finding:
    try:
        return Finding(name, "ok", installed_version(name))
    except PackageNotFoundError:
        todo = f'Run `pip install "{BUILTIN_DISTRIBUTION}[train]"`'
        return Finding(name, "missing", "needed to train", todo)


def _plugins() -> Iterator[Finding]:
    from ..plugins.registry import load_plugins

    plugins = load_plugins(env={**os.environ, "SERTK_STRICT": ""}, warn=lambda line: None)
    plugins.call_all()
    for name in damaged():
        todo = f"Run `pip install --force-reinstall {name}`"
        yield Finding(f"plugin {name}", "broken", "its entry points cannot be read", todo)
    for plugin in plugins.loaded:
        detail = f"{plugin.distribution} {plugin.version}"
        slowness = plugins.slowness(plugin)
        detail += f", {slowness}" if slowness else ""
        todo = SLOW_TODO if slowness else ""
        yield Finding(f"plugin {plugin.plugin}", "ok", detail, todo, plugin.is_builtin)
    for broken in plugins.broken:
        detail = f"{broken.distribution} {broken.version}: {broken.error}"
        part = f"plugin {broken.plugin}"
        yield Finding(part, "broken", detail, broken.todo, broken.is_builtin)


def _leftovers() -> Iterator[Finding]:
    for folder, names in leftovers().items():
        paths = " ".join(shlex.quote(str(folder / name)) for name in names)
        detail = f"{', '.join(names)}: a pip that was interrupted left this"
        yield Finding("leftover", "broken", detail, f"Run `rm -r {paths}`")


def _cache() -> Finding:
    try:
        folder = writable_cache()
    except SertkError as error:
        return Finding("cache", "broken", error.problem, error.todo, needed=True)
    free_gb = shutil.disk_usage(existing(folder)).free / 1e9
    return Finding("cache", "ok", f"{folder}, {free_gb:.1f} GB free")


def _short(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())


def _show(findings: list[Finding]) -> None:
    width = max(len(finding.part) for finding in findings)
    for finding in findings:
        click.echo(f"{finding.state:7}  {finding.part:{width}}  {finding.detail}".rstrip())
        if finding.todo:
            click.echo(f"{'':7}  {'':{width}}  {finding.todo}")
