"""The kit in pytest, in a process of its own: test ids, expected failures, fixtures, its start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import types
from collections.abc import Callable

import pytest

from ser_toolkit.builtin.augmenters import Mask
from ser_toolkit.runtime.errors import SertkError
from ser_toolkit.testing import checks_for
from ser_toolkit.testing.outcome import declared, with_reasons

PLUGIN = """
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from ser_toolkit import Augmenter, FrameAugmenter, hookimpl


@dataclass(frozen=True)
class Jitter(FrameAugmenter):
    '''Adds noise.'''
    name: ClassVar[str] = "jitter"

    def augment_frames(self, frames, rng):
        return frames + rng.standard_normal(frames.shape, dtype=np.float32)


@dataclass(frozen=True)
class Tube(Augmenter):
    '''The inverse of a soft limiter.'''
    name: ClassVar[str] = "tube"

    def augment(self, samples, rate_hz, rng):
        with np.errstate(divide="ignore"):
            return np.arctanh(samples) * np.float32(rng.uniform(0.5, 1))


@hookimpl
def sertk_augmenters():
    return [Jitter(), Tube()]
"""
TEST = """
import kit_tube
from ser_toolkit.builtin.dense import Mlp
from ser_toolkit.builtin.readers import FolderReader
from ser_toolkit.testing import sertk_checks


@sertk_checks(kit_tube)
def test_plain(check):
    check()


@sertk_checks(kit_tube, expected_failures={"full_scale": "the curve ends there"})
def test_expected(check):
    check()


@sertk_checks(kit_tube.Tube(), expected_failures={"augmenter:tube:full_scale": "so it is"})
def test_by_id(check):
    check()


@sertk_checks(kit_tube, expected_failures={"tube:full_scale": "so", "tube:dc": "it was so once"})
def test_passing(check):
    check()


@sertk_checks(FolderReader())
def test_reader(check):
    check()


@sertk_checks(Mlp())
def test_model(check):
    assert check.name
"""
Run = Callable[..., str]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Run pytest on a test file beside the plugin; gives what it says."""
    folder = tmp_path_factory.mktemp("kit")
    (folder / "kit_tube.py").write_text(PLUGIN, "utf-8")
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\n", "utf-8")

    def run(source: str, *args: str, found: bool = False) -> str:
        (folder / "test_kit.py").write_text(source, "utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--strict-markers"]
        # Those of strangers take seconds to load.
        env = {} if found else {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        ours = [] if found else ["-p", "ser_toolkit.testing.pytest_plugin"]
        done = subprocess.run(
            [*command, *ours, *args],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder), **env},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return done.stdout + done.stderr

    return run


@pytest.fixture(scope="module")
def output_text(run: Run) -> str:
    return run(TEST, "-v", "--tb=short", "-rxs")


def test_one_test_id_per_check_and_a_failure_in_words(output_text: str) -> None:
    assert "test_plain[augmenter:jitter:one_frame] PASSED" in output_text
    assert "test_plain[plugin:kit_tube:hooks] PASSED" in output_text
    assert "test_plain[augmenter:tube:full_scale] FAILED" in output_text
    assert (
        "expected augment of 16000 samples at 16000 Hz to hold finite numbers alone" in output_text
    )


def test_an_expected_failure_is_shown_with_its_reason(output_text: str) -> None:
    assert re.search(
        r"XFAIL .*test_expected\[augmenter:tube:full_scale\] - .*the curve ends", output_text
    )
    assert re.search(r"XFAIL .*test_by_id\[augmenter:tube:full_scale\] - .*so it is", output_text)


def test_an_expected_failure_that_passes_fails_with_its_reason(output_text: str) -> None:
    assert "test_passing[augmenter:tube:dc] FAILED" in output_text
    assert "test_passing[augmenter:tube:full_scale] XFAIL" in output_text
    assert "[XPASS(strict)] it was so once" in output_text


def test_what_is_not_checked_is_skipped_with_what_it_needs(output_text: str) -> None:
    assert "test_reader[reader:folders:order] SKIPPED" in output_text
    assert "there is no corpus to read: give corpora={'folders': function}" in output_text


def test_a_slow_check_carries_the_marker(output_text: str, run: Run) -> None:
    assert "test_model[model:mlp:int8] PASSED" in output_text
    assert re.search(r"2 passed, \d+ deselected", run(TEST, "-q", "-m", "slow"))


