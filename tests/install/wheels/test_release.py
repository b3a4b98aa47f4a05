"""What is built fits together: trees that are wrong in one way each are refused, in one line."""

from __future__ import annotations

import contextlib
import functools
import importlib.util
import io
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
BUILD = ROOT / "release/build.py"
MSF = "plugins/sertk-msf/pyproject.toml"
ON_CORE = r"ser-toolkit>=[\d.]+,<[\d.]+"
WHEEL = "[tool.hatch.build.targets.wheel]\n"

# file, what to find there (a pattern), what to put in its place, and the line that must come of it
WRONG_TREES = {
    "a range below": (MSF, ON_CORE, "ser-toolkit>=0.0.1,<0.0.2", "needs ser-toolkit.* Move the"),
    "a range above": (MSF, ON_CORE, "ser-toolkit>=98,<99", "needs ser-toolkit.* Move the range"),
    "no upper bound": (MSF, ON_CORE, "ser-toolkit>=0.0.1", "admits .*, where HOOK_API may be"),
    "an extra of the core": (
        "pyproject.toml",
        r"sertk-msf>=[\d.]+,<[\d.]+",
        "sertk-msf>=98",
        "^Error: pyproject.toml: needs sertk-msf>=98, and sertk-msf is",
    ),
    "an extra that is none": (MSF, r"sertk-augment>", "sertk-augment[all]>", "no extra 'all'"),
    "a name that is none": (MSF, "sertk-augment>", "sertk-augmentt>", "not in this repository"),
    "a version of its own": (MSF, r'version = "[\d.]+"', 'version = "98.0"', "version is 98.0, of"),
    "another Python": (MSF, 'requires-python = ">=3.10', 'requires-python = ">=3.9', "-python is"),
    "another licence": (MSF, 'license = "Apache-2.0"', 'license = "MIT"', "license is MIT, of"),
    "a licence cut short": ("edge/LICENSE", r"\n.*\Z", "", "^Error: edge/LICENSE: expected a copy"),
    "an entry point of nothing": (
        MSF,
        'msf = "sertk_msf"',
        'msf = "sertk_msf.gone"',
        "sertk 'msf' points at sertk_msf.gone, which it does not pack",
    ),
    "an entry point of another package": (
        MSF,
        '= "sertk_msf"\n',
        '= "sertk_lstm"\n',
        "does not pack",
    ),
    "an entry point without its function": (
        "edge/pyproject.toml",
        r"sertk_edge.cli:edge\b",
        "sertk_edge.cli:edges",
        "points at sertk_edge.cli:edges, and there is no such name",
    ),
    "a script without its function": (
        "pyproject.toml",
        "ser_toolkit.cli:main",
        "ser_toolkit.cli:mainly",
        "scripts 'sertk' points at ser_toolkit.cli:mainly, and",
    ),
    "a plugin for another HOOK_API": (
        "plugins/sertk-msf/sertk_msf/__init__.py",
        r"SERTK_HOOK_API = \d+",
        "SERTK_HOOK_API = 99",
        "plugin 'msf' says SERTK_HOOK_API = 99, and hookspecs.HOOK_API is",
    ),
    "an undocumented hook number": (
        "ser_toolkit/plugins/hookspecs.py",
        r"HOOK_API = \d+",
        "HOOK_API = 99",
        "newest heading is HOOK_API .*, hookspecs.HOOK_API is 99",
    ),
    "an undocumented version": (
        "CHANGELOG.md",
        r"## \[[\d.]+\]",
        "## [0.0.0]",
        "CHANGELOG.md: the newest version is 0.0.0, pyproject.toml has",
    ),
    "a range in the guide": (
        "plugins/README.md",
        ON_CORE,
        "ser-toolkit>=98,<99",
        "^Error: plugins/README.md: it says ser-toolkit>=98,<99, and ser-toolkit is",
    ),
    "another HOOK_API in the same series": (
        "CHANGELOG.md",
        r"(### HOOK_API )(\d+)(?s:(.*))",
        r"\g<1>\g<2>\g<3>\n## [0.1.0]\n### HOOK_API 0\n",
        "HOOK_API goes from 0 to .* which plugins take for compatible",
    ),
    "no TOML": (MSF, r"\[project\]", "[project", "^Error: .*TOMLDecodeError"),
    "no version": (MSF, r"version = .*", "", "^Error: .*"),
}
WRONG_WHEELS = {
    "a recipe that git ignores": (
        ".gitignore",
        r"\Z",
        "msf.toml\n",
        "whl: it lacks sertk_msf/msf.toml. Is it ignored by git?",
    ),
    "a recipe left out": (
        MSF,
        r"\Z",
        'exclude = ["msf.toml"]\n',
        "whl: it lacks sertk_msf/msf.tom",
    ),
    "no licence": (
        MSF,
        "license-files = .*|(?=dependencies)",
        "license-files = []\n",
        "the licence",
    ),
    "tests beside the package": (
        MSF,
        re.escape(WHEEL),
        WHEEL.replace("]", '.force-include]\n"tests" = "tests"\n\n', 1) + WHEEL,
        "whl: it holds tests/test_msf.py, which is not in the package",
    ),
    "a test in the package": (
        "plugins/sertk-msf/sertk_msf/test_it.py",
        r"\Z",
        "x = 1\n",
        "whl: it holds sertk_msf/test_it.py, a test",
    ),
    "no way to build it": (MSF, re.escape("[project]"), '[project]\nreadme = "X"\n', "^Error: "),
}


