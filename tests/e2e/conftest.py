"""Real files, the real command in a process of its own, and one small trained run."""

from __future__ import annotations

import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from ser_toolkit.builtin.synthetic import SyntheticReader
from ser_toolkit.contracts.components import Clip

Result = subprocess.CompletedProcess[str]
Sertk = Callable[..., Result]
Once = Callable[[str, Callable[[Path], object]], Path]
RATE_HZ = 16_000
EMOTIONS = ("anger", "neutral", "sadness")
COMMAND = "from ser_toolkit.cli import main; main()"
TINY = """
name = "tiny"
extractor = [{ name = "zcr" }, { name = "rms" }]
augmenter = ["gain"]
model = { name = "tcn", channels = 4, dilations = [1] }
window = { length_frames = 60, hop_frames = 60 }
training = { epochs = 1, copies = 0 }
"""


@pytest.fixture(scope="session")
def sertk(run_cache: Path, tmp_path_factory: pytest.TempPathFactory) -> Sertk:
    """Run `sertk` with these arguments; `python` holds options of the interpreter."""
    home = tmp_path_factory.mktemp("home")
    kept = {k: v for k, v in os.environ.items() if not k.startswith("SERTK_")}
    kept |= {"SERTK_CACHE": str(run_cache), "OMP_NUM_THREADS": "1"}

    def run(
        *args: object, env: dict[str, str] | None = None, python: tuple[str, ...] = ()
    ) -> Result:
        return subprocess.run(
            [sys.executable, *python, "-c", COMMAND, *map(str, args)],
            env={**kept, **(env or {})},
            cwd=home,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
        )

    return run


