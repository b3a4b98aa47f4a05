"""The plugin as a host sees it: hooks, recipe, and what it needs to run."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from importlib.metadata import entry_points

import numpy as np
import pluggy
import pytest

import sertk_msf
from ser_toolkit import Mfcc, Recipe, Rms, Signal, Stack, Zcr, from_spec, hookspecs

LIGHT = """
import sys
for heavy in ("tensorflow", "keras", "librosa", "scipy", "sklearn", "matplotlib", "joblib"):
    sys.modules[heavy] = None
import numpy as np
import sertk_msf
from ser_toolkit import Signal
msf = sertk_msf.sertk_extractors()[0]
assert [recipe.name for recipe in sertk_msf.sertk_recipes()][:1] == ["msf-notebook"]
samples = np.sin(np.arange(8000)).astype(np.float32)
np.save(sys.stdout.buffer, msf.frames(Signal(samples, 8000)))
"""


def test_hooks_are_those_of_the_host():
    manager = pluggy.PluginManager(hookspecs.GROUP)
    manager.add_hookspecs(hookspecs)
    manager.register(sertk_msf, "msf")
    manager.check_pending()
    (offered,) = manager.hook.sertk_extractors()
    assert offered[:2] == [sertk_msf.Msf(), sertk_msf.MsfStats()]
    assert [(e.name, e.version, e.edge_ready) for e in offered[:2]] == [
        ("msf", 1, True),
        ("msf_stats", 1, True),
    ]


def test_entry_point_names_the_package():
    found = [point for point in entry_points(group=hookspecs.GROUP) if point.name == "msf"]
    if not found:
        pytest.skip("sertk-msf is not installed here, only on the path")
    assert found[0].load() is sertk_msf


def recipe_named(name):
    (recipe,) = [recipe for recipe in sertk_msf.sertk_recipes() if recipe.name == name]
    return recipe


def test_recipe_uses_the_extractor_on_one_grid():
    recipe = recipe_named("msf")
    assert [use.name for use in recipe.extractor] == ["msf", "mfcc", "zcr", "rms"]
    assert {use.params["hop_length"] for use in recipe.extractor} == {256}
    assert {use.params["rate_hz"] for use in recipe.extractor} == {16000}
    msf = sertk_msf.Msf(**recipe.extractor[0].params)
    assert msf.centre_hz == pytest.approx(sertk_msf.Msf().centre_hz)
    assert Recipe.from_toml(recipe.to_toml()) == recipe


def test_recipe_extractors_stack_and_stream():
    recipe = recipe_named("msf")
    installed = {e.name: e for e in (sertk_msf.Msf(), Mfcc(), Zcr(), Rms())}
    specs = [{"name": use.name, **use.params} for use in recipe.extractor]
    stack = Stack(tuple(from_spec(spec, installed.__getitem__) for spec in specs))
    assert len(stack.columns) == 95 + 20 + 1 + 1
    samples = np.sin(np.arange(24000) ** 1.4 / 50).astype(np.float32)
    whole, stream = stack.frames(Signal(samples, 16000)), stack.stream()
    pieces = [stream.push(samples[start : start + 1280]) for start in range(0, 24000, 1280)]
    assert np.vstack(pieces) == pytest.approx(whole, rel=1e-5, abs=1e-4)


def test_runs_without_any_heavy_package():
    done = subprocess.run(
        [sys.executable, "-c", LIGHT], capture_output=True, check=False, env=_environment()
    )
    assert done.returncode == 0, done.stderr.decode()
    found = np.load(io.BytesIO(done.stdout))
    samples = np.sin(np.arange(8000)).astype(np.float32)
    expected = sertk_msf.Msf().frames(Signal(samples, 8000))
    assert found.shape == (12, 95)
    assert np.abs(found - expected).max() < 1e-5


def _environment():
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
