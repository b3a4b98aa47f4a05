"""The author's guide is true: every hook, every example, every number in it."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

import ser_toolkit
import sertk_msf
from ser_toolkit.builtin.augmenters import Mask, Noise
from ser_toolkit.builtin.dense import Mlp
from ser_toolkit.builtin.readers import FolderReader
from ser_toolkit.cli.doctor import doctor
from ser_toolkit.contracts.components import FrameAugmenter
from ser_toolkit.contracts.recipe import ComponentSpec, Recipe
from ser_toolkit.plugins import hookspecs
from ser_toolkit.plugins.assemble import assemble, default_recipe
from ser_toolkit.plugins.loader import KINDS, hook_of
from ser_toolkit.plugins.registry import Plugins, load_plugins
from ser_toolkit.runtime.events import Device, Event, Sink
from ser_toolkit.runtime.features.base import StatefulExtractor
from ser_toolkit.runtime.features.functionals import Functionals
from ser_toolkit.runtime.features.spectral import Rms
from ser_toolkit.testing import CheckFailed, checks_for

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
RECIPE = Recipe("x", "A recipe of a test", (ComponentSpec("rms"),), ComponentSpec("tcn"))
COMPONENTS = {
    "frame extractor": Rms(),
    "window extractor": Functionals(),
    "augmenter": Noise(),
    "frame augmenter": Mask(),
    "reader": FolderReader(),
    "model": Mlp(),
    "sink": Sink(),
}
GUIDE = (ROOT / "plugins/README.md").read_text("utf-8")


def blocks(language: str) -> list[str]:
    """The fenced blocks of one language."""
    fences = rf"^```{language}\n(.*?)^```$"
    return re.findall(fences, GUIDE, re.MULTILINE | re.DOTALL)


def section(heading: str) -> str:
    return GUIDE.partition(f"\n{heading}\n")[2].partition("\n#")[0]


def signatures() -> list[str]:
    source = inspect.getsource(hookspecs)
    return re.findall(r"^@hookspec\n(def \w+\(.*?\) -> [^:]+:)", source, re.MULTILINE)


def test_the_guide_has_every_hook_with_its_exact_signature() -> None:
    assert len(signatures()) == len(KINDS)
    shown = section("## The hooks").splitlines()
    assert [line for line in shown if line.startswith("def ")] == signatures()


def test_the_guide_and_the_changelog_have_the_number_of_the_seam() -> None:
    assert f"`HOOK_API` is {hookspecs.HOOK_API}." in GUIDE
    assert f"### HOOK_API {hookspecs.HOOK_API}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def modules() -> list[str]:
    return [text for text in blocks("python") if "@hookimpl" in text]


def installed(module: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Plugins:
    """The module of a block as the only plugin besides the built-ins."""
    name = f"guide_{modules().index(module)}"
    (folder / f"{name}.py").write_text(module, "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    ours = EntryPoint("builtin", "ser_toolkit.builtin", "sertk")
    return load_plugins(
        env={"SERTK_STRICT": "1"}, find=lambda: [ours, EntryPoint("mine", name, "sertk")]
    )


def offered(plugins: Plugins) -> Mapping[str, list[Any]]:
    plugins.call_all()
    assert not plugins.broken
    found = plugins.components_of(plugins.plugin("mine"))
    return {kind: [o.component for o in found if o.kind == kind] for kind in KINDS}


def example(kind: str, folder: Path, patch: pytest.MonkeyPatch) -> Iterator[tuple[Plugins, Any]]:
    """Every component of one kind that a module in the guide offers."""
    for module in modules():
        if f"def {hook_of(kind)}(" in module:
            plugins = installed(module, folder, patch)
            yield from ((plugins, component) for component in offered(plugins)[kind])


def test_every_module_in_the_guide_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = set()
    for module in modules():
        found = offered(installed(module, tmp_path, monkeypatch))
        assert sum(map(len, found.values())) == 1
        kinds |= {kind for kind, components in found.items() if components}
    assert kinds == set(KINDS)


@pytest.mark.parametrize("kind", ["extractor", "augmenter"])
def test_what_the_guide_computes_keeps_to_the_contract(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conforms: Callable[..., None]
) -> None:
    sorts = set()
    for _, one in example(kind, tmp_path, monkeypatch):
        conforms(one)
        sorts.add(isinstance(one, StatefulExtractor | FrameAugmenter))
    assert sorts == {True, False}


def test_the_reader_in_the_guide_reads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, reader),) = example("reader", tmp_path, monkeypatch)
    (folder := tmp_path / "lab").mkdir()
    for name in ("ann_a_1", "ben_s_2"):
        (folder / f"{name}.wav").touch()
    assert reader.recognises(folder).score == 1
    (folder / "noise.wav").touch()
    assert reader.recognises(folder) is None
    reading = reader.read(folder)
    assert [(c.emotion, c.speaker) for c in reading.clips] == [("anger", "ann"), ("sadness", "ben")]
    assert list(reading.skipped) == ["noise.wav"]
    with pytest.raises(ser_toolkit.SertkError, match="Check the folder"):
        reader.read(tmp_path)


def test_the_recipe_in_the_guide_assembles(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((plugins, recipe),) = example("recipe", tmp_path, monkeypatch)
    assert assemble(recipe, plugins).extractor.columns[-1] == "rms"
    assert default_recipe(plugins, "mine") is recipe


def test_the_sink_in_the_guide_delivers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ((_, sink),) = example("sink", tmp_path, monkeypatch)
    sink = dataclasses.replace(sink, path=str(tmp_path / "events.jsonl"))
    event = Event("id", 1, "started", 2.5, 1.5, "anger", {"anger": 1.0}, -20.0)
    outlet = sink.open(Device("pi", "Kitchen", ("anger", "joy"), "compact", "0.1.0"))
    outlet.deliver(event)
    outlet.close()
    assert json.loads((tmp_path / "events.jsonl").read_text("utf-8")) == dataclasses.asdict(event)
    names = [field.name for field in dataclasses.fields(Event)]
    names += [field.name for field in dataclasses.fields(Device)]
    assert all(f"`{name}`" in section("### A sink") for name in names)


@pytest.mark.slow
def test_the_network_in_the_guide_is_what_training_needs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, conforms: Callable[..., None]
) -> None:
    ((_, model),) = example("model", tmp_path, monkeypatch)
    for inputs in ({"frames": (20, 5)}, {"a": (20, 5), "b": (10, 3)}):
        conforms(model, inputs={model.name: inputs})


def test_the_command_in_the_guide_greets(capsys: pytest.CaptureFixture[str]) -> None:
    (module,) = [text for text in blocks("python") if "@click.command()" in text]
    names: dict[str, Any] = {}
    exec(compile(module, "guide", "exec"), names)
    names["hello"].main(["you"], standalone_mode=False)
    assert capsys.readouterr().out == "Hello, you.\n"


def test_the_tests_in_the_guide_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sertk_mine.py").write_text(modules()[0], "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    tests = [text for text in blocks("python") if "\ndef test_" in text]
    (module,) = [text for text in tests if "sertk_checks" not in text]
    names: dict[str, Any] = {}
    exec(compile(module, "guide", "exec"), names)
    tests = [value for name, value in names.items() if name.startswith("test_")]
    for test in tests:
        test()
    sys.modules.pop("sertk_mine")
    assert len(tests) == 2


def kit_files() -> list[str]:
    return [text for text in blocks("python") if "@sertk_checks(" in text]


@pytest.mark.parametrize("number", range(len(kit_files())))
def test_the_files_with_the_kit_pass(
    number: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each on the module of the guide that it is about, check by check, as pytest runs it."""
    file = kit_files()[number]
    wanted = "Lab" if "corpora=" in file else "Diary" if "peers=" in file else "Crest"
    (source,) = [text for text in modules() if f"\nclass {wanted}(" in text]
    (tmp_path / "sertk_mine.py").write_text(source, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {}
    try:
        exec(compile(file, "guide", "exec"), names)
        test = names["test_it_keeps_to_the_contract"]
        (mark,) = test.pytestmark
        for param in mark.args[1]:
            (check,) = param.values
            if any(one.name == "xfail" for one in param.marks):
                with pytest.raises(CheckFailed):
                    test(check)
            else:
                test(check)
    finally:
        sys.modules.pop("sertk_mine")
    assert mark.args[0] == "check"
    assert len(mark.args[1]) > 10


def test_every_check_is_in_the_guide() -> None:
    shown = {}
    for row in section("## Test it").splitlines():
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        if row.startswith("| ") and len(cells) == 2 and not cells[0].startswith("`"):
            shown[cells[0]] = re.findall(r"`([a-z_0-9]+)`", cells[1])
    found = {
        kind: list(dict.fromkeys(check.name for check in checks_for(one) if kind in check.subject))
        for kind, one in {"plugin": sertk_msf, "recipe": RECIPE, "command": doctor}.items()
    }
    every = shown.pop("every component")
    for kind, one in COMPONENTS.items():
        names = [check.name for check in checks_for(one)]
        assert names[: len(every)] == every
        found[kind] = names[len(every) :]
    assert {kind: names for kind, names in shown.items() if names} == found


def test_the_project_file_in_the_guide_is_one() -> None:
    project, commands = map(tomllib.loads, blocks("toml"))
    assert project["project"]["entry-points"] == {hookspecs.GROUP: {"mine": "sertk_mine"}}
    assert list(commands["project"]["entry-points"]) == [hookspecs.COMMAND_GROUP]
    core = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    assert core["version"] == ser_toolkit.__version__
    (wanted,) = project["project"]["dependencies"]
    major, minor = ser_toolkit.__version__.split(".")[:2]
    assert wanted == f"ser-toolkit>={major}.{minor},<{major}.{int(minor) + 1}"
    assert project["project"]["requires-python"] == core["requires-python"]
