"""The last good bundle is kept, and served where the file in its place is refused at a start."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import soundfile

from ser_toolkit.runtime.bundle.container import pack, unpack
from ser_toolkit.runtime.bundle.selftest import synthetic_voice
from ser_toolkit.runtime.errors import SertkError
from sertk_edge.bundle.loader import LoadedBundle
from sertk_edge.bundle.watcher import BundleWatcher
from sertk_edge.settings import BundleSettings

SETTINGS = BundleSettings()
LABELS = ("anger", "joy", "neutral", "sadness")


@pytest.fixture
def path(tmp_path: Path, tiny_bundle: Path) -> Path:
    return Path(shutil.copy(tiny_bundle, tmp_path / "current.sertk"))


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "state").mkdir()
    return tmp_path / "state"


def altered(content: bytes, old: bytes, new: bytes) -> bytes:
    members = unpack(content)
    members["manifest.json"] = members["manifest.json"].replace(old, new)
    return pack(members)


def envious(content: bytes) -> bytes:
    return altered(content, b'"joy"', b'"envy"')


def started(
    path: Path, state: Path | None, settings: BundleSettings = SETTINGS
) -> tuple[LoadedBundle, str]:
    """What serves after a start, and why the file in its place does not."""
    watcher = BundleWatcher(path, settings, state)
    live = watcher.first()
    return live, "" if watcher.rejected is None else watcher.rejected.reason


def test_the_last_good_one_serves_in_place_of_a_bad_one(path: Path, state: Path) -> None:
    good = path.read_bytes()
    assert started(path, state)[1] == ""
    # In the end as in the beginning: what was refused is not what is kept.
    for bad, reason in (
        (good[: len(good) // 2], "cut off"),
        (b"", "bundle"),
        (None, "No such file"),
        (envious(good), "Set bundle.allow_new_labels"),
        (envious(good), "Set bundle.allow_new_labels"),
    ):
        path.unlink() if bad is None else path.write_bytes(bad)
        live, why = started(path, state)
        assert live.classifier.labels == LABELS and live.bundle.manifest.name == "tiny"
        assert reason in why
    path.write_bytes(altered(good, b'"tiny"', b'"newer"'))
    live, why = started(path, state)
    assert (live.bundle.manifest.name, why) == ("newer", "")


def test_the_daemon_tells_that_it_goes_on_with_the_last_good_one(
    path: Path, state: Path, tmp_path: Path
) -> None:
    soundfile.write(tmp_path / "talk.wav", synthetic_voice(2.0, 16_000), 16_000)
    command = [sys.executable, "-m", "ser_toolkit", "serve-edge", str(path), "--gate", "off"]
    command += ["--source", str(tmp_path / "talk.wav"), "--sink", "json_lines"]

    def served() -> str:
        env = {**os.environ, "STATE_DIRECTORY": str(state)}
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=env)
        assert done.returncode == 0 and '"started"' in done.stdout, done.stderr
        return done.stderr

    assert "not taken" not in served()
    path.write_bytes(b"half of a bundle")
    assert "warning bundle: not taken file=current.sertk reason=" in served()


def test_other_labels_are_taken_where_somebody_has_said_so(path: Path, state: Path) -> None:
    good = path.read_bytes()
    started(path, state)
    path.write_bytes(envious(good))
    live, why = started(path, state, BundleSettings(allow_new_labels=True))
    assert "envy" in live.classifier.labels and why == ""
    # From then on, it is the last good one.
    path.write_bytes(good)
    assert "envy" in started(path, state)[0].classifier.labels
    assert len(list(state.iterdir())) == 1


def test_another_file_is_another_bundle(path: Path, state: Path) -> None:
    started(path, state)
    other = path.with_name("other.sertk")
    with pytest.raises(SertkError):
        started(other, state)
    other.write_bytes(envious(path.read_bytes()))
    assert "envy" in started(other, state)[0].classifier.labels


def test_a_damaged_copy_is_no_copy(path: Path, state: Path) -> None:
    started(path, state)
    good = path.read_bytes()
    next(state.iterdir()).write_bytes(b"no bundle")
    assert started(path, state)[1] == ""
    assert next(state.iterdir()).read_bytes() == good
    next(state.iterdir()).write_bytes(b"no bundle")
    path.write_bytes(b"nor this")
    with pytest.raises(SertkError, match="bundle"):
        started(path, state)


def test_without_a_folder_nothing_is_kept(path: Path, state: Path) -> None:
    for folder in (None, state / "missing", Path("/proc/nowhere")):
        assert started(path, folder)[1] == ""
    good = path.read_bytes()
    path.write_bytes(good[:100])
    with pytest.raises(SertkError):
        started(path, None)
