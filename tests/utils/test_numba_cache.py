"""Processes that compile with numba at the same moment leave each other's caches alone."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

COMPILED = """
from typing import ClassVar
from dataclasses import dataclass
import numpy as np
from ser_toolkit.contracts.components import Augmenter

@dataclass(frozen=True)
class Halved(Augmenter):
    name: ClassVar[str] = "halved"

    def augment(self, samples, rate_hz, rng):
        from functions import halved
        return halved(samples)
"""
FUNCTIONS = """
import numba

@numba.guvectorize(["void(float32[:], float32[:])"], "(n)->(n)", cache=True, nopython=True)
def halved(x, y):
    for i in range(len(x)):
        y[i] = x[i] / 2
"""
FILL = """
import sys
from pathlib import Path
from importlib import import_module
import numpy as np
from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.contracts.components import Utterance
from ser_toolkit.utils.progress import Callback
from ser_toolkit.runtime.audio.decode import content_hash, read_audio
from ser_toolkit.runtime.features.spectral import Rms
from ser_toolkit.runtime.features.window import Window
from ser_toolkit.data.feature_store import Features, Store

module, names, root = sys.argv[1], sys.argv[2].split(","), Path(sys.argv[3])
augmenters = tuple(getattr(import_module(module), name)(p=1.0) for name in names)
clips = SyntheticReader(speakers=2, sentences=2).read(root / "clips").clips
audios = [read_audio(clip.path) for clip in clips]
utterances = [Utterance(c, content_hash(a), a.duration_s) for c, a in zip(clips, audios)]
wanted = Features(Rms(), Window(20, 10), augmenters, 0, lambda asset: b"")
Store(root / "store").fill(wanted, [(u, 1) for u in utterances], 2, Callback())
"""
HALVE = """
import numpy as np, functions
x = np.arange(1, 9, dtype=np.float32)
assert np.array_equal(functions.halved(x), x / 2)
"""
CROSSINGS = """
import numpy as np, librosa
x = np.sin(np.arange(16000, dtype=np.float32))
assert abs(librosa.feature.zero_crossing_rate(x).mean() - 1 / np.pi) < 0.02
"""
TAKE = """
import os
from pathlib import Path
from ser_toolkit.utils.numba_cache import use_own_numba_cache
use_own_numba_cache()
import numba
print(os.environ["NUMBA_CACHE_DIR"], flush=True)
input()
"""


def environment(tmp_path: Path, **more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("NUMBA_CACHE_DIR", "SERTK_CACHE")}
    return kept | {"SERTK_CACHE": str(tmp_path / "cache"), "PYTHONPATH": str(tmp_path)} | more


def python(code: str, *args: object, env: dict[str, str]) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, args)], env=env, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def compiled_by_two_workers(tmp_path: Path, module: str, names: str) -> list[Path]:
    """Fill a feature store with two workers; the folders that they compiled into."""
    python(FILL, module, names, tmp_path, env=environment(tmp_path))
    found = {path.parents[1] for path in (tmp_path / "cache").rglob("*.nbi")}
    assert len(found) == 2, found
    assert {path.name.startswith("process-") for path in found} == {True}
    return sorted(found)


def test_two_workers_compile_into_folders_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "feature.py").write_text(COMPILED)
    (tmp_path / "functions.py").write_text(FUNCTIONS)
    for folder in compiled_by_two_workers(tmp_path, "feature", "Halved"):
        python(HALVE, env=environment(tmp_path, NUMBA_CACHE_DIR=str(folder)))
    assert not list((tmp_path / "__pycache__").glob("*.nb?"))


@pytest.mark.nightly
@pytest.mark.parametrize("attempt", range(20))
def test_librosa_works_after_two_workers_compiled_it(tmp_path: Path, attempt: int) -> None:
    for folder in compiled_by_two_workers(tmp_path, "sertk_augment", "Stretch,Pitch"):
        python(CROSSINGS, env=environment(tmp_path, NUMBA_CACHE_DIR=str(folder)))


class Taken:
    """A process that took a folder, and lives until it is told."""

    def __init__(self, env: dict[str, str]) -> None:
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        self.process = subprocess.Popen([sys.executable, "-c", TAKE], env=env, text=True, **pipes)
        assert self.process.stdout
        message = self.process.stdout.readline().strip()
        assert message, "it ended before it had taken a folder"
        self.folder = Path(message)

    def kill(self) -> None:
        self.process.kill()
        self.process.communicate()


def test_a_folder_is_taken_again_when_its_process_was_killed(tmp_path: Path) -> None:
    first = Taken(environment(tmp_path))
    second = Taken(environment(tmp_path, NUMBA_CACHE_DIR=str(first.folder)))
    assert first.folder.parent == second.folder.parent
    assert (first.folder.name, second.folder.name) == ("process-0", "process-1")
    first.kill()
    again = Taken(environment(tmp_path))
    assert again.folder == first.folder
    second.kill(), again.kill()


def test_what_one_process_compiled_the_next_ones_find(tmp_path: Path) -> None:
    first = Taken(environment(tmp_path))
    (first.folder / "package").mkdir(parents=True)
    (first.folder / "package" / "function.nbi").write_text("compiled")
    early = Taken(environment(tmp_path))
    assert not early.folder.exists()
    first.kill()
    again, late = Taken(environment(tmp_path)), Taken(environment(tmp_path))
    assert (late.folder / "package" / "function.nbi").read_text() == "compiled"
    for taken in (early, again, late):
        taken.kill()


def test_a_folder_that_the_user_chose_holds_one_of_each_process(tmp_path: Path) -> None:
    chosen = tmp_path / "chosen"
    taken = Taken(environment(tmp_path, NUMBA_CACHE_DIR=str(chosen)))
    assert taken.folder.parents[1] == chosen
    taken.kill()


def test_where_nothing_can_be_written_the_folder_is_temporary(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("no folder")
    first, second = Taken(environment(tmp_path)), Taken(environment(tmp_path))
    assert first.folder.is_dir() and second.folder.is_dir() and first.folder != second.folder
    first.kill(), second.kill()


def test_a_process_without_numba_takes_no_folder(tmp_path: Path) -> None:
    code = "from ser_toolkit import load_plugins; load_plugins().all('extractor')"
    python(code, env=environment(tmp_path))
    assert not (tmp_path / "cache").exists()
