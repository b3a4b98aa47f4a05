"""What the author's guide says to type and to write down works, in an environment of its own."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from make_environment import make_venv

from ser_toolkit.plugins.hookspecs import COMMAND_GROUP, GROUP

ROOT = Path(__file__).resolve().parents[2]
GUIDE = (ROOT / "plugins/README.md").read_text("utf-8")
BLOCKS = re.findall(r"^```(.*?)\n(.*?)^```$", GUIDE, re.MULTILINE | re.DOTALL)
NOT_RUN = {
    "python -m pip install build twine": "it asks an index; build is here",
    "python -m twine check dist/*": "twine is not among our tools",
    "python -m twine upload dist/*": "it publishes",
}
# A build in an environment of its own would ask an index for hatchling, which is here.
INSTEAD = {"python -m build": "python -m build --no-isolation"}
# What runs each block: here, or tests/docs/test_guide.py.
LANGUAGES = {"bash", "toml", "yaml", "python", ""}


def blocks(language: str) -> list[str]:
    return [text for name, text in BLOCKS if name == language]


def commands() -> list[str]:
    return [line for block in blocks("bash") for line in block.splitlines() if line]


def test_every_block_is_of_a_language_that_is_run() -> None:
    assert {name for name, _ in BLOCKS} == LANGUAGES
    # A picture, the tree, which is compared below, and the hooks, which test_guide.py compares.
    picture, tree, hooks = blocks("")
    assert "──▶" in picture and tree.startswith("sertk-loud/\n") and hooks.startswith("def sertk_")


def test_what_is_not_run_is_there() -> None:
    assert {*NOT_RUN, *INSTEAD} <= set(commands())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with an environment `venv`, in which `sertk`, `pip` and `pytest` are."""
    base = tmp_path_factory.mktemp("guide")
    make_venv(base / "venv")
    for name, call in {
        "pip": "runpy.run_module('pip', run_name='__main__')",
        "pytest": "runpy.run_module('pytest', run_name='__main__')",
        "sertk": "__import__('ser_toolkit.cli').cli.main()",
    }.items():
        script = base / "venv/bin" / name
        script.write_text(f"#!{base}/venv/bin/python\nimport runpy\n{call}\n")
        script.chmod(0o755)
    return base


def environment(place: Path) -> Mapping[str, str]:
    """No variables of ours; pip may ask no index, and builds with what is here."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("SERTK_", "PY"))}
    return {
        **kept,
        "PATH": os.pathsep.join([str(place / "venv/bin"), kept["PATH"]]),
        "SERTK_CACHE": str(place / "cache"),
        "PIP_NO_INDEX": "1",
        "PIP_NO_BUILD_ISOLATION": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "COLUMNS": "100",
    }


def run(place: Path, script: str) -> str:
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=place,
        env=environment(place),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def script() -> str:
    message = ["set -eo pipefail"]
    for line in commands():
        if line not in NOT_RUN:
            message += [f"echo {shlex.quote(f'$ {line}')}", INSTEAD.get(line, line)]
    return "\n".join(message)


def output(output: str) -> dict[str, str]:
    """What each command printed; of one that is typed twice, the last."""
    parts = re.split(r"^\$ (.*)\n", output, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


@pytest.mark.slow
def test_the_commands_lead_from_nothing_to_a_package(place: Path) -> None:
    found = output(run(place, script()))
    assert set(found) == set(commands()) - set(NOT_RUN)
    listed = r"^loud +sertk-loud +0\.1\.0 +extractor +loud +yes"
    assert re.search(listed, found["sertk plugins"], re.M)
    assert "loud 1 (sertk-loud 0.1.0)" in found["sertk bundle show loud.sertk"]
    assert re.search(r"^\d+ ok$", found["sertk plugins check loud"], re.M)
    assert re.search(r"\d+ passed", found["pytest sertk-loud"])
    for name in blocks("")[1].split()[1:]:
        assert (place / "sertk-loud" / name).is_file(), name
    (wheel,) = (place / "sertk-loud/dist").glob("*.whl")
    assert "sertk_loud/extractor.py" in zipfile.ZipFile(wheel).namelist()


def crest() -> str:
    (module,) = [text for text in blocks("python") if "class Crest(" in text]
    return module


def hello() -> str:
    (module,) = [text for text in blocks("python") if "@click.command()" in text]
    return module


def test_the_smallest_package_builds_and_installs(place: Path) -> None:
    project, command = blocks("toml")
    folder = place / "smallest"
    (folder / "sertk_mine").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(project + command, "utf-8")
    (folder / "sertk_mine/__init__.py").write_text(crest(), "utf-8")
    (folder / "sertk_mine/hello.py").write_text(hello(), "utf-8")
    built = "cd smallest; pip install -q --no-deps -t ../site .; python -m build -w --no-isolation"
    run(place, f"set -e; {built}")
    (wheel,) = (folder / "dist").glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        (points,) = [name for name in archive.namelist() if name.endswith("entry_points.txt")]
        text = archive.read(points).decode()
    assert f"[{GROUP}]\nmine = sertk_mine\n" in text
    assert f"[{COMMAND_GROUP}]\nhello = sertk_mine.hello:hello\n" in text
    alone = "export PYTHONPATH=site SERTK_PLUGINS=mine SERTK_STRICT=1"
    message = run(place, f"{alone}; sertk plugins; sertk hello you")
    assert re.search(r"^mine +sertk-mine +0\.1\.0 +extractor +crest", message, re.M)
    assert message.endswith("Hello, you.\n")


def test_the_workflow_publishes_what_the_commands_build() -> None:
    (text,) = blocks("yaml")
    workflow: dict[Any, Any] = yaml.safe_load(text)
    # YAML 1.1 reads `on` as true.
    assert workflow[True] == {"release": {"types": ["published"]}}
    (job,) = workflow["jobs"].values()
    assert job["permissions"] == {"id-token": "write"}
    runs = [step["run"] for step in job["steps"] if "run" in step]
    assert runs == ["python -m pip install build", "python -m build"]
    assert runs[1] in commands()
    assert job["steps"][-1]["uses"].startswith("pypa/gh-action-pypi-publish@")


def test_the_list_of_plugins_is_whole() -> None:
    names = {path.parent.name for path in (ROOT / "plugins").glob("*/pyproject.toml")}
    listed = GUIDE.partition("\n## The plugins that come with it\n")[2]
    assert set(re.findall(r"^\| \[(sertk-\w+)\]\(\1/README\.md\)", listed, re.MULTILINE)) == names
