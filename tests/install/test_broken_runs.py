"""Real runs beside broken plugins, and the page that says what users see."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from broken_packages import BROKEN, PACKAGES
from what_users_see import MAIN, Seen, look, table

ROOT = Path(__file__).resolve().parents[2]
TINY = ROOT / "tests/bundles/v1/tiny.sertk"
PAGE = ROOT / "docs/plugins-broken.md"
QUICK = ("--set", "model.channels=16", "--set", "training.copies=0")
Run = Callable[..., Any]

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def seen(broken_python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Seen]:
    return {one.name: one for one in look(broken_python, tmp_path_factory.mktemp("seen"))}


@pytest.fixture(scope="module")
def made(
    broken_python: Path, small_corpus: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Any]:
    """A bundle with an extractor of acme-fickle, and how its training went beside the others."""
    folder = tmp_path_factory.mktemp("made")
    settings = ["--epochs", "1", "--workers", "1", *QUICK]
    commands = (
        ("train", "--plugin", "fickle", "--data", small_corpus, "--out", folder / "run", *settings),
        ("quantize", folder / "run", "--mode", "float32", "--out", folder / "fickle.sertk"),
    )
    done = [
        subprocess.run(
            [str(broken_python), "-c", MAIN, *map(str, command)],
            env={**os.environ, "SERTK_CACHE": str(folder / "cache")},
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=300,
            check=True,
        )
        for command in commands
    ]
    return folder / "fickle.sertk", done[0]


@pytest.fixture
def voice(small_corpus: Path) -> Path:
    return min(small_corpus.rglob("*.wav"))


def test_a_training_without_them_costs_one_warning_line_each(made: tuple[Path, Any]) -> None:
    bundle, training = made
    assert bundle.is_file()
    assert "Everything is in" in training.stdout
    assert "hello from" not in training.stdout
    output = [line for line in training.stderr.splitlines() if line.startswith("Warning: plugin")]
    assert len(output) == len(BROKEN) + sum(one.reads for one in PACKAGES.values())
    for name, cause in BROKEN.items():
        assert [
            line
            for line in output
            if f"plugin '{name}' (acme-{name} 1.2)" in line and cause in line
        ]


def test_a_run_that_needs_it_is_one_line_before_anything_is_done(seen: dict[str, Seen]) -> None:
    for name, cause in BROKEN.items():
        (line,) = seen[name].needed
        assert line.startswith(f"Error: plugin '{name}' (acme-{name} 1.2) is broken: {cause}")
        assert seen[name].status == 1, name
        assert not seen[name].left, name


def test_what_is_only_odd_can_be_used(seen: dict[str, Seen]) -> None:
    for name in PACKAGES.keys() - BROKEN.keys():
        assert seen[name].status == (1 if PACKAGES[name].used else 0), name
        assert all("Traceback" not in line for line in seen[name].needed), name
        if PACKAGES[name].used:
            assert seen[name].needed[-1].startswith(f"Error: {PACKAGES[name].used}")


def test_a_reader_that_cannot_be_asked_is_left_out_and_told(seen: dict[str, Seen]) -> None:
    for name in ("asked", "vague"):
        (line,) = seen[name].without
        assert line.startswith(f"Warning: plugin '{name}' (acme-{name} 1.2) is broken: ")
        assert line.endswith(". It is left out")


def test_the_page_says_what_is_said(seen: dict[str, Seen]) -> None:
    """`python tests/install/what_users_see.py` prints the table anew."""
    page = PAGE.read_text("utf-8")
    found = re.sub(r"took \d+\.\d s", "took 5.0 s", table(seen.values()))
    assert found in page
    for line in (*seen["importerror"].plugins, *seen["importerror"].needed):
        assert f"\n{line}\n" in page
    assert f"\n{seen['importerror'].without[0]}\n" in page


def test_a_bundle_that_needs_a_broken_plugin_says_so(
    broken_sertk: Run, made: tuple[Path, Any], voice: Path
) -> None:
    bundle, _ = made
    for command in (("predict", bundle, voice), ("serve-edge", bundle, "--source", voice)):
        assert broken_sertk(*command).code == 0
        result = broken_sertk(*command, ACME_FICKLE="1")
        assert (result.code, result.out) == (1, "")
        (line,) = result.err.splitlines()
        assert line.startswith(
            "Error: the bundle needs 'fickle-feature' version 1: plugin 'fickle' (acme-fickle 1.2) "
            "is broken: RuntimeError: the new version needs a driver"
        )


def test_an_evaluation_warns_of_each_once(
    broken_sertk: Run, made: tuple[Path, Any], small_corpus: Path
) -> None:
    bundle, _ = made
    for subject in (bundle.parent / "run", bundle):
        result = broken_sertk("evaluate", subject, "--data", small_corpus, "--include-training")
        assert result.code == 0, result.err
        for name in BROKEN:
            assert result.err.count(f"Warning: plugin '{name}'") == 1


def test_a_bundle_that_needs_none_loads_none(broken_sertk: Run, voice: Path) -> None:
    result = broken_sertk("predict", TINY, voice, "--json", ACME_FICKLE="1")
    assert result.code == 0, result.err
    assert json.loads(result.out)
    assert "acme" not in result.err
    result = broken_sertk("serve-edge", TINY, "--source", voice, ACME_FICKLE="1")
    assert result.code == 0, result.err
    assert {json.loads(line)["kind"] for line in result.out.splitlines()} >= {"started", "ended"}
    assert "acme" not in result.err