def test_an_expected_failure_of_no_check_is_an_error() -> None:
    checks = list(checks_for(Mask()))
    with pytest.raises(SertkError, match=r"no such check\. Did you mean 'zeros'\?"):
        with_reasons(checks, {"zeroes": "x"})
    with pytest.raises(
        SertkError, match=r"'mask:zeros' is expected without a reason\. Give a reason"
    ):
        with_reasons(checks, {"mask:zeros": " "})
    reasons = {check.name: reason for check, reason in with_reasons(checks, {"zeros": "so"})}
    assert {name for name, reason in reasons.items() if reason} == {"zeros"}


def test_a_module_may_say_itself_what_is_expected() -> None:
    module = types.ModuleType("kit_told")
    assert declared(module) == {}
    vars(module)["SERTK_EXPECTED_FAILURES"] = {"zeros": "so"}
    assert declared(module) == {"zeros": "so"}
    vars(module)["SERTK_EXPECTED_FAILURES"] = ["zeros"]
    with pytest.raises(SertkError, match="SERTK_EXPECTED_FAILURES expects"):
        declared(module)


FIXTURES = """
import sys
import numpy as np
import pytest
from ser_toolkit import read_audio, load_plugins
from ser_toolkit.runtime.features.spectral import Mfcc
from ser_toolkit import signal_of


def test_corpus(synthetic_corpus):
    files = sorted(synthetic_corpus.rglob("*.wav"))
    assert len(files) == 24
    assert {len(path.relative_to(synthetic_corpus).parts) for path in files} == {3}
    reading = load_plugins(only=[]).get("reader", "folders").read(synthetic_corpus)
    assert len({clip.speaker for clip in reading.clips}) == 4
    assert {clip.emotion for clip in reading.clips} > {"anger", "sadness"}


def test_clip(speech_clip):
    assert speech_clip.rate_hz == 16000 and speech_clip.duration_s > 0.5
    frames = Mfcc().frames(signal_of(speech_clip, Mfcc()))
    assert np.isfinite(frames).all() and len(frames) > 30
    with pytest.raises(ValueError, match="read-only"):
        speech_clip.samples[0] = 1


def test_imports(blocked_imports):
    import joblib
    import scipy.signal
    from scipy import signal

    with blocked_imports():
        for name in ("joblib", "tensorflow", "scipy.signal", "keras.layers"):
            with pytest.raises(ModuleNotFoundError, match="is not on a device, and blocked"):
                __import__(name)
        with pytest.raises(ImportError):
            from scipy import signal as again
        import scipy.fft
    import joblib as later
    from scipy import signal as same

    assert later is joblib and same is signal is scipy.signal
    with blocked_imports("json"), pytest.raises(ModuleNotFoundError):
        import json.decoder
    import joblib as later


def test_blocking_ends_with_an_error(blocked_imports):
    before = sys.meta_path[:]
    with pytest.raises(KeyError), blocked_imports():
        raise KeyError
    assert sys.meta_path == before
    import joblib
"""


def test_fixtures(run: Run) -> None:
    output_text = run(FIXTURES, "-q")
    assert "4 passed" in output_text, output_text


START = """
import sys


def test_start():
    ours = {name for name in sys.modules if name.startswith("ser_toolkit")}
    package = "ser_toolkit.testing"
    assert ours == {"ser_toolkit", package, f"{package}.pytest_plugin"}
    heavy = {"numpy", "click", "soxr", "tensorflow", "librosa", "keras", "scipy", "joblib"}
    assert not heavy & set(sys.modules)
"""


def test_pytest_starts_without_anything_heavy(run: Run) -> None:
    """Whoever has the toolkit installed and tests something else must not pay for it."""
    assert "1 passed" in run(START, "-q")


def test_pytest_finds_the_plugin_by_itself(run: Run) -> None:
    assert "speech_clip [session scope]" in run(START, "--fixtures", found=True)


def test_without_pytest_the_checks_are_plain_functions() -> None:
    source = (
        "import sys; sys.modules['pytest'] = None\n"
        "from ser_toolkit.testing import checks_for\n"
        "from ser_toolkit.runtime.features.spectral import Rms\n"
        "for check in checks_for(Rms()): check()\n"
        "print('done')"
    )
    done = subprocess.run([sys.executable, "-c", source], capture_output=True, text=True)
    assert done.stdout == "done\n", done.stderr