@pytest.fixture
def here(
    run_cache: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Sertk:
    """Run `sertk` with these arguments in this process, which saves seconds of imports.

    What leaves the command line as an exception, and would be a traceback, fails the test.
    """
    for name in [name for name in os.environ if name.startswith("SERTK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SERTK_CACHE", str(run_cache))
    monkeypatch.chdir(tmp_path_factory.mktemp("home"))

    def run(*args: object, env: dict[str, str] | None = None) -> Result:
        from ser_toolkit import cli

        arguments, out, err = [*map(str, args)], io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            for name, value in (env or {}).items():
                patch.setenv(name, value)
            code = cli.run(arguments)
        return Result(arguments, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def refused() -> Callable[..., None]:
    """Check that a command ended with one line which has these parts, and without a traceback."""

    def check(result: Result, *parts: str, code: int = 1) -> None:
        lines = result.stderr.splitlines()
        errors = [line for line in lines if line.startswith("Error: ")]
        ended = f"{result.args}: {result.stderr}{result.stdout}"
        assert "Traceback" not in ended, ended
        assert (result.returncode, len(errors)) == (code, 1), ended
        assert lines[-1] == errors[0], ended
        assert [part for part in parts if part not in errors[0]] == [], ended

    return check


@pytest.fixture(scope="session")
def clips(once: Once) -> tuple[Clip, ...]:
    """Speech of 4 speakers in 3 emotions, 5 sentences each."""
    reader = SyntheticReader(speakers=4, sentences=5)
    read = reader.read(once("clips", reader.read)).clips
    return tuple(clip for clip in read if clip.emotion in EMOTIONS)


@pytest.fixture(scope="session")
def good(clips: tuple[Clip, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The clips as EMOTION/SPEAKER/file.wav."""
    root = tmp_path_factory.mktemp("good")
    for clip in clips:
        target = root / str(clip.emotion) / str(clip.speaker) / clip.path.name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(clip.path, target)
    return root


@pytest.fixture(scope="session")
def few(clips: tuple[Clip, ...]) -> Callable[..., Path]:
    """Lay out chosen clips below a folder, by default `EMOTION/SPEAKER/file.wav`."""

    def lay_out(
        root: Path,
        keep: Callable[[Clip], bool] = lambda _: True,
        name: Callable[[Clip], str] = lambda c: f"{c.emotion}/{c.speaker}/{c.path.name}",
        sentences: int = 2,
    ) -> Path:
        short = tuple(f"_s{number:02}" for number in range(1, sentences + 1))
        for clip in clips:
            if keep(clip) and any(mark in clip.path.name for mark in short):
                target = root / name(clip)
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(clip.path, target)
        return root

    return lay_out


@pytest.fixture(scope="session")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A recipe that trains in a second."""
    path = tmp_path_factory.mktemp("recipe") / "tiny.toml"
    path.write_text(TINY)
    return path


def _corrupt(path: Path) -> None:
    path.write_bytes(b"RIFF" + bytes(range(256)) * 40)


def _beheaded(path: Path) -> None:
    path.write_bytes(b"no audio was ever in here\n" * 200)


def _no_samples(path: Path) -> None:
    soundfile.write(path, np.zeros(0, np.float32), RATE_HZ)


def _silent(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE_HZ, np.float32), RATE_HZ)


def _one_sample(path: Path) -> None:
    soundfile.write(path, np.full(1, 0.5, np.float32), RATE_HZ)


def _nan(path: Path) -> None:
    samples = np.random.default_rng(0).normal(0, 0.1, RATE_HZ).astype(np.float32)
    samples[700:900] = np.nan
    soundfile.write(path, samples, RATE_HZ, subtype="FLOAT")


def _pointer(path: Path) -> None:
    path.write_text(
        f"version https://git-lfs.github.com/spec/v1\noid sha256:{'0a' * 32}\nsize 123456\n"
    )


def _dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nobody.wav"))


BAD: dict[str, tuple[Callable[[Path], Any], str]] = {
    "corrupt": (_corrupt, "cannot be decoded"),
    "beheaded": (_beheaded, "cannot be decoded"),
    "empty": (Path.touch, "is empty (0 bytes)"),
    "no-samples": (_no_samples, "has no samples"),
    "silent": (_silent, "is silent"),
    "one-sample": (_one_sample, "is too short: 1 sample"),
    "nan": (_nan, "not numbers (NaN or infinite)"),
    "pointer": (_pointer, "is a Git LFS pointer"),
    "dangling": (_dangling, "is a link to a missing file"),
}


@pytest.fixture(scope="session")
def bad() -> dict[str, tuple[Callable[[Path], Any], str]]:
    """Kinds of bad files: what makes one at a path, and what a user is told of it."""
    return BAD


@pytest.fixture(scope="session")
def mixed(few: Callable[..., Path], once: Once) -> Path:
    """Good clips; among them one of each kind of bad file, duplicates, and a stray one."""
    return once("mixed", lambda root: spoil(few(root, sentences=5)))


def spoil(root: Path) -> None:
    """Put the bad files, the duplicates and the stray one there."""
    for kind, (make, _) in BAD.items():
        make(root / "anger" / "spk01" / f"{kind}.wav")
    here = root / "neutral" / "spk02"
    first, second = sorted(here.iterdir())[:2]
    shutil.copy(first, here / "twin.wav")
    shutil.copy(second, root / "sadness" / "spk02" / "contested.wav")
    shutil.copy(first, root / "stray.wav")


@pytest.fixture(scope="session")
def training(sertk: Sertk, mixed: Path, tiny: Path, once: Once) -> tuple[Result, Path]:
    """One training on the mixed corpus: how the command ended, and its run directory."""

    def train(root: Path) -> None:
        arguments = ("--epochs", 1, "--set", "training.copies=0", "--workers", 1)
        done = sertk("train", tiny, "--data", mixed, *arguments, "--out", root / "run")
        ended = {name: vars(done)[name] for name in ("args", "returncode", "stdout", "stderr")}
        (root / "ended.json").write_text(json.dumps(ended))

    made = once("training", train)
    return Result(**json.loads((made / "ended.json").read_text())), made / "run"


@pytest.fixture
def run(training: tuple[Result, Path], tmp_path: Path) -> Path:
    """A copy of that run directory, to do harm to."""
    return Path(shutil.copytree(training[1], tmp_path / "run"))
