"""`sertk plugins new`: what it writes, what it refuses, and the example that it wrote."""

from __future__ import annotations

import itertools
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from ser_toolkit.cli import run
from ser_toolkit.scaffold import KINDS, Project, write
from ser_toolkit.testing import NOT_ON_A_DEVICE

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "plugins/sertk-example"
SHARED = {
    ".github/workflows/test.yml",
    ".gitignore",
    "LICENSE",
    "README.md",
    "pyproject.toml",
    "sertk_my_lab/__init__.py",
    "sertk_my_lab/py.typed",
    "tests/test_my_lab.py",
}
Out = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return an empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def files(folder: Path) -> Iterator[str]:
    """Return what was written, without what ruff, pytest and Python leave behind."""
    for path in folder.rglob("*"):
        name = path.relative_to(folder)
        if path.is_file() and not any(part.rstrip("_").endswith("cache") for part in name.parts):
            yield name.as_posix()


@pytest.mark.parametrize("kind", KINDS)
def test_a_package_has_the_files_and_names_that_it_needs(
    kind: str, here: Path, capsys: Out
) -> None:
    assert run(["plugins", "new", "my-lab", "--kind", kind]) == 0
    written = set(files(here / "sertk-my-lab"))
    own = {f"sertk_my_lab/{kind}.py", *(["sertk_my_lab/recipe.toml"] if kind == "recipe" else [])}
    assert written == SHARED | own
    assert f"wrote {len(written)} files to ./sertk-my-lab\n" in capsys.readouterr().out
    assert [path.name for path in here.iterdir()] == ["sertk-my-lab"]
    project = tomllib.loads((here / "sertk-my-lab/pyproject.toml").read_text())["project"]
    assert project["name"] == "sertk-my-lab"
    group, value = ("sertk", "sertk_my_lab")
    if kind == "command":
        group, value = ("sertk.commands", "sertk_my_lab.command:command")
    assert project["entry-points"] == {group: {"my-lab": value}}


def test_several_kinds_share_a_package_in_whatever_order(here: Path) -> None:
    kinds = ("sink", "command", "reader")
    for name, order in (("one", kinds), ("other", kinds[::-1])):
        chosen = [word for kind in order for word in ("--kind", kind)]
        assert run(["plugins", "new", "lab", *chosen, "--out", f"deep/{name}"]) == 0
    one, other = here / "deep/one", here / "deep/other"
    assert {f"sertk_lab/{kind}.py" for kind in kinds} <= set(files(one))
    assert {name: (one / name).read_bytes() for name in files(one)} == {
        name: (other / name).read_bytes() for name in files(other)
    }


def test_what_is_said_next_fits_what_was_written(capsys: Out) -> None:
    run(["plugins", "new", "loud", "--kind", "extractor"])
    shown = capsys.readouterr().out
    assert 'pip install -e "./sertk-loud[test]"' in shown
    assert "sertk train --plugin loud --data synthetic" in shown
    assert "serve-edge" not in shown
    run(["plugins", "new", "lamp", "--kind", "sink", "--kind", "command"])
    shown = capsys.readouterr().out
    assert "sertk serve-edge BUNDLE --sink lamp" in shown
    assert "sertk lamp FILE.wav" in shown
    assert "sertk train" not in shown


