"""`sertk inspect`: what it prints and writes, and one line for what it cannot use."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from click.testing import CliRunner, Result

from ser_toolkit.cli.inspect import inspect
from ser_toolkit.runtime.errors import SertkError

RATE_HZ = 16_000
Invoke = Callable[..., Result]


@pytest.fixture
def invoke(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Invoke:
    monkeypatch.chdir(tmp_path)

    def run(*args: object) -> Result:
        return CliRunner().invoke(inspect, [str(arg) for arg in args])

    return run


@pytest.fixture
def stereo(tmp_path: Path) -> Path:
    """Return half a second at 22 050 Hz: a tone at half of full scale, on the right clipped."""
    tone = 0.5 * np.sin(2 * np.pi * 200 * np.arange(11_025) / 22_050)
    both = np.stack([tone, np.clip(4 * tone, -1, 32767 / 32768)], axis=1)
    path = tmp_path / "two voices.wav"
    soundfile.write(path, both, 22_050, subtype="PCM_16")
    return path


def test_the_table_says_what_is_in_the_file(invoke: Invoke, stereo: Path) -> None:
    result = invoke(stereo, "--recipe", "compact", "--set", "augmenter=gain")
    assert result.exit_code == 0, result.output
    facts = dict(line.split(maxsplit=1) for line in result.stdout.splitlines())
    samples = soundfile.read(stereo)[0]
    mono = samples.mean(axis=1)
    share = 100 * (np.abs(samples) >= 32767 / 32768).mean()
    peak, rms = (20 * np.log10(x) for x in (np.abs(mono).max(), np.sqrt(np.mean(mono**2))))
    assert facts["rate"] == "22050 Hz, 2 channels, averaged to one"
    assert facts["duration"] == "0.500 s"
    assert facts["level"] == f"peak {peak:.1f} dBFS, RMS {rms:.1f} dBFS"
    assert facts["clipping"] == f"{share:.3f} % of the samples at full scale"
    assert facts["speech"].startswith("usable")
    assert facts["recipe"] == "compact, which uses 0.500 s of it, resampled to 16000 Hz"
    assert facts["frames"] == f"{1 + (8000 - 1024) // 256}, one every 16 ms"
    assert facts["windows"] == f"1 of {(187 * 256 + 1024) / 16000:.3f} s"
    assert facts["augmented"] == "gain"
    assert facts["wrote"] == "two voices-inspect.png"
    assert Path("two voices-inspect.png").read_bytes().startswith(b"\x89PNG\r\n\x1a\n")


def test_sounds_are_listed_and_softened_ones_named(invoke: Invoke, tmp_path: Path) -> None:
    loud = tmp_path / "loud.wav"
    soundfile.write(loud, 0.9 * np.sin(np.arange(8000) / 20), RATE_HZ)
    result = invoke(
        loud, "--recipe", "compact", "--set", "augmenter=gain", "--set", "augmenter.db_min=6",
        "--set", "augmenter.db_max=6", "--play-dir", "out/sounds",
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[-3] == f"wrote {Path('out/sounds/00-original.wav')}"
    excess = 20 * np.log10(0.9) + 6
    assert lines[-2].endswith(f"(made {excess:.1f} dB softer, it was above full scale)")
    assert sorted(p.name for p in Path("out/sounds").iterdir()) == [
        "00-original.wav",
        "01-gain.wav",
    ]


def _text(path: Path) -> None:
    path.write_text("no audio")


def _silence(path: Path) -> None:
    soundfile.write(path, np.zeros(RATE_HZ), RATE_HZ)


def _click(path: Path) -> None:
    soundfile.write(path, np.full(5, 0.5), RATE_HZ)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (_text, "'x.wav' cannot be decoded"),
        (_silence, "'x.wav' is silent"),
        (_click, "'x.wav' is too short"),
        (Path.touch, "'x.wav' is empty"),
        (Path.mkdir, "'x.wav' is a folder"),
        (lambda path: None, "'x.wav' is not there"),
    ],
)
def test_what_is_no_speech_is_one_line_and_leaves_nothing(
    make: Callable[[Path], object], message: str, invoke: Invoke, tmp_path: Path
) -> None:
    make(tmp_path / "x.wav")
    result = invoke(tmp_path / "x.wav", "--play-dir", "sounds")
    assert isinstance(result.exception, SertkError)
    assert str(result.exception).startswith(message)
    assert [path.name for path in tmp_path.iterdir() if path.name != "x.wav"] == []


@pytest.mark.parametrize(
    ("args", "message"),
    [
        (["--out", "x.jpg"], r"--out expects a \.png file, received 'x\.jpg'"),
        (["--recipe", "nosuch"], "nosuch"),
        (["--recipe", "nosuch.toml"], "cannot read recipe 'nosuch.toml'"),
        (["--set", "augmenter.gain.db_min=1"], r"no recipe is given\. Add --recipe"),
        (["--recipe", "compact", "--set", "extractor.nosuch=1"], "does not exist in this recipe"),
    ],
)
def test_a_wrong_option_is_one_line(
    args: list[str], message: str, invoke: Invoke, stereo: Path
) -> None:
    error = invoke(stereo, *args).exception
    assert isinstance(error, SertkError)
    with pytest.raises(SertkError, match=message):
        raise error


def test_without_matplotlib_the_pip_line_is_told(stereo: Path, tmp_path: Path) -> None:
    (tmp_path / "matplotlib.py").write_text(
        "raise ModuleNotFoundError('No module named matplotlib', name='matplotlib')"
    )
    source = (
        "from ser_toolkit.cli import sertk, main; from ser_toolkit.cli.inspect import inspect; "
        "sertk.add_command(inspect); main()"
    )
    kept = {key: value for key, value in os.environ.items() if key != "SERTK_PLUGINS"}
    path = os.pathsep.join([str(tmp_path), *sys.path])
    args = ["inspect", str(stereo), "--recipe", "compact", "--set", "augmenter=gain"]
    result = subprocess.run(
        [sys.executable, "-c", source, *args],
        env={**kept, "PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 2
    line = "this needs 'matplotlib', which is not installed"
    assert result.stderr.splitlines()[-1].startswith(f"Error: {line}")
    assert 'pip install "ser-toolkit[train]"' in result.stderr
    assert "Traceback" not in result.stderr