@pytest.fixture(scope="module")
def whole_tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of all that distributions are made of, and the tests of one."""
    copy = tmp_path_factory.mktemp("release") / "tree"
    projects = [
        ROOT,
        ROOT / "edge",
        *(file.parent for file in ROOT.glob("plugins/*/pyproject.toml")),
    ]
    for folder in projects:
        target = copy / folder.relative_to(ROOT)
        target.mkdir(parents=True, exist_ok=True)
        for name in ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md", ".gitignore"):
            if (folder / name).is_file():
                shutil.copy(folder / name, target)
        package = "ser_toolkit" if folder == ROOT else f"sertk_{folder.name.removeprefix('sertk-')}"
        skipped = shutil.ignore_patterns("__pycache__")
        shutil.copytree(folder / package, target / package, ignore=skipped)
    shutil.copy(ROOT / "plugins/README.md", copy / "plugins")
    shutil.copytree(ROOT / "plugins/sertk-msf/tests", copy / "plugins/sertk-msf/tests")
    return copy


@pytest.fixture
def tree(whole_tree: Path) -> Iterator[Path]:
    """That copy; what was built of it is gone after the test."""
    yield whole_tree
    shutil.rmtree(whole_tree / "dist", ignore_errors=True)


@contextlib.contextmanager
def altered(tree: Path, name: str, pattern: str, replacement: str) -> Iterator[None]:
    """Replace what a pattern finds in a file of the tree, for as long as the block runs."""
    file = tree / name
    text = file.read_text("utf-8") if file.exists() else None
    after = re.sub(pattern, replacement, text or "", count=1)
    assert after != text, f"{pattern} is not in {name}"
    file.write_text(after, "utf-8")
    try:
        yield
    finally:
        file.unlink() if text is None else file.write_text(text, "utf-8")


def build(tree: Path, *args: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, BUILD, "--root", tree, "--out", tree / "dist", *args]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def build_here(tree: Path, *args: str) -> subprocess.CompletedProcess[str]:
    """Do the same in this process; what ends it says so in its message."""
    arguments, output, status = ["--root", str(tree), "--out", str(tree / "dist"), *args], "", 0
    with contextlib.redirect_stdout(io.StringIO()) as out:
        try:
            builder().main(arguments)
        except SystemExit as end:
            status, output = 1, f"{end.code}\n"
    return subprocess.CompletedProcess(arguments, status, out.getvalue(), output)


@functools.cache
def builder() -> Any:
    """The module release/build.py, under a name that no package has."""
    sys.path.append(str(BUILD.parent))
    spec = importlib.util.spec_from_file_location("release_build", BUILD)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def refused(done: subprocess.CompletedProcess[str], message: str, name: str = "") -> None:
    assert (done.returncode, done.stdout) == (1, ""), (name, done.stdout)
    lines = done.stderr.splitlines()
    assert lines and all(line.startswith("Error: ") for line in lines), (name, done.stderr)
    assert any(re.search(message, line) for line in lines), (name, done.stderr)


def test_this_tree_fits_together() -> None:
    done = build(ROOT, "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_a_wrong_tree_is_refused(tree: Path) -> None:
    for name, (*change, message) in WRONG_TREES.items():
        with altered(tree, *change):
            refused(build_here(tree, "--check"), message, name)
        assert not (tree / "dist").exists(), name


@pytest.mark.parametrize("name", WRONG_WHEELS)
def test_a_wrong_wheel_is_refused(name: str, tree: Path) -> None:
    *change, message = WRONG_WHEELS[name]
    with altered(tree, *change):
        refused(build_here(tree, "sertk-msf"), message)


@pytest.mark.parametrize("name", ["py.typed", "__init__.py"])
def test_a_file_that_every_package_needs(name: str, tree: Path) -> None:
    file = tree / "plugins/sertk-msf/sertk_msf" / name
    kept = file.rename(tree / "kept")
    done = build(tree, "--check")
    kept.rename(file)
    refused(done, "sertk_msf has no py.typed|points at sertk_msf, which it does")


def test_what_lay_there_before_is_gone(tree: Path) -> None:
    (tree / "dist").mkdir()
    (tree / "dist/sertk_msf-0.0.1-py3-none-any.whl").write_bytes(b"old")
    assert build(tree, "sertk-msf").returncode == 0
    names = {path.name.partition("-")[2] for path in (tree / "dist").iterdir()}
    assert len(names) == 2 and not any(name.startswith("0.0.1") for name in names)


def test_an_unknown_distribution(tree: Path) -> None:
    refused(build(tree, "sertk-none"), "there is no distribution 'sertk-none' here")


def test_the_environment_of_developers_has_every_distribution() -> None:
    plugins = {file.parent.name for file in ROOT.glob("plugins/*/pyproject.toml")}
    make = ["make", "--dry-run", "--always-make", "setup"]
    message = subprocess.run(make, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert set(re.findall(r"-e plugins/([\w-]+)", message)) == plugins