def test_whatever_is_chosen_keeps_to_our_rules(here: Path) -> None:
    """All sets of kinds, and names of one letter and of as many as there may be."""
    sets = [kinds for n in range(1, 8) for kinds in itertools.combinations(KINDS, n)]
    projects = [Project(f"set-{number}", kinds) for number, kinds in enumerate(sets)]
    projects += [Project("x", KINDS), Project("m" * 30, KINDS)]
    for project in projects:
        write(project, here / project.distribution)
    assert len(list(here.iterdir())) == 2**7 - 1 + 2
    for command in (["check"], ["format", "--check"]):
        ruff = [sys.executable, "-m", "ruff", *command, "--no-cache", "--quiet", "."]
        result = subprocess.run(ruff, cwd=here, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stdout[-3000:]


def test_its_rules_are_ours(here: Path) -> None:
    write(Project("loud", KINDS), here / "made")
    theirs, ours = (
        tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["tool"]["ruff"]
        for folder in (here / "made", ROOT)
    )
    assert theirs["line-length"] == ours["line-length"]
    assert theirs["lint"]["select"] == ours["lint"]["select"]
    assert set(theirs["lint"]["ignore"]) <= set(ours["lint"]["ignore"])


def test_the_example_is_what_the_command_writes(here: Path) -> None:
    write(Project("example", KINDS, hidden=True), here / "made")
    fresh = {name: (here / "made" / name).read_text("utf-8") for name in files(here / "made")}
    kept = {name: (EXAMPLE / name).read_text("utf-8") for name in files(EXAMPLE)}
    assert kept == fresh, "plugins/sertk-example is not what is written now: run `make example`"


def test_the_licence_is_ours(here: Path) -> None:
    write(Project("loud", KINDS), here / "made")
    assert (here / "made/LICENSE").read_bytes() == (ROOT / "LICENSE").read_bytes()


NOT_TO_BE_HAD = (
    ("Loud!", "sink", "received 'Loud!'. Try loud"),
    ("My_Lab", "sink", "received 'My_Lab'. Try my-lab"),
    ("9lives", "sink", "a letter first, received '9lives'. Try lives"),
    ("my--lab", "sink", "received 'my--lab'. Try my-lab"),
    ("loud-", "sink", "received 'loud-'. Try loud"),
    ("a/b", "sink", "received 'a/b'. Try a-b"),
    ("..", "sink", "received '..'. Such as: loud, my-lab"),
    ("", "sink", "received ''. Such as: loud, my-lab"),
    ("é", "sink", "received 'é'. Such as: loud, my-lab"),
    ("m" * 31, "sink", "up to 30 small letters, digits and dashes expected, a letter first"),
    ("sertk-loud", "sink", "'sertk-' expected, which is put before it, received 'sertk-loud'"),
    ("lambda", "sink", "'lambda' is a word of Python"),
    ("msf", "sink", "there is a plugin 'msf' already, of sertk-msf"),
    ("edge", "sink", "'sertk-edge' is a package of the toolkit itself"),
    ("example", "sink", "there is a plugin 'example' already, of sertk-example"),
    ("builtin", "sink", "there is a plugin 'builtin' already, of ser-toolkit"),
    ("train", "sink", "there is a command 'train' already, of ser-toolkit"),
    ("rms", "extractor", "there is an extractor 'rms' already, of ser-toolkit"),
    ("compact", "recipe", "there is a recipe 'compact' already, of ser-toolkit"),
    ("console", "sink", "there is a sink 'console' already, of sertk-edge"),
)


def test_a_name_that_cannot_be_had_is_one_line(here: Path, capsys: Out) -> None:
    for name, kind, expected_text in NOT_TO_BE_HAD:
        assert run(["plugins", "new", name, "--kind", kind]) == 1, name
        output_text = capsys.readouterr()
        assert output_text.out == "", name
        assert output_text.err.startswith("Error: ") and output_text.err.count("\n") == 1, name
        assert expected_text in output_text.err
    assert list(here.iterdir()) == []


def test_the_folder_that_one_stands_in_stays(here: Path, capsys: Out) -> None:
    before = here.stat().st_ino
    assert run(["plugins", "new", "loud", "--kind", "extractor", "--out", "."]) == 0
    assert here.stat().st_ino == before
    assert (here / "sertk_loud/extractor.py").is_file() and (here / ".gitignore").is_file()
    assert not list(here.parent.glob(".sertk-new-*"))
    out = capsys.readouterr().out
    assert " files to .\n" in out and 'pip install -e ".[test]"' in out


@pytest.mark.parametrize(
    ("args", "expected_text"),
    [
        ([], "--kind expected, one of reader, augmenter, extractor, model, recipe, sink, command"),
        (["--kind", "sink", "--out", "file/a/b"], "'file' is a file, nothing can be written below"),
        (["--kind", "sink", "--out", "file"], "'file' is there already"),
    ],
)
def test_what_is_missing_or_in_the_way_is_one_line(
    args: list[str], expected_text: str, here: Path, capsys: Out
) -> None:
    (here / "file").touch()
    assert run(["plugins", "new", "loud", *args]) == 1
    err = capsys.readouterr().err
    assert err.startswith(f"Error: {expected_text}") and err.count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["file"]


def test_a_name_is_free_where_only_another_kind_has_it() -> None:
    assert run(["plugins", "new", "rms", "--kind", "sink"]) == 0


def test_what_python_finds_without_metadata_is_not_shadowed(
    here: Path, capsys: Out, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(here / "lib"))
    (here / "lib/sertk_found").mkdir(parents=True)
    (here / "lib/sertk_found/__init__.py").touch()
    assert run(["plugins", "new", "found", "--kind", "sink"]) == 1
    assert "Python finds a 'sertk_found' already" in capsys.readouterr().err


def test_what_is_there_is_not_overwritten(here: Path, capsys: Out) -> None:
    (here / "sertk-loud").mkdir()
    (here / "sertk-loud/mine.txt").write_text("mine")
    assert run(["plugins", "new", "loud", "--kind", "sink"]) == 1
    assert "the folder 'sertk-loud' is not empty" in capsys.readouterr().err
    (here / "file").touch()
    assert run(["plugins", "new", "loud", "--kind", "sink", "--out", "file"]) == 1
    assert "'file' is there already" in capsys.readouterr().err
    assert run(["plugins", "new", "loud", "--kind", "sink", "--out", "file/below"]) == 1
    assert capsys.readouterr().err.startswith("Error: ")
    assert sorted(files(here)) == ["file", "sertk-loud/mine.txt"]


def test_an_empty_folder_is_filled(here: Path) -> None:
    (here / "loud").mkdir()
    assert run(["plugins", "new", "loud", "--kind", "sink", "--out", "loud"]) == 0
    assert (here / "loud/pyproject.toml").is_file()


def test_a_failure_leaves_nothing_behind(here: Path) -> None:
    broken = Project("loud", ("sink", "nothing"))
    with pytest.raises(FileNotFoundError):
        write(broken, here / "sertk-loud")
    assert list(here.iterdir()) == []


def test_nothing_heavy_is_imported(here: Path) -> None:
    script = (
        "import json, sys; from ser_toolkit.cli import run; "
        "code = run(['plugins', 'new', 'loud', '--kind', 'extractor', '--kind', 'model']); "
        "print(json.dumps([code, sorted(sys.modules)]))"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=here, capture_output=True, text=True, check=True
    )
    code, modules = json.loads(result.stdout.splitlines()[-1])
    assert code == 0
    assert not {*NOT_ON_A_DEVICE, "soundfile", "ser_toolkit.testing"} & set(modules)
    shutil.rmtree(here / "sertk-loud")
