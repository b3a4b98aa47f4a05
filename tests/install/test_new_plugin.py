"""What `sertk plugins new` writes, really installed: it is listed, passes its tests, and works."""

from __future__ import annotations

import csv
import json
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from make_environment import install, make_venv

from ser_toolkit.scaffold import KINDS

ROOT = Path(__file__).resolve().parents[2]
MAIN = "from ser_toolkit.cli import main; main()"
TRAINED = ("augmenter", "model", "recipe")
# Their checks train a network, or start many processes.
SLOW = ("command", "model", "reader", "recipe")
QUICK = ("--epochs", "1", "--workers", "1", "--set", "training.copies=0")
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment in `venv`, and a new plugin of each kind installed there."""
    base = tmp_path_factory.mktemp("new")
    make_venv(base / "venv")
    for kind in KINDS:
        done = call(base, "-c", MAIN, "plugins", "new", f"my-{kind}", "--kind", kind)
        assert done.returncode == 0, done.stderr
    install(base / "venv", [base / f"sertk-my-{kind}" for kind in KINDS])
    return base


def call(place: Path, *args: object, **env: str) -> subprocess.CompletedProcess[str]:
    """The interpreter of the environment, with no variables of ours but those given."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SERTK_")}
    return subprocess.run(
        [str(place / "venv/bin/python"), *map(str, args)],
        cwd=place,
        env={**kept, "SERTK_CACHE": str(place / "cache"), "SERTK_STRICT": "1", **env},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.fixture
def sertk(place: Path) -> Run:
    """`sertk` there, with the plugin of one kind beside the daemon's alone."""

    def sertk(kind: str, *args: object) -> subprocess.CompletedProcess[str]:
        done = call(place, "-c", MAIN, *args, SERTK_PLUGINS=f"my-{kind},edge")
        assert done.returncode == 0, done.stderr
        return done

    return sertk


@pytest.fixture(scope="module")
def voices(synthetic_corpus: Path, place: Path) -> Path:
    """Some utterances one after the other, in a file."""
    parts: list[np.ndarray] = []
    for path in sorted(synthetic_corpus.glob("*/*/*.wav"))[::6]:
        samples, rate_hz = soundfile.read(path, dtype="float32")
        parts += [samples, np.zeros(rate_hz, np.float32)]
    soundfile.write(place / "voices.wav", np.concatenate(parts), rate_hz)
    return place / "voices.wav"


def test_each_is_listed_with_what_it_offers(place: Path) -> None:
    done = call(place, "-c", MAIN, "plugins", "--json")
    answer = json.loads(done.stdout)
    offered = {
        one["plugin"]: [(part["kind"], part["name"]) for part in one["components"]]
        for one in answer["plugins"]
        if one["distribution"].startswith("sertk-my-")
    }
    kinds = [kind for kind in KINDS if kind != "command"]
    assert offered == {f"my-{kind}": [(kind, f"my-{kind}")] for kind in kinds}
    assert answer["broken"] == []
    command = {"command": "my-command", "distribution": "sertk-my-command", "version": "0.1.0"}
    assert command in answer["commands"]
    shown = call(place, "-c", MAIN, "plugins").stdout
    for kind in KINDS:
        row = rf"^my-{kind} +sertk-my-{kind} +0\.1\.0 +{kind} +my-{kind}( |$)"
        assert re.search(row, shown, re.MULTILINE)


@pytest.mark.parametrize(
    "kind", [pytest.param(k, marks=[pytest.mark.slow] if k in SLOW else []) for k in KINDS]
)
def test_its_own_tests_pass(kind: str, place: Path) -> None:
    done = call(place, "-m", "pytest", "-q", "-p", "no:cacheprovider", f"sertk-my-{kind}")
    assert done.returncode == 0, done.stdout[-3000:]
    assert " passed" in done.stdout and "skipped" not in done.stdout


def test_the_toolkit_finds_nothing_wrong_with_it(sertk: Run) -> None:
    shown = sertk("extractor", "plugins", "check", "my-extractor").stdout
    assert shown.splitlines()[-1].endswith(" ok")


def test_a_command_runs_by_its_name(sertk: Run, voices: Path) -> None:
    shown = sertk("command", "my-command", voices).stdout.split()
    assert float(shown[0]) == pytest.approx(soundfile.info(voices).duration, abs=0.01)
    assert shown[-1] == "voices.wav"
    assert "my-command" in sertk("command", "--help").stdout


def test_a_sink_is_told_what_the_daemon_hears(sertk: Run, voices: Path, tmp_path: Path) -> None:
    table = tmp_path / "heard.csv"
    bundle = ROOT / "tests/bundles/v1/synthetic-msf.sertk"
    done = call(
        voices.parent,
        *("-c", MAIN, "serve-edge", bundle, "--source", voices),
        *("--sink", f"my-sink,path={table}"),
        SERTK_PLUGINS="my-sink,edge,msf",
        XDG_STATE_HOME=str(tmp_path),
    )
    assert done.returncode == 0, done.stderr
    with table.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {"started", "ended"} <= {row["kind"] for row in rows}
    assert len({row["id"] for row in rows}) == len(rows)


@pytest.mark.slow
@pytest.mark.parametrize("kind", TRAINED)
def test_it_trains(kind: str, sertk: Run, synthetic_corpus: Path, place: Path) -> None:
    run, data = place / f"run-{kind}", ("--data", synthetic_corpus)
    sertk(kind, "train", "--plugin", f"my-{kind}", *data, *QUICK, "--out", run)
    assert f'name = "my-{kind}"' in (run / "recipe.toml").read_text("utf-8")
    assert (run / "metrics.json").is_file()


@pytest.mark.slow
def test_a_reader_trains(sertk: Run, synthetic_corpus: Path, place: Path) -> None:
    """On a folder as its README shows it."""
    for path in synthetic_corpus.glob("*/*/*.wav"):
        emotion, speaker = path.parts[-3:-1]
        (place / "lab" / speaker).mkdir(parents=True, exist_ok=True)
        shutil.copy(path, place / "lab" / speaker / f"{emotion}_1.wav")
    args = ("--plugin", "my-reader", "--data", place / "lab", "--set", "extractor=rms")
    shown = sertk("reader", "train", *args, *QUICK, "--out", place / "run-reader").stdout
    assert "lab: read as 'my-reader'" in shown


@pytest.mark.slow
def test_from_a_new_feature_to_a_device_that_hears(
    sertk: Run, synthetic_corpus: Path, voices: Path, place: Path
) -> None:
    run, bundle = place / "run-loud", place / "loud.sertk"
    data = ("--data", synthetic_corpus)
    sertk("extractor", "train", "--plugin", "my-extractor", *data, *QUICK, "--out", run)
    sertk("extractor", "quantize", run, "--force", "--out", bundle)
    results = sertk("extractor", "serve-edge", bundle, "--source", voices, "--sink", "json_lines")
    kinds = {json.loads(line)["kind"] for line in results.stdout.splitlines()}
    assert {"started", "ended"} <= kinds
